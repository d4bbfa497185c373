#include <coir/net/datagram_server.hpp>

#include "net/cooperative.hpp"
#include "net/server_life.hpp"
#include "net/socket_calls.hpp"
#include "runtime/kernel/calls.hpp"

#include <coir/coir.hpp>
#include <coir/net/detail/bound_path.hpp>

#include <deque>
#include <stdexcept>
#include <string>

namespace coir::net {
namespace {

/// A bound socket with the worker that it belongs to.
struct hatch {
  any_datagram_socket socket;
  std::size_t worker;
  address local{};
  detail::bound_path path{};  ///< that was made for it

  hatch(any_datagram_socket bound, std::size_t of_worker)
      : socket(std::move(bound)), worker(of_worker) {
    std::error_code unknown;
    local = get().local_address(unknown);
  }
  datagram_socket& get() {
    return std::visit([](auto& s) -> datagram_socket& { return s; }, socket);
  }
};

/// A datagram on its way to its handler.
struct received_datagram {
  std::string bytes;
  std::size_t full_size = 0;
  address peer;
};

any_datagram_socket duplicate(const any_datagram_socket& of, std::error_code& ec) {
  return std::visit(
      [&](const auto& socket) -> any_datagram_socket {
        using kind = std::decay_t<decltype(socket)>;
        const int fd = kernel::fcntl(socket.native_handle(), F_DUPFD_CLOEXEC, 0);
        if (fd < 0) {
          ec = detail::code_of(fd);
          return kind();
        }
        detail::descriptor owner(fd);
        kind copy = kind::adopt(fd, ec);
        if (!ec) owner.release();
        return copy;
      },
      of);
}

}  // namespace

class datagram_server::core final : public detail::server_life {
 public:
  core(std::vector<address> where, std::vector<any_datagram_socket> ready, handler handle,
       options how)
      : core(std::move(where), std::move(ready), std::move(handle),
             std::make_unique<options>(std::move(how))) {}
  ~core() override {
    end_now();
    handlers_ended();
  }

 private:
  core(std::vector<address> where, std::vector<any_datagram_socket> ready, handler handle,
       std::unique_ptr<const options> how)
      : server_life({how->on, how->max_in_flight, how->on_error}),
        where_(std::move(where)),
        ready_(std::move(ready)),
        handle_(std::move(handle)),
        how_(std::move(how)) {}

  void make_doors(std::error_code& ec, address& failed) override;
  void open_doors() override;
  void forget_doors() noexcept override { handlers_ended(); }
  void close_doors() noexcept override {}
  void handlers_ended() noexcept override;

  void make_hatches_at(const address& local, std::error_code& ec);
  void share(hatch& first, std::error_code& ec);
  void receive_all(hatch& h);
  bool receive_one(hatch& h, std::string& buffer, std::error_code& ec);
  void handle(hatch& h, const received_datagram& got);

  const std::vector<address> where_;
  std::vector<any_datagram_socket> ready_;
  const handler handle_;
  const std::unique_ptr<const options> how_;
  std::deque<hatch> hatches_;
};

void datagram_server::core::make_doors(std::error_code& ec, address& failed) {
  for (const address& local : where_) {
    failed = local;
    make_hatches_at(local, ec);
    if (ec) return;
  }
  for (any_datagram_socket& ready : std::exchange(ready_, {})) {
    share(hatches_.emplace_back(std::move(ready), 0), ec);
    if (ec) return;
  }
}

/// One socket for each worker, all at one port.
void datagram_server::core::make_hatches_at(const address& local, std::error_code& ec) {
  if (local.is_unix()) {
    unix_datagram bound = unix_datagram::bind(local, ec);
    if (ec) return;
    hatch& first = hatches_.emplace_back(std::move(bound), 0);
    first.path = detail::bound_path(local);
    return share(first, ec);
  }
  udp_socket::options how;
  how.reuse_port = how_->reuse_port || workers_to_use() > 1;
  how.v6_only = how_->v6_only;
  address bound = local;
  for (std::size_t worker = 0; worker < workers_to_use(); ++worker) {
    udp_socket made = udp_socket::bind(bound, how, ec);
    if (ec) return;
    bound = hatches_.emplace_back(std::move(made), worker).local;
  }
  add_local(bound);
}

/// The same socket for the other workers.
void datagram_server::core::share(hatch& first, std::error_code& ec) {
  add_local(first.local);
  for (std::size_t worker = 1; worker < workers_to_use() && !ec; ++worker) {
    hatches_.emplace_back(duplicate(first.socket, ec), worker);
  }
}

void datagram_server::core::open_doors() {
  for (hatch& h : hatches_) {
    open("receive on " + h.local.to_string(), h.worker, [this, &h] { receive_all(h); });
  }
}

/// Nobody uses the sockets any more.
void datagram_server::core::handlers_ended() noexcept {
  for (hatch& h : hatches_) {
    std::error_code ignored;
    h.path.remove();
    h.get().close(ignored);
  }
  ready_.clear();
}

/// The life of a hatch's fiber.
void datagram_server::core::receive_all(hatch& h) {
  const detail::turn_at_end no_socket_kept;
  detail::shortage shortage(room_, h.local, "receive datagrams");
  std::string buffer(how_->size_max, '\0');
  for (int count = 0;;) {
    std::error_code ec;
    std::string why;
    if (!how_->in_turn) wait_for_place();
    try {
      if (receive_one(h, buffer, ec)) {
        shortage.over();
        if (!is_running()) return;  // the handler has stopped it
        if (++count % detail::arrivals_per_turn == 0) this_fiber::yield();
        continue;
      }
      // An answer to somebody who has gone meanwhile comes back as an error of the socket.
      if (ec == std::errc::connection_refused) continue;
      why = detail::describe_shortage(ec);
    } catch (const std::exception& no_memory) {
      ++refused_;
      why = no_memory.what();
    }
    if (detail::is_final(ec)) return fail(h.local, "receive datagrams", ec);
    ++accept_failures_;
    shortage.wait(why, active());
  }
}

bool datagram_server::core::receive_one(hatch& h, std::string& buffer, std::error_code& ec) {
  received_datagram got;
  const received what = h.get().receive_from(buffer, got.peer, ec);
  if (ec) return false;
  if (what.is_truncated()) ++truncated_;
  got.full_size = what.full_size;
  if (how_->in_turn) {
    ++accepted_;
    const this_fiber::no_kill until_it_returns;
    guarded(h.local, got.peer, [&] {
      const std::string_view bytes(buffer.data(), what.size);
      handle_(datagram(bytes, got.full_size, got.peer, h.get()));
    });
    return true;
  }
  got.bytes.assign(buffer.data(), what.size);
  begin(
      {.name = "datagram", .stack_bytes = how_->stack_bytes},
      [this, &h](const received_datagram& d) { handle(h, d); }, std::move(got));
  return true;
}

/// The life of a datagram's fiber.
void datagram_server::core::handle(hatch& h, const received_datagram& got) {
  guarded(h.local, got.peer,
          [&] { handle_(datagram(got.bytes, got.full_size, got.peer, h.get())); });
}

datagram_server::datagram_server(std::vector<address> where, std::vector<any_datagram_socket> ready,
                                 handler handle, options how) {
  if (where.empty() && ready.empty()) {
    throw std::invalid_argument("coir: a server needs an address or a socket");
  }
  if (how.size_max == 0) throw std::invalid_argument("coir: a size_max of 0 takes no datagrams");
  core_ =
      std::make_unique<core>(std::move(where), std::move(ready), std::move(handle), std::move(how));
}

datagram_server::~datagram_server() {
  if (core_->is_in_handler()) detail::server_life::end_later(std::move(core_));
}

void datagram_server::start() {
  std::error_code ec;
  address failed;
  core_->start(ec, failed);
  if (ec) detail::throw_error(ec, "bind to " + failed.to_string());
}

void datagram_server::start(std::error_code& ec) {
  address failed;
  core_->start(ec, failed);
}

void datagram_server::serve_forever() {
  core_->start_if_idle();
  core_->serve_until_over();
}

std::size_t datagram_server::stop(time_limit grace) { return core_->stop(grace); }

bool datagram_server::is_running() const noexcept { return core_->is_running(); }

std::vector<address> datagram_server::local_addresses() const { return core_->local_addresses(); }

address datagram_server::local_address() const {
  const std::vector<address> all = local_addresses();
  if (all.empty()) throw std::logic_error("coir: a server has addresses once it was started");
  return all.front();
}

server_counters datagram_server::counters() const noexcept { return core_->counters(); }

}  // namespace coir::net
