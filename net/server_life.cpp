#include "net/server_life.hpp"

#include "net/cooperative.hpp"
#include "net/tell.hpp"

#include <coir/coir.hpp>

#include <stdexcept>

namespace coir::net::detail {
namespace {

// How long those who are killed may take to clean up before stop() gives up on them; gevent's.
constexpr auto kill_patience = std::chrono::seconds(1);

/// The rest of a limit, for calls that take a duration.
std::chrono::nanoseconds rest_of(const time_limit& limit) {
  if (limit.until() == coir::detail::never) return std::chrono::nanoseconds::max();
  return std::chrono::nanoseconds(limit.until() - coir::detail::now_ns());
}

}  // namespace

/// Counts those who stop the server, and tells serve_until_over() when the last has left.
class server_life::stopper {
 public:
  explicit stopper(server_life& stopped) : stopped_(stopped) { ++stopped_.stoppers_; }
  stopper(const stopper&) = delete;
  stopper& operator=(const stopper&) = delete;
  ~stopper() {
    const std::shared_ptr<event> over = stopped_.over_;
    if (stopped_.stoppers_.fetch_sub(1) == (is_over | 1)) over->set();
  }

 private:
  server_life& stopped_;
};

bool is_final(const std::error_code& ec) noexcept {
  return ec == std::errc::bad_file_descriptor || ec == std::errc::invalid_argument ||
         ec == std::errc::not_a_socket || ec == std::errc::operation_not_supported;
}

turn_at_end::~turn_at_end() {
  const this_fiber::no_kill to_the_end;
  this_fiber::sleep_for(std::chrono::microseconds(1));
}

void server_life::start(std::error_code& ec, address& failed) {
  const std::lock_guard changing(changes_);
  if (phase_ != phase::idle) {
    throw std::logic_error(phase_ == phase::running ? "coir: this server is running already"
                                                    : "coir: a server starts once; make another");
  }
  start_locked(ec, failed);
}

void server_life::start_if_idle() {
  const std::lock_guard changing(changes_);
  if (phase_ != phase::idle) return;
  std::error_code ec;
  address failed;
  start_locked(ec, failed);
  if (ec) throw_error(ec, "listen on " + failed.to_string());
}

void server_life::start_locked(std::error_code& ec, address& failed) {
  if (!ensure_worker(ec)) return;
  struct undo_unless_running {
    server_life& s;
    ~undo_unless_running() {
      if (s.phase_ == phase::running) return;
      s.doors_.end();
      s.forget_doors();
      s.locals_.clear();
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

void server_life::serve_until_over() {
  if (is_in_handler()) throw std::logic_error("coir: a handler cannot wait for its own server");
  try {
    over_->wait();
  } catch (...) {
    end_now();
    throw;
  }
  if (const int error = final_error_) {
    end_now();
    throw std::system_error(error, std::system_category(), "serve");
  }
  handlers_.join_for(kill_patience);  // of the handler that has stopped it
}

std::size_t server_life::stop(time_limit grace) {
  const stopper inside(*this);
  end_doors();
  const std::size_t killed = end_handlers(grace);
  stoppers_.fetch_or(is_over);
  return killed;
}

void server_life::end_doors() {
  const std::lock_guard changing(changes_);
  phase_ = phase::stopped;
  const std::vector<any_fiber> doors = others(doors_);
  killall(doors, false);
  joinall(doors);
  close_doors();
}

std::size_t server_life::end_handlers(time_limit grace) {
  const std::vector<any_fiber> all = others(handlers_);
  joinall(all, rest_of(grace));
  std::vector<any_fiber> left;
  for (const any_fiber& each : all) {
    if (!each.ready()) left.push_back(each);
  }
  killall(left, false);
  joinall(left, kill_patience);
  if (handlers_.empty() && doors_.empty()) {
    const std::lock_guard changing(changes_);
    handlers_ended();
  }
  return left.size();
}

/// Its members, but not the caller.
std::vector<any_fiber> server_life::others(group& members) {
  std::vector<any_fiber> all = members.members();
  std::erase_if(all, [own = this_fiber::id()](const any_fiber& f) { return f.id() == own; });
  return all;
}

void server_life::end_now() noexcept {
  phase_ = phase::stopped;
  doors_.end();
  if (changes_.try_lock()) {  // else somebody is closing them
    close_doors();
    changes_.unlock();
  }
  handlers_.end();
}

void server_life::end_later(std::unique_ptr<server_life> life) noexcept {
  try {
    life->stop(std::chrono::seconds(0));
  } catch (...) {
    // Of a time limit on this handler: the others end all the same.
  }
  server_life* const last = life.release();
  try {
    spawn({.name = "end of a server"}, [last] {
      const std::unique_ptr<server_life> owner(last);
      last->doors_.join();
      last->handlers_.join();
    });
  } catch (const std::exception&) {
    // Without memory for that fiber the memory of the server is lost, and nothing else.
  }
}

std::vector<address> server_life::local_addresses() {
  const std::lock_guard unchanged(changes_);
  return locals_;
}

server_counters server_life::counters() noexcept {
  server_counters now;
  now.accepted = accepted_;
  now.refused = refused_;
  now.truncated = truncated_;
  now.accept_failures = accept_failures_;
  now.errors = errors_;
  now.active = handlers_.size();
  return now;
}

void server_life::fail(const address& local, const char* what, const std::error_code& ec) {
  tell("the server on " + local.to_string() + " can never again " + what +
       " and ends: " + ec.message());
  final_error_ = ec.value();
  phase expected = phase::running;
  phase_.compare_exchange_strong(expected, phase::failed);
  over_->set();
}

void server_life::report(const address& local, const address& peer,
                         const std::exception_ptr& error) {
  ++errors_;
  if (!plan_.on_error) return tell_failure(local, peer, error);
  std::exception_ptr own;
  try {
    plan_.on_error(error, peer);
    return;
  } catch (const fiber_exit&) {
    throw;
  } catch (...) {
    own = std::current_exception();
  }
  tell_failure(local, peer, error);
  tell_failure(local, peer, own);
}

}  // namespace coir::net::detail
