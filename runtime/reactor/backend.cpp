// Which backend: COIR_BACKEND forces one; otherwise io_uring where the kernel permits it, else
// epoll. Threads that are fibers themselves always get epoll: they change their kernel threads, and
// a ring belongs to the one that made it.
#include "runtime/kernel/report.hpp"
#include "runtime/kernel/thread_host.hpp"
#include "runtime/reactor/epoll_reactor.hpp"
#include "runtime/reactor/uring_reactor.hpp"

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <string>
#include <system_error>

namespace coir::detail {
namespace {

enum class wish { any, uring, epoll };

wish read_wish() {
  const char* text = std::getenv("COIR_BACKEND");
  if (!text || !*text) return wish::any;
  if (std::strcmp(text, "uring") == 0 || std::strcmp(text, "io_uring") == 0) return wish::uring;
  if (std::strcmp(text, "epoll") == 0) return wish::epoll;
  throw std::invalid_argument(std::string("coir: COIR_BACKEND=") + text +
                              " names no backend: use uring or epoll");
}

std::string advice(int error) {
  if (error == -EMFILE)
    return "; the process has no file descriptor left: close some, or raise ulimit -n";
  if (error == -ENFILE) return "; the machine has no file descriptor left: raise fs.file-max";
  if (error == -ENOMEM)
    return "; no memory left, or the limit on locked memory is too low: raise ulimit -l";
  if (error == -EPERM) {
    return "; the kernel forbids it (kernel.io_uring_disabled, or a seccomp filter as in many "
           "containers): permit it, "
           "or set COIR_BACKEND=epoll";
  }
  if (error == -ENOSYS || error == -EOPNOTSUPP || error == -EINVAL) {
    return "; the kernel is too old or built without it: set COIR_BACKEND=epoll";
  }
  return "";
}

[[noreturn]] void fail(const char* what, int error) {
  throw std::system_error(-error, std::generic_category(),
                          std::string("coir: cannot start: ") + what + advice(error));
}

void say_once_why_not_uring(const char* missing, int error) noexcept {
  static std::atomic<bool> said{false};
  if (said.exchange(true)) return;
  kernel::report(
      "io_uring is not available (%s: %s); using epoll. COIR_BACKEND=epoll asks for that silently",
      missing, std::strerror(-error));
}

/// The program would run as well without its ring, only with more system calls: nothing to end it
/// for.
void say_once_why_not_in_host() noexcept {
  static std::atomic<bool> said{false};
  if (said.exchange(true)) return;
  kernel::report(
      "COIR_BACKEND=uring does not go with threads that are fibers: they change their kernel "
      "threads, and a ring cannot; using epoll. coir run --mode=thread keeps threads and rings");
}

}  // namespace

std::unique_ptr<reactor> make_reactor() {
  kernel::find_thread_host();
  const bool has_host = kernel::host_of_threads() != nullptr;
  const wish wanted = read_wish();
  int error = 0;
  if (has_host && wanted == wish::uring) say_once_why_not_in_host();
  if (!has_host && wanted != wish::epoll) {
    const char* missing = nullptr;
    if (auto made = uring_reactor::make(error, missing)) return made;
    if (wanted == wish::uring) fail(missing, error);
    if (error != -EMFILE && error != -ENFILE) say_once_why_not_uring(missing, error);
  }
  auto made = epoll_reactor::make(error);
  if (!made) fail("epoll", error);
  return made;
}

}  // namespace coir::detail
