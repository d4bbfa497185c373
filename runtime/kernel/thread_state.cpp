#include "runtime/kernel/thread_state.hpp"

#include "runtime/kernel/calls.hpp"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>

namespace coir::kernel {

std::int64_t clock_time_ns(clockid_t clock) noexcept {
  timespec now{};
  call(SYS_clock_gettime, clock, &now);
  return now.tv_sec * std::int64_t{1'000'000'000} + now.tv_nsec;
}

ssize_t read_thread_file(int thread, const char* name, char* text, std::size_t size) noexcept {
  char path[64];
  std::snprintf(path, sizeof path, "/proc/self/task/%d/%s", thread, name);
  return read_file(path, text, size);
}

ssize_t read_file(const char* path, char* text, std::size_t size) noexcept {
  const long fd = call(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return fd;
  const ssize_t length = read(static_cast<int>(fd), text, size - 1);
  close(static_cast<int>(fd));
  text[length > 0 ? length : 0] = '\0';
  return length;
}

std::string name_of_thread(int thread) {
  char text[32];
  const ssize_t size = read_thread_file(thread, "comm", text, sizeof text);
  return size > 0 ? std::string(text, static_cast<std::size_t>(size) - 1) : std::string();
}

char state_of_thread(int thread) noexcept {
  char text[256];
  if (read_thread_file(thread, "stat", text, sizeof text) <= 0) return '?';
  const char* const after_name = std::strrchr(text, ')');
  return after_name && after_name[1] ? after_name[2] : '?';
}

std::int64_t cpu_time_of_thread(int thread) noexcept {
  constexpr int per_thread_clock = 6;
  const auto clock =
      static_cast<clockid_t>((~static_cast<unsigned>(thread) << 3) | per_thread_clock);
  return clock_time_ns(clock);
}

/// The file says "running", or a number with six arguments, stack pointer and place; without a call
/// the number is -1 and there are no arguments.
call_in_progress call_of_thread(int thread) noexcept {
  call_in_progress found;
  char text[256];
  if (read_thread_file(thread, "syscall", text, sizeof text) <= 0) return found;
  if (std::strncmp(text, "running", 7) == 0) {
    found.what = call_in_progress::kind::none;
    return found;
  }
  char* at = nullptr;
  found.number = std::strtol(text, &at, 10);
  if (at == text) return found;
  found.what = found.number < 0 ? call_in_progress::kind::no_memory : call_in_progress::kind::call;
  if (found.number < 0) return found;
  for (std::uint64_t& argument : found.arguments) argument = std::strtoull(at, &at, 16);
  return found;
}

bool has_blocked_signal(int thread, int signal) noexcept {
  char text[4096];
  if (read_thread_file(thread, "status", text, sizeof text) <= 0) return true;
  const char* const line = std::strstr(text, "SigBlk:");
  if (!line) return true;
  const unsigned long long blocked = std::strtoull(line + 7, nullptr, 16);
  return (blocked >> (signal - 1) & 1) != 0;
}

bool read_memory(const void* from, void* to, std::size_t size) noexcept {
  const iovec here{to, size};
  const iovec there{const_cast<void*>(from), size};
  const long copied = call(SYS_process_vm_readv, call(SYS_getpid), &here, 1, &there, 1, 0);
  return copied == static_cast<long>(size);
}

}  // namespace coir::kernel
