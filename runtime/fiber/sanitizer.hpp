/// Tells the sanitizers about each switch: Boost.Context's fast path does not. Nothing in ordinary
/// builds.
#pragma once

#include "runtime/fiber/control_block.hpp"

#include <utility>

#if defined(__SANITIZE_ADDRESS__)
#include <pthread.h>
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#elif defined(__SANITIZE_THREAD__)
#include <sanitizer/tsan_interface.h>
#endif

namespace coir::detail {

#if defined(__SANITIZE_ADDRESS__)

inline void sanitizer_before_switch(control_block& from, control_block& to) noexcept {
  void** const fake_stack = from.state == fiber_state::ended ? nullptr : &from.record->sanitizer;
  __sanitizer_start_switch_fiber(fake_stack, to.record->stack.bottom, to.record->stack.bytes);
}
/// For switch_stack, after `self` and `other` have exchanged their stacks.
inline void sanitizer_before_stack_switch(control_block& self, control_block& other) noexcept {
  std::swap(self.record->sanitizer, other.record->sanitizer);
  void** const fake_stack = other.state == fiber_state::ended ? nullptr : &other.record->sanitizer;
  __sanitizer_start_switch_fiber(fake_stack, self.record->stack.bottom, self.record->stack.bytes);
}
inline void sanitizer_after_switch(control_block& now) noexcept {
  __sanitizer_finish_switch_fiber(now.record->sanitizer, nullptr, nullptr);
}
inline void sanitizer_begin(control_block&) noexcept {
  __sanitizer_finish_switch_fiber(nullptr, nullptr, nullptr);
}
inline void sanitizer_make(control_block& f) noexcept {
  f.record->sanitizer = nullptr;
  __asan_unpoison_memory_region(f.record->stack.bottom, f.record->stack.bytes);
}
/// The bounds of the thread's own stack, for the switches back to it.
inline void sanitizer_adopt_thread(control_block& f) noexcept {
  pthread_attr_t attributes;
  if (pthread_getattr_np(pthread_self(), &attributes) != 0) return;
  void* bottom = nullptr;
  pthread_attr_getstack(&attributes, &bottom, &f.record->stack.bytes);
  f.record->stack.bottom = static_cast<std::byte*>(bottom);
  pthread_attr_destroy(&attributes);
}

#elif defined(__SANITIZE_THREAD__)

inline void sanitizer_before_switch(control_block&, control_block& to) noexcept {
  __tsan_switch_to_fiber(to.record->sanitizer, 0);
}
inline void sanitizer_before_stack_switch(control_block& self, control_block& other) noexcept {
  std::swap(self.record->sanitizer, other.record->sanitizer);
  __tsan_switch_to_fiber(self.record->sanitizer, 0);
}
inline void sanitizer_after_switch(control_block&) noexcept {}
inline void sanitizer_begin(control_block&) noexcept {}
/// tsan's fibers are few and slow to make: each is kept with its control block. The last frames of
/// a fiber do not return, so that tsan still has them on its record of calls at the next use, and
/// that record has room for 65,536: in time it needs a new one.
inline void sanitizer_make(control_block& f) noexcept {
  constexpr std::uint32_t uses_max = 4096;
  fiber_record& r = *f.record;
  if (r.sanitizer && ++r.sanitizer_uses < uses_max) return;
  if (r.sanitizer) __tsan_destroy_fiber(r.sanitizer);
  r.sanitizer = __tsan_create_fiber(0);
  r.sanitizer_uses = 0;
}
inline void sanitizer_adopt_thread(control_block& f) noexcept {
  f.record->sanitizer = __tsan_get_current_fiber();
}

#else

inline void sanitizer_before_switch(control_block&, control_block&) noexcept {}
inline void sanitizer_before_stack_switch(control_block&, control_block&) noexcept {}
inline void sanitizer_after_switch(control_block&) noexcept {}
inline void sanitizer_begin(control_block&) noexcept {}
inline void sanitizer_make(control_block&) noexcept {}
inline void sanitizer_adopt_thread(control_block&) noexcept {}

#endif

}  // namespace coir::detail
