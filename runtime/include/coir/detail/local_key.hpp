/// The untyped half of fiber_local<T>.
#pragma once

#include <coir/export.hpp>

#include <cstdint>

namespace coir::detail {

/// The value that one fiber has of one fiber_local; the value itself is in a derived struct.
struct local_node {
  local_node* next = nullptr;  ///< of the same object; guarded by the lock of all local values
  local_node* prev = nullptr;
  void (*destroy)(local_node*) noexcept = nullptr;  ///< deletes the node with its value
};

/// A place in the table of every fiber. Constructed, used and destroyed by any fiber or thread; a
/// thread that is no worker does not become one.
class COIR_API local_key {
 public:
  /// Throws std::bad_alloc. Never parks.
  local_key();
  local_key(const local_key&) = delete;
  local_key& operator=(const local_key&) = delete;
  /// Destroys the values of all fibers.
  ~local_key();

  /// The calling fiber's value, null when it has none. Never parks.
  local_node* find() const noexcept;
  /// Makes `made` the calling fiber's value, in place of the one it had. Throws std::bad_alloc; the
  /// caller then still owns `made`.
  void put(local_node* made);
  /// Destroys the calling fiber's value, if it has one.
  void remove() noexcept;

 private:
  friend struct local_values;

  std::uint32_t index_ = 0;
  std::uint64_t id_ = 0;        ///< never used again, unlike the index: a slot may be stale
  local_node* head_ = nullptr;  ///< the values of all fibers; guarded by the lock of all
};

}  // namespace coir::detail
