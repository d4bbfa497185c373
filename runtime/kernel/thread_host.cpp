#include "runtime/kernel/thread_host.hpp"

#include "runtime/kernel/calls.hpp"

#include <dlfcn.h>

namespace coir::kernel {
namespace {

using host_getter = const thread_host* (*)();

constinit std::atomic<host_getter> getter{nullptr};
constinit std::atomic<bool> has_looked{false};

}  // namespace

void find_thread_host() noexcept {
  if (has_looked.load(std::memory_order_acquire)) return;
  // hooks/preload/thread_host.cpp
  void* const found = dlsym(RTLD_DEFAULT, "coir_thread_host_v1");
  getter.store(reinterpret_cast<host_getter>(found), std::memory_order_release);
  has_looked.store(true, std::memory_order_release);
}

const thread_host* host_of_threads() noexcept {
  const host_getter get = getter.load(std::memory_order_acquire);
  return get ? get() : nullptr;
}

void wait_while(std::atomic<std::uint32_t>& word, std::uint32_t expected,
                std::int64_t until) noexcept {
  const thread_host* const host = host_of_threads();
  auto* const plain = reinterpret_cast<const std::uint32_t*>(&word);
  if (host && host->await_change(plain, expected, until)) return;
  futex_wait_until(&word, expected, until);
}

void wake_waiters(std::atomic<std::uint32_t>& word, int how_many) noexcept {
  const thread_host* const host = host_of_threads();
  if (host) how_many -= host->wake(reinterpret_cast<const std::uint32_t*>(&word), how_many);
  if (how_many > 0) futex_wake(&word, how_many);
}

}  // namespace coir::kernel
