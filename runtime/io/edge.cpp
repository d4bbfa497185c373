#include "runtime/io/edge.hpp"

#include "runtime/io/io.hpp"
#include "runtime/sched/worker.hpp"

#include <coir/detail/wait_queue.hpp>

#include <cerrno>

namespace coir::detail {

bool ensure_worker(std::error_code& ec) {
  if (io::on_worker()) return true;
  try {
    worker::current();
    return true;
  } catch (const std::system_error& e) {
    ec = e.code();
    return false;
  }
}

std::size_t finish(ssize_t result, std::error_code& ec) {
  if (result >= 0) {
    ec.clear();
    return static_cast<std::size_t>(result);
  }
  if (result == -ECANCELED) throw_if_interrupted();
  ec = code_of(result);
  return 0;
}

void throw_error(const std::error_code& ec, const std::string& what) {
  throw std::system_error(ec, what);
}

}  // namespace coir::detail
