/// What a C library keeps for the thread although it belongs to a call, as OpenSSL its queue of
/// errors. A fiber that parks in a cooperative call takes its own along, so that it finds neither
/// what other fibers of the thread have left there meanwhile, nor its own gone.
///
/// Around the parks of blocking calls only: there the library may be in the middle of something. A
/// program that parks in a call of coir's own stands outside of the library, and can look before.
#pragma once

#include <coir/export.hpp>

namespace coir::io {

class COIR_API library_state {
 public:
  virtual ~library_state() = default;

  /// Takes what there is away from the calling thread; null when there is nothing. Never parks.
  virtual void* take() noexcept = 0;
  /// Makes what take() returned the state of the calling thread, in place of what others have left
  /// there. To be called once for each take(), on the same thread. Never parks.
  virtual void give_back(void* taken) noexcept = 0;
};

/// Makes `state` the one that parks look after, for good. The hooks bring the one implementation
/// (hooks/openssl_errors.cpp). Any thread; never parks.
COIR_API void use_library_state(library_state& state) noexcept;

/// The one that is registered; null without one. Any thread.
library_state* registered_library_state() noexcept;

/// Lives on the stack of a fiber around its parks in one call.
class own_library_state {
 public:
  own_library_state() noexcept
      : state_(registered_library_state()), taken_(state_ ? state_->take() : nullptr) {}
  own_library_state(const own_library_state&) = delete;
  own_library_state& operator=(const own_library_state&) = delete;
  ~own_library_state() {
    if (state_) state_->give_back(taken_);
  }

 private:
  library_state* state_;
  void* taken_;
};

}  // namespace coir::io
