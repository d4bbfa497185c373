#include <coir/net/stream_server.hpp>

#include "net/cooperative.hpp"
#include "net/door.hpp"
#include "net/server_life.hpp"

#include <coir/coir.hpp>

#include <deque>
#include <stdexcept>

namespace coir::net {
namespace {

using detail::door;

/// A connection on its way to its handler.
struct accepted_connection {
  std::unique_ptr<stream> socket;
  address peer;
};

}  // namespace

class stream_server::core final : public detail::server_life {
 public:
  core(endpoints where, handler serve, options how)
      : core(std::move(where), std::move(serve), std::make_unique<options>(std::move(how))) {}
  ~core() override { end_now(); }

 private:
  core(endpoints where, handler serve, std::unique_ptr<const options> how)
      : server_life({how->on, how->max_connections, how->on_error}),
        where_(std::move(where)),
        serve_(std::move(serve)),
        how_(std::move(how)) {}

  void make_doors(std::error_code& ec, address& failed) override;
  void open_doors() override;
  void forget_doors() noexcept override { doors_.clear(); }
  void close_doors() noexcept override;

  void make_doors_at(const address& local, std::error_code& ec);
  void make_doors_of(any_listener ready, std::error_code& ec);
  void accept_all(door& d);
  bool accept_one(door& d, std::error_code& ec);
  void serve(const address& local, accepted_connection connection);

  endpoints where_;
  const handler serve_;
  const std::unique_ptr<const options> how_;
  std::deque<door> doors_;
};

void stream_server::core::make_doors(std::error_code& ec, address& failed) {
  for (const address& local : where_.addresses()) {
    failed = local;
    make_doors_at(local, ec);
    if (ec) return;
  }
  for (any_listener& ready : where_.take_listeners()) {
    make_doors_of(std::move(ready), ec);
    if (ec) return;
  }
}

/// One door for each worker, all at one port.
void stream_server::core::make_doors_at(const address& local, std::error_code& ec) {
  const bool is_shared = local.is_unix();  // which know no SO_REUSEPORT
  const detail::door_options how{how_->backlog.value_or(listener::default_backlog),
                                 how_->reuse_port || (workers_to_use() > 1 && !is_shared),
                                 how_->v6_only};
  any_listener first = detail::listen_at(local, how, ec);
  if (ec) return;
  if (is_shared) return make_doors_of(std::move(first), ec);
  const address& bound = doors_.emplace_back(std::move(first), 0).local();
  add_local(bound);
  for (std::size_t worker = 1; worker < workers_to_use() && !ec; ++worker) {
    doors_.emplace_back(detail::listen_at(bound, how, ec), worker);
  }
}

/// One door for each worker, all of one socket.
void stream_server::core::make_doors_of(any_listener ready, std::error_code& ec) {
  const door& first = doors_.emplace_back(std::move(ready), 0);
  add_local(first.local());
  for (std::size_t worker = 1; worker < workers_to_use() && !ec; ++worker) {
    doors_.push_back(first.duplicate(worker, ec));
  }
}

void stream_server::core::open_doors() {
  for (door& d : doors_) {
    open("accept on " + d.local().to_string(), d.worker(), [this, &d] { accept_all(d); });
  }
}

/// Those whose fibers were killed before they had begun, or are the parent's in the child of a
/// fork, are open still.
void stream_server::core::close_doors() noexcept {
  for (door& d : doors_) {
    if (d.is_open()) d.close();
  }
  where_.take_listeners();
}

/// The life of a door's fiber.
void stream_server::core::accept_all(door& d) {
  const detail::turn_at_end no_socket_kept;
  struct close_at_end {
    door& d;
    ~close_at_end() { d.close(); }
  } at_end{d};
  detail::shortage shortage(room_, d.local(), "accept connections");
  for (int accepted = 0;;) {
    std::error_code ec;
    std::string why;
    wait_for_place();
    try {
      if (accept_one(d, ec)) {
        shortage.over();
        if (++accepted % detail::arrivals_per_turn == 0) this_fiber::yield();
        continue;
      }
      why = detail::describe_shortage(ec);
    } catch (const std::exception& no_memory) {
      ++refused_;  // it is closed by now
      why = no_memory.what();
    }
    if (detail::is_final(ec)) return fail(d.local(), "accept connections", ec);
    ++accept_failures_;
    shortage.wait(why, active());
  }
}

/// A connection of which nobody knows is closed by whatever leaves this.
bool stream_server::core::accept_one(door& d, std::error_code& ec) {
  accepted_connection connection;
  connection.socket = d.accept(connection.peer, ec);
  if (ec) return false;
  begin(
      {.name = "connection", .stack_bytes = how_->stack_bytes},
      [this, &d](accepted_connection c) { serve(d.local(), std::move(c)); }, std::move(connection));
  return true;
}

/// The life of a connection's fiber.
void stream_server::core::serve(const address& local, accepted_connection connection) {
  guarded(local, connection.peer, [&] {
    std::unique_ptr<stream> served = std::move(connection.socket);
    if (how_->wrap) served = how_->wrap(std::move(served));
    if (!served) {
      ++refused_;
      return;
    }
    serve_(*served, connection.peer);
    std::error_code ignored;  // the peer may have gone
    served->close(ignored);
  });
}

stream_server::stream_server(std::in_place_t, endpoints where, handler serve, options how) {
  if (where.empty()) throw std::invalid_argument("coir: a server needs an address or a listener");
  if (how.backlog && !where.listeners().empty()) {
    throw std::invalid_argument("coir: a listener that is ready has its backlog already");
  }
  core_ = std::make_unique<core>(std::move(where), std::move(serve), std::move(how));
}

stream_server::~stream_server() {
  if (core_->is_in_handler()) detail::server_life::end_later(std::move(core_));
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
