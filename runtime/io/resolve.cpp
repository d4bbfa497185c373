// A look-up stands in a table from when it is asked until its answer is there; who asks the same
// meanwhile waits for it, too. It belongs to all who wait for it and to the thread together: the
// last one frees it. One lock guards the table and all look-ups in it; that of the threads' queue
// is taken inside it, never the other way round.
//
// Answers are not kept: how long one may be used only the name server knows, and getaddrinfo does
// not say it.
#include "runtime/io/resolve.hpp"

#include "runtime/io/offload.hpp"
#include "runtime/kernel/environment.hpp"
#include "runtime/sched/worker.hpp"

#include <coir/detail/wait_queue.hpp>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <new>
#include <string_view>
#include <utility>

namespace coir::io {
namespace {

using real_getaddrinfo = int (*)(const char*, const char*, const addrinfo*, addrinfo**);
using real_freeaddrinfo = void (*)(addrinfo*);

// A look-up waits for others' machines nearly all of its time, and costs a stack
constexpr std::uint64_t threads_max_default = 8;
constexpr std::uint64_t threads_max_limit = 1024;

void forget_look_ups(void*) noexcept;

/// The threads for look-ups, which stay: never destroyed, since they may be busy at the end.
offload_threads& resolver_threads() noexcept {
  alignas(offload_threads) static std::byte memory[sizeof(offload_threads)];
  static offload_threads* const only = new (memory) offload_threads(
      kernel::number_said("COIR_RESOLVER_THREADS", 1, threads_max_limit, threads_max_default),
      "coir-resolve", forget_look_ups);
  return *only;
}

struct free_memory {
  void operator()(void* memory) const noexcept { std::free(memory); }
};
using owned_text = std::unique_ptr<char, free_memory>;

struct look_up final : offload_job {
  // What is asked; does not change
  owned_text node;
  owned_text service;
  addrinfo hints{};
  bool has_hints = false;
  real_getaddrinfo resolve = nullptr;
  real_freeaddrinfo free_result = nullptr;
  std::size_t hash = 0;
  detail::deadline asked_at = 0;  ///< of the real clock

  // The answer: the thread's until is_done, then everybody's to read
  addrinfo* result = nullptr;
  int status = 0;
  int error_number = 0;

  // Guarded by the table's lock
  look_up* next_alike = nullptr;  ///< in the table, with the same end of the hash
  bool is_done = false;
  std::size_t owners = 2;  ///< those who wait for it, and the thread
  detail::wait_queue waiters;

  ~look_up() {
    if (result) free_result(result);
  }
};

struct look_up_table {
  detail::short_lock lock;
  std::array<look_up*, 256> lists{};  ///< by hash; a few thousand at a time are still short lists
};

constinit look_up_table table;
constinit look_up_counters counters;

constexpr auto relaxed = std::memory_order_relaxed;

/// The child of a fork has no threads, and no fiber but the one that forked.
void forget_look_ups(void*) noexcept {
  std::construct_at(&table);
  std::construct_at(&counters);
}

std::string_view view(const owned_text& text) noexcept { return text ? text.get() : ""; }

bool is_same_text(const owned_text& a, const owned_text& b) noexcept {
  return (a == nullptr) == (b == nullptr) && view(a) == view(b);
}

bool is_same_question(const look_up& a, const look_up& b) noexcept {
  return a.hash == b.hash && is_same_text(a.node, b.node) && is_same_text(a.service, b.service) &&
         a.has_hints == b.has_hints && a.hints.ai_flags == b.hints.ai_flags &&
         a.hints.ai_family == b.hints.ai_family && a.hints.ai_socktype == b.hints.ai_socktype &&
         a.hints.ai_protocol == b.hints.ai_protocol && a.resolve == b.resolve &&
         a.free_result == b.free_result;
}

/// False when there was no memory for the copy.
bool copy_text(const char* text, owned_text& copy) noexcept {
  if (!text) return true;
  copy.reset(strdup(text));
  return copy != nullptr;
}

void run(offload_job& job) noexcept;
void end(offload_job& job) noexcept;

/// Null when there is no memory.
std::unique_ptr<look_up> make_look_up(const char* node, const char* service, const addrinfo* hints,
                                      real_getaddrinfo real,
                                      real_freeaddrinfo free_result) noexcept {
  std::unique_ptr<look_up> made(new (std::nothrow) look_up);
  if (!made || !copy_text(node, made->node) || !copy_text(service, made->service)) return nullptr;
  made->run = run;
  made->done = end;
  made->resolve = real;
  made->free_result = free_result;
  made->has_hints = hints != nullptr;
  if (hints) made->hints = *hints;
  const std::hash<std::string_view> hash;
  made->hash = hash(view(made->node)) * 31 + hash(view(made->service));
  made->asked_at = detail::real_now_ns();
  return made;
}

look_up*& list_of(const look_up& work) noexcept {
  return table.lists[work.hash % table.lists.size()];
}

/// Under the lock.
void take_off_the_table(look_up& work) noexcept {
  look_up** at = &list_of(work);
  while (*at != &work) at = &(*at)->next_alike;
  *at = work.next_alike;
}

/// Puts `asked` on the table, or finds the same there; `is_new` says which.
look_up& join_or_begin(std::unique_ptr<look_up>& asked, bool& is_new) noexcept {
  const std::lock_guard guard(table.lock);
  look_up*& list = list_of(*asked);
  for (look_up* each = list; each; each = each->next_alike) {
    if (!is_same_question(*each, *asked)) continue;
    ++each->owners;
    is_new = false;
    return *each;
  }
  asked->next_alike = list;
  list = asked.release();
  is_new = true;
  return *list;
}

/// What is behind free_result, and frees it, must not run under the lock.
void drop(look_up& work, std::size_t owners) noexcept {
  table.lock.lock();
  work.owners -= owners;
  const bool is_last = work.owners == 0;
  table.lock.unlock();
  if (is_last) delete &work;
}

void run(offload_job& job) noexcept {
  auto& own = static_cast<look_up&>(job);
  const std::int64_t queued = detail::real_now_ns() - own.asked_at;
  counters.queued_ns.fetch_add(queued, relaxed);
  std::int64_t longest = counters.queued_ns_max.load(relaxed);
  while (queued > longest &&
         !counters.queued_ns_max.compare_exchange_weak(longest, queued, relaxed)) {
  }
  own.status = own.resolve(own.node.get(), own.service.get(), own.has_hints ? &own.hints : nullptr,
                           &own.result);
  own.error_number = errno;
  if (own.status != 0) own.result = nullptr;
}

/// The thread, or who could not start one, is done with it.
void conclude(look_up& work) noexcept {
  if (work.status != 0) counters.failed.fetch_add(1, relaxed);
  table.lock.lock();
  work.is_done = true;
  take_off_the_table(work);
  work.waiters.wake_all();
  const bool is_last = --work.owners == 0;  // at once, so that a single waiter need not copy
  table.lock.unlock();
  if (is_last) delete &work;
}

void end(offload_job& job) noexcept { conclude(static_cast<look_up&>(job)); }

void begin(look_up& work) noexcept {
  counters.begun.fetch_add(1, relaxed);
  const int refused = resolver_threads().submit(work);
  if (refused == 0) return;
  work.status = EAI_SYSTEM;
  work.error_number = -refused;
  conclude(work);
}

/// 0 when the look-up is done, else -ETIMEDOUT or -ECANCELED.
int await_look_up(look_up& work, detail::deadline until) noexcept {
  std::unique_lock guard(table.lock);
  while (!work.is_done) {
    detail::waiter self;
    const auto how = work.waiters.wait(*guard.release(), self, until, detail::wait_reason::offload,
                                       detail::interruptible::yes);
    guard = std::unique_lock(table.lock);
    if (work.is_done || how == detail::wait_status::woken) continue;
    return how == detail::wait_status::timed_out ? -ETIMEDOUT : -ECANCELED;
  }
  return 0;
}

/// The caller waits no longer. If it was the last and no thread has begun, none will.
void give_up(look_up& work) noexcept {
  counters.given_up.fetch_add(1, relaxed);
  table.lock.lock();
  const bool is_alone = work.owners == 2 && !work.is_done;
  const bool is_mine = is_alone && resolver_threads().take_back(work);
  if (is_mine) take_off_the_table(work);
  table.lock.unlock();
  drop(work, is_mine ? 2 : 1);
}

/// A copy of one element, in one piece of memory, which freeaddrinfo frees; null without memory.
addrinfo* copy_element(const addrinfo& from) noexcept {
  auto* const copy = static_cast<addrinfo*>(std::malloc(sizeof(addrinfo) + from.ai_addrlen));
  if (!copy) return nullptr;
  *copy = from;
  copy->ai_next = nullptr;
  copy->ai_addr = nullptr;
  if (from.ai_addr) {
    copy->ai_addr = reinterpret_cast<sockaddr*>(copy + 1);
    std::memcpy(copy->ai_addr, from.ai_addr, from.ai_addrlen);
  }
  copy->ai_canonname = from.ai_canonname ? strdup(from.ai_canonname) : nullptr;
  if (from.ai_canonname && !copy->ai_canonname) {
    std::free(copy);
    return nullptr;
  }
  return copy;
}

/// 0 or EAI_MEMORY.
int copy_list(const addrinfo* from, addrinfo** to) noexcept {
  std::unique_ptr<addrinfo, real_freeaddrinfo> copy(nullptr, ::freeaddrinfo);
  for (addrinfo* last = nullptr; from; from = from->ai_next) {
    addrinfo* const next = copy_element(*from);
    if (!next) return EAI_MEMORY;
    if (last) {
      last->ai_next = next;
    } else {
      copy.reset(next);
    }
    last = next;
  }
  *to = copy.release();
  return 0;
}

/// Takes the answer, and leaves the look-up to the others. The last one need not copy.
int take_answer(look_up& work, addrinfo** result, int* error) noexcept {
  table.lock.lock();
  const bool is_last = work.owners == 1;
  table.lock.unlock();
  *error = work.error_number;
  int status = work.status;
  if (status == 0 && is_last) *result = std::exchange(work.result, nullptr);
  if (status == 0 && !is_last) status = copy_list(work.result, result);
  drop(work, 1);
  return status;
}

}  // namespace

int getaddrinfo(const char* node, const char* service, const addrinfo* hints, addrinfo** result,
                int* error, detail::deadline until, real_getaddrinfo real,
                real_freeaddrinfo free_result) noexcept {
  std::unique_ptr<look_up> asked = make_look_up(node, service, hints, real, free_result);
  if (!asked) return EAI_MEMORY;
  bool is_new = false;
  look_up& work = join_or_begin(asked, is_new);
  if (is_new) {
    begin(work);
  } else {
    counters.coalesced.fetch_add(1, relaxed);
  }
  counters.waiting.fetch_add(1, relaxed);
  const int ended = await_look_up(work, until);
  counters.waiting.fetch_sub(1, relaxed);
  if (ended == 0) return take_answer(work, result, error);
  give_up(work);
  *error = -ended;
  return EAI_SYSTEM;
}

int run_look_up(void (*work)(void*), void* argument) noexcept {
  return run_offloaded_or_error(resolver_threads(), work, argument);
}

look_up_counters& look_up_count() noexcept { return counters; }

}  // namespace coir::io
