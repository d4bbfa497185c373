/// How every server starts, waits, and stops; what it accepts and how is its own business.
///
/// Terms: a door is a socket on which something arrives, with the fiber that waits there; on
/// several workers each has doors of its own. The fibers of doors and those of handlers are two
/// groups, which their members leave by themselves, also when they are killed before they have
/// begun.
///
/// 1. A door is used by its fiber, and closed when that has ended.
/// 2. Once the doors' fibers have ended no handler is begun. So stop() ends them first, and then
///    knows whom to wait for.
/// 3. Whatever a handler's fiber uses lives until `handlers` is empty, which the destructor waits
///    for. In a handler of its own that wait is left to another fiber.
/// 4. serve_until_over() may be followed by the end of the server: the last of those who stop it
///    wakes it, as the last thing that it does, through an event that the two share.
///
/// Rejected: closing the sockets from the fiber that stops, which wakes those who wait there just
/// as well: they may be on another thread, which reads the descriptor then. Ending accept by
/// shutdown(2): it ends the listening of every process that shares the socket.
#pragma once

#include "net/shortage.hpp"

#include <coir/mutex.hpp>
#include <coir/net/expiry.hpp>
#include <coir/net/server_counters.hpp>
#include <coir/pool.hpp>

#include <atomic>
#include <memory>
#include <system_error>
#include <vector>

namespace coir::net::detail {

/// The common part of the cores of servers. Any fiber or thread may call the public members.
class server_life {
 public:
  server_life(const server_life&) = delete;
  server_life& operator=(const server_life&) = delete;
  virtual ~server_life() = default;

  /// Opens the doors. On an error `ec` is set, and `failed` is the address that had it. Throws
  /// std::logic_error unless idle.
  void start(std::error_code& ec, address& failed);
  /// The same, but throws, and does nothing unless idle.
  void start_if_idle();
  /// Parks until a stop has come to its end, or a door has failed for good, which is thrown.
  void serve_until_over();
  std::size_t stop(time_limit grace);
  /// Stops without grace, however long that takes; nothing interrupts it.
  void end_now() noexcept;

  bool is_running() const noexcept { return phase_.load() == phase::running; }
  std::vector<address> local_addresses();
  server_counters counters() noexcept;
  /// True in a fiber that could not be waited for by itself.
  bool is_in_handler() const noexcept { return handlers_.is_inside() || doors_.is_inside(); }
  /// For a handler that destroys its own server, and cannot wait for itself: stops it, then ends
  /// `life` when all handlers have ended.
  static void end_later(std::unique_ptr<server_life> life) noexcept;

 protected:
  /// What a server is to do with what its handlers throw, and on which workers.
  struct plan {
    workers* on;
    std::size_t handlers_max;
    const server_error_handler& on_error;
  };
  explicit server_life(const plan& how) : plan_(how), handlers_(how.handlers_max) {}

  /// Makes the doors, and tells their addresses to add_local().
  virtual void make_doors(std::error_code& ec, address& failed) = 0;
  /// Calls open() for each door.
  virtual void open_doors() = 0;
  /// Undoes make_doors.
  virtual void forget_doors() noexcept = 0;
  /// After the fibers of doors have ended.
  virtual void close_doors() noexcept = 0;
  /// After the handlers have ended, too.
  virtual void handlers_ended() noexcept {}

  std::size_t workers_to_use() const { return plan_.on ? plan_.on->size() : 1; }
  void add_local(const address& local) { locals_.push_back(local); }
  /// Starts the fiber of a door on the worker of that number.
  template <class Function>
  void open(const std::string& name, std::size_t worker, Function wait_there) {
    const attributes how{.name = name};
    if (plan_.on) {
      doors_.add(plan_.on->spawn_on(worker, how, std::move(wait_there)));
    } else {
      doors_.spawn(how, std::move(wait_there));
    }
  }
  /// Starts the fiber of a handler on the calling worker. Throws what pool::spawn throws.
  template <class Function, class Argument>
  void begin(const attributes& how, Function handle, Argument&& argument) {
    handlers_.spawn(how, std::move(handle), std::forward<Argument>(argument));
    ++accepted_;
  }
  /// Parks until another handler may begin.
  void wait_for_place() { handlers_.wait_available(); }
  /// Calls `handle()`, and tells what it throws, unless that is a kill, of `peer`.
  template <class Function>
  void guarded(const address& local, const address& peer, Function handle) {
    struct tell_at_end {
      room& to_tell;
      ~tell_at_end() { to_tell.freed(); }
    } at_end{room_};
    std::exception_ptr error;
    try {
      handle();
    } catch (const fiber_exit&) {
      throw;
    } catch (...) {
      error = std::current_exception();
    }
    if (error) report(local, peer, error);
  }
  /// A door that is of no use any more, which is the end of the server.
  void fail(const address& local, const char* what, const std::error_code& ec);

  room room_;
  std::atomic<std::uint64_t> accepted_{0};
  std::atomic<std::uint64_t> refused_{0};
  std::atomic<std::uint64_t> truncated_{0};
  std::atomic<std::uint64_t> accept_failures_{0};
  std::atomic<std::uint64_t> errors_{0};

  std::size_t active() noexcept { return handlers_.size(); }

 private:
  enum class phase {
    idle,     ///< there are no doors
    running,  ///< the doors are open
    failed,   ///< one of them is closed for good; the others may be open
    stopped,  ///< the doors are closed, or about to be
  };

  /// A group whose members can be ended by code that must not be interrupted, and that tells
  /// whether the caller is one of them.
  template <class Group>
  class ending : public Group {
   public:
    using Group::Group;
    bool is_inside() const noexcept { return this->roster_.contains_caller(); }
    void end() noexcept { this->roster_.kill_all(nullptr); }
  };

  class stopper;

  void start_locked(std::error_code& ec, address& failed);
  void end_doors();
  static std::vector<any_fiber> others(group& members);
  std::size_t end_handlers(time_limit grace);
  void report(const address& local, const address& peer, const std::exception_ptr& error);

  const plan plan_;
  coir::mutex changes_;                          ///< held by who starts, or closes the doors
  std::vector<address> locals_;                  ///< guarded by changes_
  std::atomic<phase> phase_{phase::idle};        ///< written under changes_, but for `failed`
  std::atomic<int> final_error_{0};              ///< errno of a door that failed for good
  static constexpr unsigned is_over = 1u << 31;  ///< a stop has come to its end
  std::atomic<unsigned> stoppers_{0};            ///< how many are in stop(), and is_over
  const std::shared_ptr<event> over_ = std::make_shared<event>();
  ending<pool> handlers_;
  ending<group> doors_;
};

/// How many arrivals a door takes in a row, when it need not wait for them, before others get their
/// turn.
inline constexpr int arrivals_per_turn = 64;

/// Lets the worker take a turn when it goes: a ring keeps a socket that was waited for until then.
struct turn_at_end {
  turn_at_end() = default;
  turn_at_end(const turn_at_end&) = delete;
  turn_at_end& operator=(const turn_at_end&) = delete;
  ~turn_at_end();
};

/// True for errors after which a socket will never again accept or receive.
bool is_final(const std::error_code& ec) noexcept;

}  // namespace coir::net::detail
