// GLib's main loop and fibers on one thread, in either order: by default GLib waits, and runs the
// fibers when there is something for them; with --in-fiber the loop runs in a fiber, and waits as
// fibers do. An echo server of fibers and a timer of GLib's go on beside each other.
#include <coir/coir.h>
#include <coir/coir.hpp>
#include <coir/net.hpp>

#include "common/command_line.hpp"
#include "common/server.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <string>

#include <glib.h>

namespace {

using namespace std::chrono_literals;

constexpr char usage[] =
    "usage: glib_loop [options]\n"
    "  --ticks N    how often GLib's timer ticks, every 100 ms (10)\n"
    "  --in-fiber   GLib's loop runs in a fiber, instead of the fibers in the loop\n"
    "Meanwhile it serves echo on a free port of the loopback. Prints the port once it listens.\n";

/// How long GLib may wait, in its milliseconds; rounded up, so that a timer is due then.
int glib_timeout(std::chrono::nanoseconds limit) {
  if (limit == std::chrono::nanoseconds::max()) return -1;
  return static_cast<int>(
      std::min(std::chrono::ceil<std::chrono::milliseconds>(limit), 60'000ms).count());
}

// The fibers of the thread as a source of GLib's, which asks it before and after each wait.

struct fiber_source {
  GSource base;
  GPollFD events;
};

/// All sources have had their turn: what they have made ready runs here.
gboolean run_fibers(GSource*, gint* timeout) {
  *timeout = glib_timeout(coir::run_once());
  return *timeout == 0;
}

gboolean has_events(GSource* source) {
  return reinterpret_cast<fiber_source*>(source)->events.revents != 0;
}

gboolean keep_source(GSource*, GSourceFunc, gpointer) { return G_SOURCE_CONTINUE; }

void attach_fibers() {
  static GSourceFuncs functions{};
  functions.prepare = run_fibers;
  functions.check = has_events;
  functions.dispatch = keep_source;
  GSource* const made = g_source_new(&functions, sizeof(fiber_source));
  auto* const source = reinterpret_cast<fiber_source*>(made);
  source->events = {coir::pollable_fd(), G_IO_IN, 0};
  g_source_add_poll(made, &source->events);
  g_source_attach(made, nullptr);
  g_source_unref(made);
}

GMainLoop* loop = nullptr;

/// GLib's wait, for a loop that runs in a fiber. A kill of the fiber ends the loop.
gint poll_in_fiber(GPollFD* fds, guint count, gint timeout_ms) {
  static_assert(sizeof(GPollFD) == sizeof(pollfd));
  const std::int64_t limit = timeout_ms < 0 ? -1 : timeout_ms * std::int64_t{1'000'000};
  const int ready = coir_poll(reinterpret_cast<pollfd*>(fds), count, limit);
  if (ready >= 0) return ready;
  if (ready == -ECANCELED) g_main_loop_quit(loop);
  errno = ready == -ECANCELED ? EINTR : -ready;
  return -1;
}

// The program

gboolean tick(gpointer data) {
  int& left = *static_cast<int*>(data);
  example::print_line("tick, " + std::to_string(coir::fiber_count()) + " fibers");
  if (--left > 0) return G_SOURCE_CONTINUE;
  g_main_loop_quit(loop);
  return G_SOURCE_REMOVE;
}

void echo(coir::net::stream& connection) {
  std::array<char, 4096> data;
  while (const std::size_t size = connection.read_some(data))
    connection.write_all(coir::net::const_buffer(data.data(), size));
}

int run(bool in_fiber, int ticks) {
  coir::net::stream_server server(coir::net::address::ipv4_loopback(), echo);
  server.start();
  example::say_where(server.local_address());

  loop = g_main_loop_new(nullptr, FALSE);
  g_timeout_add(100, tick, &ticks);
  if (in_fiber) {
    g_main_context_set_poll_func(nullptr, poll_in_fiber);
    coir::spawn([] { g_main_loop_run(loop); }).join();
  } else {
    attach_fibers();
    g_main_loop_run(loop);
  }
  g_main_loop_unref(loop);
  server.stop();
  example::print_line("bye");
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  return example::run_main("glib_loop", usage, [&] {
    bool in_fiber = false;
    int ticks = 10;
    example::command_line line;
    line.flag("in-fiber", in_fiber).number("ticks", ticks, 1, 1'000'000).parse(argc, argv);
    return run(in_fiber, ticks);
  });
}
