#include "runtime/task/lost_error.hpp"

#include <coir/exceptions.hpp>

#include "runtime/kernel/report.hpp"

#include <typeinfo>

namespace coir::detail {

void report_lost_error(const char* what, const std::exception_ptr& error) noexcept {
  try {
    std::rethrow_exception(error);
  } catch (const std::exception& e) {
    kernel::report("%s failed with %s: %s", what, typeid(e).name(), e.what());
  } catch (...) {
    kernel::report("%s failed with an exception that is no std::exception", what);
  }
}

bool is_fiber_exit(const std::exception_ptr& error) noexcept {
  try {
    if (error) std::rethrow_exception(error);
  } catch (const fiber_exit&) {
    return true;
  } catch (...) {
  }
  return false;
}

}  // namespace coir::detail
