#include "net/tell.hpp"

#include "runtime/kernel/calls.hpp"

#include <unistd.h>

namespace coir::net::detail {
namespace {

std::string text_of(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const std::exception& e) {
    return e.what();
  } catch (...) {
    return "an exception that is no std::exception";
  }
}

}  // namespace

void tell(const std::string& line) {
  const std::string whole = "coir: " + line + '\n';
  kernel::call(SYS_write, STDERR_FILENO, whole.data(), whole.size());
}

void tell_failure(const address& local, const address& peer, const std::exception_ptr& error) {
  tell("the server on " + local.to_string() + ": the handler for " + peer.to_string() +
       " failed: " + text_of(error));
}

}  // namespace coir::net::detail
