/// One thing to be done on a worker's thread.
#pragma once

namespace coir::detail {

/// Owned by whoever hands it over until `invoke` runs; that call may free it.
struct remote_call {
  remote_call* next = nullptr;
  void (*invoke)(remote_call&) noexcept = nullptr;
};

}  // namespace coir::detail
