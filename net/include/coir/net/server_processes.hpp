/// A server in several processes, made by fork: Python's ForkingMixIn, or a prefork server.
#pragma once

#include <coir/event.hpp>
#include <coir/export.hpp>
#include <coir/net/endpoints.hpp>
#include <coir/net/stream_server.hpp>

#include <chrono>
#include <cstddef>
#include <functional>
#include <utility>

namespace coir::net {

/// How processes are kept.
struct server_process_options {
  /// How many serve at a time; 0: as many as there are processors that the caller may use.
  std::size_t count = 0;
  /// How long a process may take to end once it was asked to; then it is killed, a second later.
  std::chrono::milliseconds grace = std::chrono::seconds(30);
  /// How many processes in a row may die within a second of their beginning before the parent gives
  /// up: something is wrong then that another process will not mend.
  std::size_t early_deaths_max = 10;
};

/// What one of the processes gets.
struct server_process {
  std::size_t number;   ///< from 0 on; a process that replaces another has the same
  endpoints listeners;  ///< shared by all processes; to be moved into a server
  event& stop_asked;    ///< is set when the process is to end
};

/// Listens on `where`, forks, and calls `serve(process)` in each child, which has a runtime of its
/// own and ends when `serve` returns: with status 0, or with 1 and a line on stderr when it throws.
/// Blocks the calling thread: the parent only watches. A child that dies is replaced, and a line on
/// stderr says so. SIGTERM or SIGINT ends all: the listeners are closed, the children asked to stop
/// (each finds `stop_asked` set), and those killed that have not ended in time; a second signal
/// kills them at once. Children end, too, when the parent dies. Returns when all have ended.
///
/// To be called by the main thread before others are started; until it returns those signals and
/// SIGCHLD are blocked and waited for. Throws std::system_error when an address cannot be listened
/// on or no process can be made, std::runtime_error for too many early deaths, and
/// std::invalid_argument without anything to listen on.
COIR_API void serve_in_processes(endpoints where, const server_process_options& how,
                                 const std::function<void(server_process& self)>& serve);

/// The same with a stream_server in each child, which stops with that grace.
template <class Handler>
void serve_in_processes(endpoints where, const server_process_options& how, Handler handler,
                        const stream_server::options& options) requires
    std::invocable<Handler&, stream&> || std::invocable<Handler&, stream&, const address&> {
  serve_in_processes(std::move(where), how, [&](server_process& self) {
    stream_server server(std::move(self.listeners), handler, options);
    server.start();
    self.stop_asked.wait();
    server.stop(how.grace);
  });
}

}  // namespace coir::net
