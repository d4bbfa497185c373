#include "hooks/threads/report.hpp"

#include "hooks/threads/call_sites.hpp"
#include "hooks/threads/counters.hpp"
#include "hooks/threads/state.hpp"
#include "runtime/kernel/calls.hpp"

#include <cstdio>

#include <unistd.h>

namespace coir::threads {

void print_report(int fd) noexcept {
  auto n = [](counter which) { return static_cast<unsigned long>(counted(which)); };
  char text[1024];
  const int size = std::snprintf(text, sizeof text,
                                 "coir: report of process %d\n"
                                 "coir:   threads that were fibers       %12lu\n"
                                 "coir:   threads left to the kernel     %12lu\n"
                                 "coir:   kernel threads used            %12d   (%d tokens)\n"
                                 "coir:   waits for descriptors parked   %12lu\n"
                                 "coir:   waits for locks parked         %12lu\n"
                                 "coir:   sleeps parked                  %12lu\n"
                                 "coir:   calls that blocked a kernel thread, foreseen   %12lu\n"
                                 "coir:   and unforeseen: tokens taken by the monitor    %12lu\n",
                                 ::getpid(), n(counter::threads), n(counter::native_threads),
                                 sched->carrier_count.load(), sched->tokens,
                                 n(counter::descriptor_parks), n(counter::address_parks),
                                 n(counter::sleeps), n(counter::regions), n(counter::hand_overs));
  if (size > 0) kernel::write(fd, text, static_cast<std::size_t>(size));
  print_call_sites(fd);
}

}  // namespace coir::threads
