// Terms: a door is a listening socket with the fiber that accepts on it; on several workers each
// has doors of its own. The fibers of doors and those of connections are two groups, which their
// members leave by themselves, also when they are killed before they have begun.
//
// 1. A door's listener is used and closed by the door's fiber only; stop() closes it when that
//    fiber has ended without having begun.
// 2. Once the doors' fibers have ended no connection is added. So stop() ends them first, and then
//    knows whom to wait for.
// 3. Whatever a connection's fiber uses lives until `connections` is empty, which the destructor
//    waits for. In a handler of its own that wait is left to another fiber.
// 4. serve_forever() may destroy the server as soon as it returns: the last of those who stop it
//    wakes it, as the last thing that it does, through an event that the two share.
//
// Rejected: closing the listeners from the fiber that stops, which wakes those who accept just as
// well: they may be on another thread, which reads the descriptor then. Ending accept by
// shutdown(2): it ends the listening of every process that shares the socket.
#include <coir/net/stream_server.hpp>

#include "net/cooperative.hpp"
#include "net/door.hpp"
#include "net/shortage.hpp"
#include "net/tell.hpp"

#include <coir/coir.hpp>

#include <atomic>
#include <deque>
#include <mutex>
#include <new>
#include <stdexcept>

namespace coir::net {
namespace {

using detail::door;

// How long those who are killed may take to clean up before stop() gives up on them; gevent's.
constexpr auto kill_patience = std::chrono::seconds(1);

// Accepting does not wait while connections are in the queue: the others get their turn.
constexpr int accepts_per_turn = 64;

/// The rest of a limit, for calls that take a duration.
std::chrono::nanoseconds rest_of(const time_limit& limit) {
  if (limit.until() == coir::detail::never) return std::chrono::nanoseconds::max();
  return std::chrono::nanoseconds(limit.until() - coir::detail::now_ns());
}

/// True for errors after which a listener will never accept again.
bool is_final(const std::error_code& ec) {
  return ec == std::errc::bad_file_descriptor || ec == std::errc::invalid_argument ||
         ec == std::errc::not_a_socket || ec == std::errc::operation_not_supported;
}

/// A connection on its way to its handler.
struct accepted_connection {
  std::unique_ptr<stream> socket;
  address peer;
};

}  // namespace

class stream_server::core {
 public:
  core(endpoints where, handler serve, options how)
      : where_(std::move(where)), serve_(std::move(serve)), how_(std::move(how)) {}
  core(const core&) = delete;
  core& operator=(const core&) = delete;
  ~core() { end_now(); }

  void start(std::error_code& ec, address& failed);
  void start_if_idle();
  void serve_until_over();
  std::size_t stop(time_limit grace);
  bool is_running() const noexcept { return phase_.load() == phase::running; }
  std::vector<address> local_addresses();
  server_counters counters() noexcept;
  bool is_in_handler() noexcept { return connections_.is_inside(); }
  void leave_to_another_fiber() noexcept;

 private:
  enum class phase {
    idle,     ///< there are no doors
    running,  ///< the doors are open
    failed,   ///< one of them is closed for good; the others may be open
    stopped,  ///< the doors are closed, or about to be
  };

  /// Counts those who stop the server, and tells serve_until_over() when the last has left.
  class stopper {
   public:
    explicit stopper(core& c) : core_(c) { ++core_.stoppers_; }
    stopper(const stopper&) = delete;
    stopper& operator=(const stopper&) = delete;
    ~stopper() {
      const std::shared_ptr<event> over = core_.over_;
      if (core_.stoppers_.fetch_sub(1) == (is_over | 1)) over->set();
    }

   private:
    core& core_;
  };

  /// Its members can be ended by code that must not be interrupted.
  class acceptor_group : public group {
   public:
    void end() noexcept { roster_.kill_all(nullptr); }
  };

  /// That, and it tells whether the caller is one of its members.
  class connection_pool : public pool {
   public:
    using pool::pool;
    bool is_inside() const noexcept { return roster_.contains_caller(); }
    void end() noexcept { roster_.kill_all(nullptr); }
  };

  void start_locked(std::error_code& ec, address& failed);
  void make_doors(std::error_code& ec, address& failed);
  void make_doors_at(const address& local, std::error_code& ec);
  void make_doors_of(any_listener ready, std::error_code& ec);
  void open_doors();
  void close_doors();
  void close_what_is_left() noexcept;
  void end_now() noexcept;
  void accept_all(door& d);
  void fail(door& d, const std::error_code& ec);
  bool accept_one(door& d, std::error_code& ec);
  void serve(const address& local, accepted_connection connection);
  void report(const address& local, const address& peer, const std::exception_ptr& error);
  std::vector<any_fiber> others();
  std::size_t end_connections(time_limit grace);
  std::size_t workers_to_use() const { return how_.on ? how_.on->size() : 1; }

  endpoints where_;
  const handler serve_;
  const options how_;

  coir::mutex changes_;                          ///< held by who starts, or closes the doors
  std::deque<door> doors_;                       ///< guarded by changes_; each door is its fiber's
  std::vector<address> locals_;                  ///< guarded by changes_
  std::atomic<phase> phase_{phase::idle};        ///< written under changes_, but for `failed`
  std::atomic<int> final_error_{0};              ///< errno of a listener that failed for good
  static constexpr unsigned is_over = 1u << 31;  ///< a stop has come to its end
  std::atomic<unsigned> stoppers_{0};            ///< how many are in stop(), and is_over
  const std::shared_ptr<event> over_ = std::make_shared<event>();

  detail::room room_;
  std::atomic<std::uint64_t> accepted_{0};
  std::atomic<std::uint64_t> refused_{0};
  std::atomic<std::uint64_t> accept_failures_{0};
  std::atomic<std::uint64_t> errors_{0};
  connection_pool connections_{how_.max_connections};
  acceptor_group acceptors_;
};

void stream_server::core::start(std::error_code& ec, address& failed) {
  const std::lock_guard changing(changes_);
  if (phase_ != phase::idle) {
    throw std::logic_error(phase_ == phase::running ? "coir: this server is running already"
                                                    : "coir: a server starts once; make another");
  }
  start_locked(ec, failed);
}

void stream_server::core::start_if_idle() {
  const std::lock_guard changing(changes_);
  if (phase_ != phase::idle) return;
  std::error_code ec;
  address failed;
  start_locked(ec, failed);
  if (ec) detail::throw_error(ec, "listen on " + failed.to_string());
}

void stream_server::core::start_locked(std::error_code& ec, address& failed) {
  if (!detail::ensure_worker(ec)) return;
  struct undo_unless_running {
    core& c;
    ~undo_unless_running() {
      if (c.phase_ == phase::running) return;
      c.acceptors_.end();
      c.doors_.clear();
      c.locals_.clear();
    }
  } at_end{*this};
  ec.clear();
  make_doors(ec, failed);
  if (ec) return;
  try {
    open_doors();
    phase_ = phase::running;
  } catch (const std::system_error& no_stack) {
    ec = no_stack.code();
  }
}

void stream_server::core::make_doors(std::error_code& ec, address& failed) {
  for (const address& local : where_.addresses()) {
    failed = local;
    make_doors_at(local, ec);
    if (ec) return;
  }
  for (any_listener& ready : where_.take_listeners()) {
    make_doors_of(std::move(ready), ec);
    failed = locals_.back();
    if (ec) return;
  }
}

/// One door for each worker, all at one port.
void stream_server::core::make_doors_at(const address& local, std::error_code& ec) {
  const bool is_shared = local.is_unix();  // which know no SO_REUSEPORT
  const detail::door_options how{how_.backlog.value_or(listener::default_backlog),
                                 how_.reuse_port || (workers_to_use() > 1 && !is_shared),
                                 how_.v6_only};
  any_listener first = detail::listen_at(local, how, ec);
  if (ec) return;
  if (is_shared) return make_doors_of(std::move(first), ec);
  const address& bound = doors_.emplace_back(std::move(first), 0).local();
  locals_.push_back(bound);
  for (std::size_t worker = 1; worker < workers_to_use() && !ec; ++worker) {
    doors_.emplace_back(detail::listen_at(bound, how, ec), worker);
  }
}

/// One door for each worker, all of one socket.
void stream_server::core::make_doors_of(any_listener ready, std::error_code& ec) {
  const door& first = doors_.emplace_back(std::move(ready), 0);
  locals_.push_back(first.local());
  for (std::size_t worker = 1; worker < workers_to_use() && !ec; ++worker) {
    doors_.push_back(first.duplicate(worker, ec));
  }
}

void stream_server::core::open_doors() {
  for (door& d : doors_) {
    const attributes how{.name = "accept on " + d.local().to_string()};
    if (how_.on) {
      acceptors_.add(how_.on->spawn_on(d.worker(), how, [this, &d] { accept_all(d); }));
    } else {
      acceptors_.spawn(how, [this, &d] { accept_all(d); });
    }
  }
}

/// The life of a door's fiber.
void stream_server::core::accept_all(door& d) {
  struct close_at_end {
    door& d;
    ~close_at_end() {
      const this_fiber::no_kill to_the_end;
      d.close();
      // A ring keeps a socket that was waited for until its next turn.
      this_fiber::sleep_for(std::chrono::microseconds(1));
    }
  } at_end{d};
  detail::shortage shortage(room_, d.local(), "accept connections");
  for (int accepted = 0;;) {
    std::error_code ec;
    std::string why;
    connections_.wait_available();
    try {
      if (accept_one(d, ec)) {
        shortage.over();
        if (++accepted % accepts_per_turn == 0) this_fiber::yield();
        continue;
      }
      why = detail::describe_shortage(ec);
    } catch (const std::exception& no_memory) {
      ++refused_;  // it is closed by now
      why = no_memory.what();
    }
    if (is_final(ec)) return fail(d, ec);
    ++accept_failures_;
    shortage.wait(why, connections_.size());
  }
}

/// A connection of which nobody knows is closed by whatever leaves this.
bool stream_server::core::accept_one(door& d, std::error_code& ec) {
  accepted_connection connection;
  connection.socket = d.accept(connection.peer, ec);
  if (ec) return false;
  const attributes how{.name = "connection", .stack_bytes = how_.stack_bytes};
  connections_.spawn(
      how, [this, &d](accepted_connection c) { serve(d.local(), std::move(c)); },
      std::move(connection));
  ++accepted_;
  return true;
}

/// A door that can never accept again, which is the end of the server.
void stream_server::core::fail(door& d, const std::error_code& ec) {
  detail::tell("the server on " + d.local().to_string() +
               " cannot accept any more and ends: " + ec.message());
  final_error_ = ec.value();
  phase expected = phase::running;
  phase_.compare_exchange_strong(expected, phase::failed);
  over_->set();
}

/// The life of a connection's fiber.
void stream_server::core::serve(const address& local, accepted_connection connection) {
  struct tell_at_end {
    detail::room& room;
    ~tell_at_end() { room.freed(); }
  } at_end{room_};
  std::exception_ptr error;
  try {
    std::unique_ptr<stream> served = std::move(connection.socket);
    if (how_.wrap) served = how_.wrap(std::move(served));
    if (!served) {
      ++refused_;
      return;
    }
    serve_(*served, connection.peer);
    std::error_code ignored;  // the peer may have gone
    served->close(ignored);
  } catch (const fiber_exit&) {
    throw;
  } catch (...) {
    error = std::current_exception();
  }
  if (error) report(local, connection.peer, error);
}

void stream_server::core::report(const address& local, const address& peer,
                                 const std::exception_ptr& error) {
  ++errors_;
  if (!how_.on_error) return detail::tell_failure(local, peer, error);
  std::exception_ptr own;
  try {
    how_.on_error(error, peer);
    return;
  } catch (const fiber_exit&) {
    throw;
  } catch (...) {
    own = std::current_exception();
  }
  detail::tell_failure(local, peer, error);
  detail::tell_failure(local, peer, own);
}

void stream_server::core::serve_until_over() {
  if (is_in_handler()) throw std::logic_error("coir: a handler cannot wait for its own server");
  try {
    over_->wait();
  } catch (...) {
    end_now();
    throw;
  }
  if (const int error = final_error_) {
    end_now();
    throw std::system_error(error, std::system_category(), "accept connections");
  }
  connections_.join_for(kill_patience);  // of the handler that has stopped it
}

std::size_t stream_server::core::stop(time_limit grace) {
  const stopper inside(*this);
  close_doors();
  const std::size_t killed = end_connections(grace);
  stoppers_.fetch_or(is_over);
  return killed;
}

void stream_server::core::close_doors() {
  const std::lock_guard changing(changes_);
  phase_ = phase::stopped;
  acceptors_.kill();
  close_what_is_left();
}

/// Doors whose fibers were killed before they had begun, or are the parent's in the child of a
/// fork.
void stream_server::core::close_what_is_left() noexcept {
  for (door& d : doors_) {
    if (d.is_open()) d.close();
  }
  where_.take_listeners();
}

/// Stops without grace, however long that takes; nothing interrupts it.
void stream_server::core::end_now() noexcept {
  phase_ = phase::stopped;
  acceptors_.end();
  if (changes_.try_lock()) {  // else somebody is closing them
    close_what_is_left();
    changes_.unlock();
  }
  connections_.end();
}

std::size_t stream_server::core::end_connections(time_limit grace) {
  const std::vector<any_fiber> all = others();
  joinall(all, rest_of(grace));
  std::vector<any_fiber> left;
  for (const any_fiber& each : all) {
    if (!each.ready()) left.push_back(each);
  }
  killall(left, false);
  joinall(left, kill_patience);
  return left.size();
}

/// The fibers of connections, but not the caller.
std::vector<any_fiber> stream_server::core::others() {
  std::vector<any_fiber> all = connections_.members();
  if (is_in_handler()) {
    std::erase_if(all, [own = this_fiber::id()](const any_fiber& f) { return f.id() == own; });
  }
  return all;
}

std::vector<address> stream_server::core::local_addresses() {
  const std::lock_guard unchanged(changes_);
  return locals_;
}

server_counters stream_server::core::counters() noexcept {
  server_counters now;
  now.accepted = accepted_;
  now.refused = refused_;
  now.accept_failures = accept_failures_;
  now.errors = errors_;
  now.active = connections_.size();
  return now;
}

/// For a handler that destroys its own server: it cannot wait for itself.
void stream_server::core::leave_to_another_fiber() noexcept {
  try {
    spawn({.name = "end of a server"}, [this] {
      const std::unique_ptr<core> last(this);
      last->connections_.join();
    });
  } catch (const std::exception&) {
    // Without memory for that fiber the memory of the server is lost, and nothing else.
  }
}

stream_server::stream_server(std::in_place_t, endpoints where, handler serve, options how) {
  if (where.empty()) throw std::invalid_argument("coir: a server needs an address or a listener");
  if (how.backlog && !where.listeners().empty()) {
    throw std::invalid_argument("coir: a listener that is ready has its backlog already");
  }
  core_ = std::make_unique<core>(std::move(where), std::move(serve), std::move(how));
}

stream_server::~stream_server() {
  if (!core_->is_in_handler()) return;
  try {
    core_->stop(std::chrono::seconds(0));
  } catch (...) {
    // Of a time limit on this handler: the others end all the same.
  }
  core_.release()->leave_to_another_fiber();
}

void stream_server::start() {
  std::error_code ec;
  address failed;
  core_->start(ec, failed);
  if (ec) detail::throw_error(ec, "listen on " + failed.to_string());
}

void stream_server::start(std::error_code& ec) {
  address failed;
  core_->start(ec, failed);
}

void stream_server::serve_forever() {
  core_->start_if_idle();
  core_->serve_until_over();
}

std::size_t stream_server::stop(time_limit grace) { return core_->stop(grace); }

bool stream_server::is_running() const noexcept { return core_->is_running(); }

std::vector<address> stream_server::local_addresses() const { return core_->local_addresses(); }

address stream_server::local_address() const {
  const std::vector<address> all = local_addresses();
  if (all.empty()) throw std::logic_error("coir: a server has addresses once it was started");
  return all.front();
}

server_counters stream_server::counters() const noexcept { return core_->counters(); }

}  // namespace coir::net
