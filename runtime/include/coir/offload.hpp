/// Blocking work on threads of its own, so that the fibers of this thread go on.
#pragma once

#include <coir/detail/wait_queue.hpp>
#include <coir/exceptions.hpp>
#include <coir/export.hpp>

#include <concepts>
#include <exception>
#include <optional>
#include <type_traits>
#include <utility>

namespace coir {
namespace detail {

/// Calls `work(argument)` on an offload thread and parks the calling fiber until it has returned; a
/// kill is kept until then. `work` must not throw. Throws std::system_error when no offload thread
/// can be started.
COIR_API void run_offloaded(void (*work)(void*), void* argument);

}  // namespace detail

/// Calls `f()` on one of a few threads kept for blocking work (COIR_OFFLOAD_THREADS, 8 when unset),
/// parks the calling fiber meanwhile, and returns its result or rethrows what it threw. `f` may use
/// anything of the caller's by reference, for the caller waits in any case: a kill takes effect
/// after `f` has returned. `f` runs outside any fiber: it may wake fibers (set, put into an
/// unbounded queue, unlock) but should not wait for them for long. Throws std::system_error when no
/// offload thread can be started.
template <class Function>
  requires std::invocable<Function&> std::invoke_result_t<Function&> offload(Function&& f) {
    using result = std::invoke_result_t<Function&>;
    static_assert(!std::is_reference_v<result>, "return a pointer or a std::reference_wrapper");
    struct call {
      Function& f;
      std::exception_ptr error;
      std::optional<std::conditional_t<std::is_void_v<result>, char, result>> value;
    } work{f, nullptr, std::nullopt};
    detail::run_offloaded(
        [](void* argument) {
          call& w = *static_cast<call*>(argument);
          try {
            if constexpr (std::is_void_v<result>) {
              w.f();
            } else {
              w.value.emplace(w.f());
            }
          } catch (...) {
            w.error = std::current_exception();
          }
        },
        &work);
    if (work.error) std::rethrow_exception(std::move(work.error));
    if constexpr (!std::is_void_v<result>) return std::move(*work.value);
  }

}  // namespace coir
