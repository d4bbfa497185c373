#include "hooks/families.hpp"

#include "runtime/kernel/syscall.hpp"

#include <cstdlib>
#include <cstring>
#include <string_view>

#include <unistd.h>

namespace coir::hooks {

constinit std::atomic<unsigned> families_off{0};

namespace {

constexpr std::string_view names[] = {"thread",  "sync",   "io",    "file", "dns",
                                      "process", "signal", "stdio", "aio"};

void complain(std::string_view word) noexcept {
  auto print = [](std::string_view text) {
    kernel::call(SYS_write, STDERR_FILENO, text.data(), text.size());
  };
  print("coir: COIR_HOOKS: ");
  print(word);
  print(" names no family of hooks; they are written as -dns,-file\n");
}

void switch_off(std::string_view word) noexcept {
  if (word.empty() || word == "all") return;
  for (unsigned i = 0; i < std::size(names); ++i) {
    if (word.front() != '-' || word.substr(1) != names[i]) continue;
    families_off.fetch_or(1U << i, std::memory_order_relaxed);
    return;
  }
  complain(word);
}

[[gnu::constructor]] void read_families() noexcept {
  const char* const text = std::getenv("COIR_HOOKS");
  if (!text) return;
  std::string_view rest(text);
  while (!rest.empty()) {
    const std::size_t end = rest.find(',');
    switch_off(rest.substr(0, end));
    rest = end == std::string_view::npos ? std::string_view() : rest.substr(end + 1);
  }
}

}  // namespace
}  // namespace coir::hooks
