#include "runtime/task/handlers.hpp"

#include "runtime/kernel/report.hpp"

#include <coir/detail/short_lock.hpp>
#include <coir/handlers.hpp>

#include <atomic>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <typeinfo>
#include <utility>

#include <cxxabi.h>

namespace coir {
namespace detail {
namespace {

/// A function of the program's that may be exchanged while others call it.
template <class Function>
class installed {
 public:
  Function exchange(Function next) {
    auto kept = next ? std::make_shared<const Function>(std::move(next)) : nullptr;
    {
      const std::lock_guard guard(lock_);
      std::swap(kept, function_);
    }
    return kept ? *kept : Function();
  }

  std::shared_ptr<const Function> get() const {
    const std::lock_guard guard(lock_);
    return function_;
  }

 private:
  mutable short_lock lock_;
  std::shared_ptr<const Function> function_;  ///< guarded by lock_
};

installed<error_handler>& errors() {
  static installed<error_handler>* const only = new installed<error_handler>;  // outlives exit
  return *only;
}

installed<spawn_hook>& spawns() {
  static installed<spawn_hook>* const only = new installed<spawn_hook>;
  return *only;
}

/// Says on stderr what is being handled.
void report_current(const char* whose, const std::string& name, std::uint64_t id) noexcept {
  int status = 0;
  const std::type_info* type = abi::__cxa_current_exception_type();
  std::unique_ptr<char, decltype(&std::free)> type_name(
      type ? abi::__cxa_demangle(type->name(), nullptr, nullptr, &status) : nullptr, std::free);
  const char* const shown = type_name ? type_name.get() : "an exception of unknown type";
  const auto number = static_cast<unsigned long long>(id);
  try {
    throw;
  } catch (const std::exception& e) {
    kernel::report("%s \"%s\" (#%llu) failed with %s: %s", whose, name.c_str(), number, shown,
                   e.what());
  } catch (...) {
    kernel::report("%s \"%s\" (#%llu) failed with %s", whose, name.c_str(), number, shown);
  }
}

}  // namespace

void handle_error(const std::string& name, std::uint64_t id, bool is_callback) noexcept {
  const char* const whose = is_callback ? "a callback of fiber" : "fiber";
  std::shared_ptr<const error_handler> handler = errors().get();
  if (!handler) return report_current(whose, name, id);
  const std::exception_ptr error = std::current_exception();
  try {
    (*handler)({name, id, is_callback, error});
  } catch (...) {
    report_current("the error handler, called for fiber", name, id);
    try {
      std::rethrow_exception(error);
    } catch (...) {
      report_current(whose, name, id);
    }
  }
}

void announce_spawn(const std::string& name, std::uint64_t id, const void* site) {
  if (auto hook = spawns().get()) (*hook)({name, id, site});
}

}  // namespace detail

error_handler set_error_handler(error_handler handler) {
  return detail::errors().exchange(std::move(handler));
}

spawn_hook set_spawn_hook(spawn_hook hook) {
  if (hook) detail::has_spawn_hook.store(true, std::memory_order_relaxed);  // and stays
  return detail::spawns().exchange(std::move(hook));
}

}  // namespace coir
