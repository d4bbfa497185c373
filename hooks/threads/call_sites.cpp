#include "hooks/threads/call_sites.hpp"

#include "hooks/threads/lock.hpp"
#include "hooks/threads/settings.hpp"
#include "hooks/threads/wiped.hpp"
#include "runtime/io/thread_scheduler.hpp"
#include "runtime/kernel/calls.hpp"

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstring>

#include <dlfcn.h>
#include <execinfo.h>

namespace coir::threads {
namespace {

constexpr int sites_max = 256;
constexpr int sites_printed = 10;
constexpr int frames_kept = 6;
constexpr int frames_looked_at = 24;

struct call_site {
  void* frames[frames_kept];
  std::uint64_t count;
  site_kind kind;
};

struct sites_state {
  lock guard_of_sites;
  int used;
  call_site sites[sites_max];
};
constinit wiped<sites_state> noted{};

/// Where the library or program begins that holds an address.
const void* home_of(const void* address) noexcept {
  Dl_info found;
  return ::dladdr(address, &found) ? found.dli_fbase : nullptr;
}

/// Copies the frames of the program: coir's own come first, and at the start of a thread last.
int keep_foreign(void* const* frames, int count, void** kept) noexcept {
  const void* const hooks = home_of(reinterpret_cast<const void*>(&note_call_site));
  const void* const runtime = home_of(reinterpret_cast<const void*>(&io::registered_threads));
  auto is_own = [&](const void* frame) {
    const void* const home = home_of(frame);
    return home == hooks || home == runtime;
  };
  int first = 0;
  while (first < count && is_own(frames[first])) ++first;
  int size = 0;
  while (size < frames_kept && first + size < count && !is_own(frames[first + size])) {
    kept[size] = frames[first + size];
    ++size;
  }
  return size;
}

void add(const call_site& site) noexcept {
  const guard hold(noted->guard_of_sites);
  call_site* const end = noted->sites + noted->used;
  call_site* const known = std::find_if(noted->sites, end, [&](const call_site& s) {
    return s.kind == site.kind && std::memcmp(s.frames, site.frames, sizeof s.frames) == 0;
  });
  if (known != end) {
    ++known->count;
  } else if (noted->used < sites_max) {
    noted->sites[noted->used++] = site;
  }
}

void print_frame(int fd, void* address) noexcept {
  Dl_info found{};
  ::dladdr(address, &found);
  const char* const file = found.dli_fname ? std::strrchr(found.dli_fname, '/') : nullptr;
  const char* const base = file ? file + 1 : found.dli_fname ? found.dli_fname : "?";
  const auto offset =
      reinterpret_cast<std::uintptr_t>(address) -
      reinterpret_cast<std::uintptr_t>(found.dli_saddr ? found.dli_saddr : found.dli_fbase);
  char line[256];
  const int size =
      std::snprintf(line, sizeof line, "coir:       %s(%s+0x%lx)\n", base,
                    found.dli_saddr ? found.dli_sname : "", static_cast<unsigned long>(offset));
  if (size > 0) kernel::write(fd, line, std::min(sizeof line - 1, static_cast<std::size_t>(size)));
}

void print_site(int fd, const call_site& site) noexcept {
  char line[128];
  const int size = std::snprintf(
      line, sizeof line, "coir:   %llu times %s\n", static_cast<unsigned long long>(site.count),
      site.kind == site_kind::blocked ? "a call that blocks, from"
                                      : "back after the monitor took the token, in a call from");
  if (size > 0) kernel::write(fd, line, static_cast<std::size_t>(size));
  for (void* const frame : site.frames)
    if (frame) print_frame(fd, frame);
}

}  // namespace

bool start_call_sites() noexcept {
  if (settings().report) {
    void* first[1];
    ::backtrace(first, 1);  // loads the unwinder now, and not inside some call of the program
  }
  return noted.wipe_on_fork();
}

void note_call_site(site_kind kind) noexcept {
  if (!settings().report) return;
  void* frames[frames_looked_at];
  const int count = ::backtrace(frames, frames_looked_at);
  call_site site{};
  site.kind = kind;
  site.count = 1;
  if (keep_foreign(frames, count, site.frames) > 0) add(site);
}

void print_call_sites(int fd) noexcept {
  const guard hold(noted->guard_of_sites);
  call_site* const end = noted->sites + noted->used;
  call_site* const shown = noted->sites + std::min(noted->used, sites_printed);
  std::partial_sort(noted->sites, shown, end,
                    [](const call_site& a, const call_site& b) { return a.count > b.count; });
  for (const call_site* site = noted->sites; site != shown; ++site) print_site(fd, *site);
}

}  // namespace coir::threads
