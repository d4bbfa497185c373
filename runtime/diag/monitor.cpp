// The monitor: a thread that sees fibers which hold their worker for too long.
//
// At each look, half a limit after the last, it compares the progress of every worker with what it
// saw before. Who has made none since a whole limit, and does not sleep, holds its worker. What it
// does then is read from /proc, which disturbs nobody. Which fiber that is, is read out of the
// worker's memory by the kernel, since the worker writes there without atomics: what was read
// counts only if the worker has made no progress by the end of it.
//
// While all workers sleep so does the monitor: see monitor_bell.hpp. In the child of a fork, where
// its thread is not, it starts again when the first worker there ends a sleep, with new state:
// nobody knows in which one the old one was.
//
// Rejected: taking the ready fibers of a blocked worker over. They have begun, and stay with their
// thread, see docs/decisions/pinned-fibers.md; those that have not begun are taken anyway.
#include <coir/blocking.hpp>
#include <coir/detail/short_lock.hpp>

#include "runtime/diag/stack_sample.hpp"
#include "runtime/diag/symbols.hpp"
#include "runtime/kernel/call_words.hpp"
#include "runtime/kernel/calls.hpp"
#include "runtime/kernel/environment.hpp"
#include "runtime/kernel/report.hpp"
#include "runtime/kernel/thread_host.hpp"
#include "runtime/kernel/thread_state.hpp"
#include "runtime/sched/crew.hpp"
#include "runtime/sched/monitor_bell.hpp"
#include "runtime/sched/worker.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <system_error>

#include <gnu/libc-version.h>
#include <pthread.h>
#include <signal.h>
#include <sys/auxv.h>

namespace coir {
namespace detail {

constinit std::atomic<std::uint32_t> monitor_waits{1};

namespace {

using std::chrono::nanoseconds;

constexpr std::int64_t ms = 1'000'000;
constexpr unsigned long long limit_ms_max = 86'400'000;
// Often enough for short limits, seldom enough to cost nothing for long ones
constexpr std::int64_t period_ns_min = 1 * ms;
constexpr std::int64_t period_ns_max = 250 * ms;
// A look that comes so late says that the process was stopped, or got no processor: then nobody
// knows how long a fiber has held its worker
constexpr std::int64_t late_ns = 100 * ms;
constexpr std::size_t name_max = 64;
constexpr std::size_t frames_of_place = 4;
// Programs block in few places; those that come after so many share the last one
constexpr std::size_t places_max = 256;
constexpr std::size_t places_printed = 10;

/// A place, and what tells it from others.
struct known_place {
  std::vector<void*> frames;
  const void* spawn_site;  ///< only where there are no frames
  blocking_place seen;
};

/// What the thread knows of one worker. Its own.
struct watched {
  worker* w = nullptr;
  int thread = 0;
  std::uint64_t progress = 0;
  bool is_asleep = false;
  deadline since = 0;               ///< it makes no progress at least since then
  std::int64_t cpu_ns = 0;          ///< processor time of the thread then
  known_place* reported = nullptr;  ///< where it was seen to hold its worker
};

/// A worker at one look.
struct sight {
  worker* w;
  int thread;
  std::uint64_t progress;
  bool is_asleep;
  bool is_of_crew;
  int number;
  std::uint64_t alive;
  std::uint64_t waiting;
};

struct monitor {
  explicit monitor(monitor* parents) noexcept : of_parent(parents) {}

  const std::uint32_t generation = fork_generation.load(std::memory_order_relaxed);
  monitor* const of_parent;                   ///< so that it can be found
  std::atomic<std::int64_t> limit_ns{0};      ///< 0: off; written with the registry locked
  std::shared_ptr<blocking_handler> handler;  ///< guarded by the registry's lock; null: print
  bool has_thread = false;                    ///< guarded by the registry's lock
  std::atomic<int> thread{0};                 ///< the kernel's number
  std::atomic<std::uint32_t> changes{0};      ///< futex word: of limit_ns
  short_lock reporting;                       ///< held while a handler runs
  short_lock places_lock;
  std::vector<std::unique_ptr<known_place>> places;  ///< guarded by places_lock; none is ever freed
};

/// The monitor of this process; guarded by the registry's lock.
constinit monitor* only = nullptr;

constinit std::atomic<bool> are_totals_due{false};  ///< at exit

std::int64_t limit_unless_said() noexcept {
  return static_cast<std::int64_t>(
             kernel::number_said("COIR_MAX_BLOCKING_MS", 0, limit_ms_max, 0)) *
         ms;
}

/// With the registry locked. Throws std::bad_alloc.
monitor& present(const locked_registry&) {
  if (only && only->generation == fork_generation.load(std::memory_order_relaxed)) return *only;
  auto* const made = new monitor(only);
  made->limit_ns = only ? only->limit_ns.load() : limit_unless_said();
  if (only) made->handler = only->handler;
  return *(only = made);
}

// What the monitor reads of a worker.

std::vector<sight> look_at_workers() {
  std::vector<sight> found;
  const locked_registry registry;
  registry.for_each([&](worker& w) {
    const crew_seat* const seat = w.seat();
    const worker_counters& count = w.count();
    const std::uint64_t ended = count.fibers_ended.read();
    found.push_back({.w = &w,
                     .thread = w.thread_id(),
                     .progress = progress_of(w),
                     .is_asleep = count.slept.is_running(),
                     .is_of_crew = seat != nullptr,
                     .number = seat ? static_cast<int>(seat->number) : -1,
                     .alive = count.fibers_begun.read() - ended + (seat ? seat->on_the_way() : 0),
                     .waiting = seat ? seat->unbegun.size() + seat->all->queued() : 0});
  });
  return found;
}

bool is_any_awake() noexcept {
  bool is_awake = false;
  const locked_registry registry;
  registry.for_each([&](const worker& w) { is_awake |= !w.count().slept.is_running(); });
  return is_awake;
}

bool has_gone_on(const sight& s) noexcept {
  bool is_there = false;
  const locked_registry registry;
  registry.for_each([&](const worker& w) {
    is_there |= &w == s.w && w.thread_id() == s.thread && progress_of(w) == s.progress;
  });
  return !is_there;
}

/// A text that may vanish while it is read: page by page, since half of it may be there.
std::string read_text(const char* from) {
  char text[name_max + 1] = {};
  constexpr std::uintptr_t page = 4096;
  const std::size_t in_page = page - reinterpret_cast<std::uintptr_t>(from) % page;
  const std::size_t first = std::min(name_max, in_page);
  if (!kernel::read_memory(from, text, first)) return {};
  if (first < name_max && std::strlen(text) == first)
    kernel::read_memory(from + first, text + first, name_max - first);
  return text;
}

/// What runs on a worker, as far as it can be read.
struct running_fiber {
  bool is_known = false;
  bool is_main = false;
  bool is_loop = false;
  fiber_kind kind = fiber_kind::spawned;
  std::string name;
  std::uint64_t id = 0;
  const void* site = nullptr;
};

running_fiber read_running(worker& w) {
  running_fiber found;
  const auto read = [](const auto& from, auto& to) {
    return kernel::read_memory(&from, &to, sizeof to);
  };
  control_block* f = nullptr;
  fiber_record* record = nullptr;
  fiber_state state;
  const char* name = nullptr;
  if (!read(w.running, f) || !f || !read(f->state, state) || !read(f->record, record) || !record)
    return found;
  found.is_known = read(record->id, found.id) && read(record->kind, found.kind) &&
                   read(record->spawn_site, found.site) && read(record->name, name);
  if (found.is_known && name) found.name = read_text(name);
  found.is_main = f == &w.main_fiber();
  found.is_loop = state != fiber_state::running;  // a fiber that waits drives the loop
  return found;
}

bool does_anybody_suffer(const sight& s, const running_fiber& f) noexcept {
  if (s.is_of_crew) return s.alive > (f.is_loop ? 0 : 1) || s.waiting > 0;
  return s.alive > 0 || !f.is_main;
}

/// Besides the one that runs; a crew's main fiber only serves.
std::uint64_t count_behind(const sight& s, const running_fiber& f) noexcept {
  const std::uint64_t mains = s.is_of_crew ? 0 : 1;
  const std::uint64_t runs = f.is_loop || (s.is_of_crew && f.is_main) ? 0 : 1;
  const std::uint64_t all = s.alive + mains;
  return all > runs ? all - runs : 0;
}

// What it makes of that.

std::string words_for_activity(const kernel::call_in_progress& call, char state,
                               std::int64_t cpu_ns) {
  using kind = kernel::call_in_progress::kind;
  if (call.what == kind::call) return "in " + words_for(call);
  if (call.what == kind::no_memory) return "waiting for a page of memory";
  if (call.what == kind::none || state == 'R')
    return "on the processor, for " + std::to_string(cpu_ns / ms) + " ms of that";
  return std::string("in the kernel, in state ") + state;
}

/// The innermost frames of the program: without those of libc before them, and of coir where that
/// is a library of its own.
std::vector<void*> innermost_own(const std::vector<void*>& frames) {
  const void* const libc = module_of(gnu_get_libc_version());
  const void* const program = module_of(reinterpret_cast<const void*>(::getauxval(AT_ENTRY)));
  const void* const coir = module_of(reinterpret_cast<const void*>(&wake_monitor));
  const auto first = std::find_if(frames.begin(), frames.end(), [&](const void* frame) {
    const void* const module = module_of(frame);
    return module != libc && (module != coir || coir == program);
  });
  const auto from = first == frames.end() ? frames.begin() : first;
  const auto count = std::min<std::ptrdiff_t>(frames.end() - from, frames_of_place);
  return {from, from + count};
}

known_place& place_of(monitor& m, std::vector<void*> frames, const blocked_fiber& b) {
  const void* const site = frames.empty() ? b.site : nullptr;
  const std::lock_guard guard(m.places_lock);
  for (const auto& known : m.places) {
    if (known->frames == frames && known->spawn_site == site) return *known;
  }
  if (m.places.size() >= places_max) return *m.places.back();
  known_place made{.frames = std::move(frames), .spawn_site = site, .seen = {}};
  for (void* const frame : made.frames)
    made.seen.frames.push_back(words_for_address(frame, frame != made.frames.front()));
  made.seen.activity = b.activity;
  return *m.places.emplace_back(std::make_unique<known_place>(std::move(made)));
}

void print_lines(const std::string& text) noexcept {
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = text.find('\n', at);
    kernel::report("%.*s", static_cast<int>(end - at), text.c_str() + at);
    at = end + 1;
  }
}

void print_totals() noexcept {
  const std::vector<blocking_place> places = blocking_places();
  if (places.empty()) return;
  std::uint64_t times = 0;
  for (const blocking_place& place : places) times += place.times;
  kernel::report("workers were held for too long %llu times, at %zu %s:",
                 static_cast<unsigned long long>(times), places.size(),
                 places.size() == 1 ? "place" : "places");
  for (std::size_t i = 0; i < std::min(places.size(), places_printed); ++i) {
    const blocking_place& place = places[i];
    kernel::report("  %llu times, %lld ms in all, %lld ms the longest, %s, at %s",
                   static_cast<unsigned long long>(place.times),
                   static_cast<long long>(place.total.count() / ms),
                   static_cast<long long>(place.longest.count() / ms), place.activity.c_str(),
                   place.frames.empty() ? "a place without a stack" : place.frames[0].c_str());
  }
}

void print(const blocked_fiber& b) {
  if (!are_totals_due.exchange(true)) std::atexit([] { print_totals(); });
  if (b.times == 1) print_lines(b.text());
}

void tell(monitor& m, const blocked_fiber& b) noexcept {
  const std::lock_guard guard(m.reporting);
  std::shared_ptr<blocking_handler> handler;
  {
    const locked_registry registry;
    handler = m.handler;
  }
  try {
    handler ? (*handler)(b) : print(b);
  } catch (const std::exception& e) {
    kernel::report("the handler of blocked fibers failed: %s", e.what());
  } catch (...) {
    kernel::report("the handler of blocked fibers failed");
  }
}

/// The worker has made no progress for long: says so, when it should.
void examine(monitor& m, watched& it, const sight& s) {
  const kernel::call_in_progress call = kernel::call_of_thread(s.thread);
  const char state = kernel::state_of_thread(s.thread);
  if (std::strchr("TtXZ?", state)) return;  // stopped, traced or gone
  const std::int64_t held_ns = real_now_ns() - it.since;
  const std::int64_t cpu_ns = kernel::cpu_time_of_thread(s.thread) - it.cpu_ns;
  // It is the processor that is missing, until the thread has had as much of it as the limit
  const std::int64_t enough_ns = std::min(m.limit_ns.load(std::memory_order_relaxed), held_ns / 2);
  if (state == 'R' && cpu_ns < enough_ns) return;
  const running_fiber f = read_running(*s.w);
  if (!does_anybody_suffer(s, f)) return;
  blocked_fiber b;
  b.activity = words_for_activity(call, state, cpu_ns);
  if (has_gone_on(s)) return;
  const stack_sample sample = sample_stack(*s.w, s.thread, s.progress);
  if (sample.has_gone_on) return;
  if (f.is_known && !f.is_loop) {
    b.name = f.name;
    b.id = f.id;
    b.site = f.site;
    if (f.site) b.spawned_at = words_for_address(f.site, true);
  }
  b.is_loop = f.is_loop;
  b.worker = kernel::name_of_thread(s.thread);
  b.thread_id = s.thread;
  b.number = s.number;
  b.held = nanoseconds(held_ns);
  b.fibers_behind = count_behind(s, f);
  b.fibers_waiting = s.waiting;
  for (void* const frame : sample.frames)
    b.stack.push_back(words_for_address(frame, frame != sample.frames.front()));
  if (sample.failure) b.no_stack_because = sample.failure;
  known_place& place = place_of(m, innermost_own(sample.frames), b);
  {
    const std::lock_guard guard(m.places_lock);
    b.times = ++place.seen.times;
  }
  it.reported = &place;
  tell(m, b);
}

/// A hold that was reported is over.
void conclude(monitor& m, watched& it, deadline now) noexcept {
  if (!it.reported) return;
  const nanoseconds held(now - it.since);
  const std::lock_guard guard(m.places_lock);
  it.reported->seen.total += held;
  it.reported->seen.longest = std::max(it.reported->seen.longest, held);
  it.reported = nullptr;
}

/// The thread of the monitor.
class watch {
 public:
  explicit watch(monitor& m) noexcept : m_(m) {}

  /// One look; false when all workers sleep.
  bool look(bool was_away) {
    const std::vector<sight> sights = look_at_workers();
    const deadline now = real_now_ns();
    const bool is_late = now - last_look_ > 4 * period_ns() + late_ns;
    last_look_ = now;
    bool is_any_awake = false;
    std::vector<watched> still;
    still.reserve(sights.size());
    for (const sight& s : sights) {
      still.push_back(take(s));
      is_any_awake |= !s.is_asleep;
      follow(still.back(), s, now, was_away || is_late);
    }
    for (watched& gone : workers_) conclude(m_, gone, now);
    workers_ = std::move(still);
    return is_any_awake;
  }

  std::int64_t period_ns() const noexcept {
    return std::clamp(m_.limit_ns.load(std::memory_order_relaxed) / 2, period_ns_min,
                      period_ns_max);
  }

 private:
  watched take(const sight& s) noexcept {
    const auto known = std::find_if(workers_.begin(), workers_.end(), [&](const watched& one) {
      return one.w == s.w && one.thread == s.thread;
    });
    if (known == workers_.end()) return {.w = s.w, .thread = s.thread, .progress = ~s.progress};
    const watched taken = *known;
    workers_.erase(known);
    return taken;
  }

  void follow(watched& it, const sight& s, deadline now, bool is_unsure) {
    if (s.progress != it.progress || s.is_asleep || it.is_asleep || (is_unsure && !it.reported)) {
      conclude(m_, it, now);
      it.progress = s.progress;
      it.is_asleep = s.is_asleep;
      it.since = now;
      it.cpu_ns = kernel::cpu_time_of_thread(s.thread);
    } else if (!it.reported && now - it.since >= m_.limit_ns.load(std::memory_order_relaxed)) {
      examine(m_, it, s);
    }
  }

  monitor& m_;
  std::vector<watched> workers_;
  deadline last_look_ = 0;
};

/// Until a worker is awake.
void rest(const monitor& m) noexcept {
  monitor_waits.store(1, std::memory_order_seq_cst);
  if (is_any_awake() || m.limit_ns.load(std::memory_order_seq_cst) == 0) {
    monitor_waits.store(0, std::memory_order_seq_cst);
    return;
  }
  while (monitor_waits.load(std::memory_order_seq_cst) != 0) kernel::futex_wait(&monitor_waits, 1);
}

void wait_for_change(monitor& m, std::uint32_t seen, deadline until) noexcept {
  kernel::futex_wait_until(&m.changes, seen, until);
}

void* serve(void* argument) {
  monitor& m = *static_cast<monitor*>(argument);
  m.thread = static_cast<int>(kernel::call(SYS_gettid));
  prepare_stack_samples();
  watch all(m);
  bool was_away = true;
  for (;;) {
    const std::uint32_t seen = m.changes.load(std::memory_order_seq_cst);
    if (m.limit_ns.load(std::memory_order_seq_cst) == 0) {
      wait_for_change(m, seen, never);
      was_away = true;
      continue;
    }
    try {
      const bool is_busy = all.look(was_away);
      was_away = !is_busy;
    } catch (const std::bad_alloc&) {
      was_away = false;  // a look without memory sees nothing; the next one may
    }
    if (was_away) rest(m);
    wait_for_change(m, seen, real_now_ns() + all.period_ns());
  }
}

/// 0 or an errno. All signals are blocked in the thread: those of the process are for others.
int start_thread(monitor& m) noexcept {
  sigset_t all;
  sigset_t kept;
  sigfillset(&all);
  pthread_attr_t how;
  pthread_attr_init(&how);
  pthread_attr_setdetachstate(&how, PTHREAD_CREATE_DETACHED);
  pthread_t thread;
  pthread_sigmask(SIG_SETMASK, &all, &kept);
  const int error = pthread_create(&thread, &how, serve, &m);
  pthread_sigmask(SIG_SETMASK, &kept, nullptr);
  pthread_attr_destroy(&how);
  if (error == 0) {
    pthread_setname_np(thread, "coir-monitor");
  } else {
    const locked_registry registry;
    m.has_thread = false;
  }
  return error;
}

/// True when the caller has to start the thread. Where threads are fibers of a host, whose own
/// monitor sees to it that others go on, there is none: a worker has no kernel thread to look at.
bool is_to_be_started(monitor& m, const locked_registry&) noexcept {
  if (kernel::host_of_threads()) return false;
  if (m.limit_ns.load(std::memory_order_seq_cst) == 0 || m.has_thread) return false;
  return m.has_thread = true;
}

void ring(std::atomic<std::uint32_t>& word) noexcept { kernel::futex_wake(&word, 1); }

}  // namespace

void wake_monitor() noexcept {
  if (monitor_waits.exchange(0, std::memory_order_seq_cst) == 0) return;
  ring(monitor_waits);
  monitor* starting = nullptr;
  try {
    const locked_registry registry;
    monitor& m = present(registry);
    if (is_to_be_started(m, registry)) starting = &m;
  } catch (const std::bad_alloc&) {
    return kernel::report("no memory to watch for blocked workers");
  }
  if (!starting) return;
  if (const int error = start_thread(*starting))
    kernel::report("cannot watch for blocked workers: no thread, error %d", error);
}

}  // namespace detail

void watch_blocking_for(std::chrono::nanoseconds limit, blocking_handler handler) {
  using namespace detail;
  auto next = handler ? std::make_shared<blocking_handler>(std::move(handler)) : nullptr;
  monitor* m = nullptr;
  bool is_starting = false;
  kernel::find_thread_host();
  {
    const locked_registry registry;
    m = &present(registry);
    m->limit_ns.store(std::max<std::int64_t>(limit.count(), 0), std::memory_order_seq_cst);
    std::swap(m->handler, next);
    is_starting = is_to_be_started(*m, registry);
  }
  if (is_starting) {
    if (const int error = start_thread(*m))
      throw std::system_error(error, std::generic_category(),
                              "coir: cannot start the thread that watches for blocked workers");
  }
  m->changes.fetch_add(1, std::memory_order_seq_cst);
  ring(m->changes);
  if (monitor_waits.exchange(0, std::memory_order_seq_cst) != 0) ring(monitor_waits);
  if (m->thread.load() == kernel::call(SYS_gettid)) return;  // from the handler itself
  const std::lock_guard until_the_old_one_has_returned(m->reporting);
}

std::vector<blocking_place> blocking_places() {
  using namespace detail;
  monitor* m = nullptr;
  {
    const locked_registry registry;
    m = &present(registry);
  }
  std::vector<blocking_place> found;
  {
    const std::lock_guard guard(m->places_lock);
    for (const auto& known : m->places) found.push_back(known->seen);
  }
  std::sort(found.begin(), found.end(), [](const blocking_place& a, const blocking_place& b) {
    return a.total != b.total ? a.total > b.total : a.times > b.times;
  });
  return found;
}

}  // namespace coir
