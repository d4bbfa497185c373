/// Linked hooks: plain libc calls, made on a fiber by any library of the process, park that fiber
/// instead of the thread. Link `coir::hooks` and they are in force; docs/hooks.md lists the calls
/// and what each keeps of its manners.
#pragma once

#include <coir/export.hpp>

#include <cstdint>

namespace coir::hooks {

/// True when the process's calls really arrive at the hooks. False means that another library
/// stands in front in the dynamic linker's search order (libc, when coir::hooks was not linked into
/// the program itself), so that calls which wait would silently block their thread. Looks every
/// hooked symbol up: a check for start-up, not for each call. Any thread; never parks, never fails.
COIR_API bool active() noexcept;

/// What the hook of that name hides: libc's own function, or that of another interposer behind
/// coir. Null when there is none. Calling it blocks the thread.
///
///     auto plain_recv = coir::hooks::original<decltype(::recv)>("recv");
///
/// `Function` must be the type of the function called `name`. Any thread; never parks.
template <class Function>
Function* original(const char* name) noexcept;

namespace detail {
/// original() without a type.
COIR_API void* original_address(const char* name) noexcept;
}  // namespace detail

template <class Function>
Function* original(const char* name) noexcept {
  return reinterpret_cast<Function*>(detail::original_address(name));
}

/// A scope in which the hooked calls of the fiber that made it go straight to libc and block the
/// thread: for code that must not give up its worker. Other fibers are not concerned. Scopes nest.
/// Must be destroyed by the fiber that made it. On a thread that is no worker it does nothing, for
/// there the calls go straight anyway. Never parks, never fails.
class COIR_API off {
 public:
  off() noexcept;
  ~off();
  off(const off&) = delete;
  off& operator=(const off&) = delete;

 private:
  friend class off_scopes;

  bool is_open_ = false;     ///< false on a thread that was no worker
  std::uint64_t fiber_ = 0;  ///< who made it
  off* next_ = nullptr;      ///< another scope that is open on this thread, of whatever fiber
};

}  // namespace coir::hooks
