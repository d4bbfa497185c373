// pthread_once: made anew, for libc wakes those who wait in the kernel only. The word has the
// values that libc gives it: 0, then the generation of forks with 1 while the routine runs, then 2.
// A child of a fork finds the generation of its parent, and runs the routine itself: the thread
// that ran it does not exist there.
#include "hooks/preload/preload.hpp"
#include "hooks/threads/parking_lot.hpp"

#include <pthread.h>

using namespace coir;
using namespace coir::hooks;

namespace {

constexpr int runs = 1;
constexpr int is_done = 2;
constexpr int next_generation = 4;

constinit std::atomic<int> fork_generation{0};

[[gnu::constructor]] void watch_forks_for_once() noexcept {
  ::pthread_atfork(nullptr, nullptr,
                   [] { fork_generation.fetch_add(next_generation, std::memory_order_relaxed); });
}

/// Leaves the word as the routine left it: by its end, by an exception or by a cancellation.
class running_once {
 public:
  explicit running_once(std::atomic<int>& word) noexcept : word_(word) {}
  ~running_once() {
    word_.store(ends_as_, std::memory_order_release);
    threads::wake_at(&word_, threads::everybody);
  }
  running_once(const running_once&) = delete;
  running_once& operator=(const running_once&) = delete;

  void has_ended() noexcept { ends_as_ = is_done; }

 private:
  std::atomic<int>& word_;
  int ends_as_ = 0;
};

void run(std::atomic<int>& word, void (*routine)()) {
  running_once scope(word);
  routine();
  scope.has_ended();
}

[[gnu::noinline]] void run_or_wait(std::atomic<int>& word, void (*routine)()) {
  const int running = fork_generation.load(std::memory_order_relaxed) | runs;
  for (;;) {
    int value = word.load(std::memory_order_acquire);
    if (value & is_done) return;
    if (value != running) {
      if (!word.compare_exchange_weak(value, running, std::memory_order_acquire)) continue;
      run(word, routine);
      return;
    }
    threads::wait_at(&word, {},
                     [&]() noexcept { return word.load(std::memory_order_seq_cst) == running; });
  }
}

}  // namespace

/// hook: locks: parks the fiber while another runs the routine
COIR_HOOK int pthread_once(pthread_once_t* control, void (*routine)()) {
  auto& word = *reinterpret_cast<std::atomic<int>*>(control);
  if (!(word.load(std::memory_order_acquire) & is_done)) run_or_wait(word, routine);
  return 0;
}
COIR_HOOK int __pthread_once(pthread_once_t*, void (*)()) __attribute__((nonnull))
COIR_HOOK_ALIAS(pthread_once);
