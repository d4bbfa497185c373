#include "hooks/finish.hpp"

#include "runtime/io/io.hpp"
#include "runtime/io/thread_scheduler.hpp"

#include <cerrno>

namespace coir::hooks {
namespace {

int errno_of(ssize_t result) {
  if (result != -ECANCELED) return static_cast<int>(-result);
  if (io::thread_scheduler* const threads = io::threads_of_caller()) {
    threads->test_cancel();
    return EINTR;
  }
  return io::on_worker() ? io::interruption_error() : ECANCELED;
}

}  // namespace

ssize_t finish(ssize_t result) {
  if (result >= 0) return result;
  errno = errno_of(result);
  return -1;
}

int finish(int result) {
  if (result >= 0) return result;
  errno = errno_of(result);
  return -1;
}

}  // namespace coir::hooks
