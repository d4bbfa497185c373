/// The untyped half of inherited<T>.
#pragma once

#include <coir/detail/reference_count.hpp>
#include <coir/export.hpp>

#include <cstdint>
#include <utility>

namespace coir::detail {

struct inherited_values;

/// One value of an inherited, which many fibers may see; the value itself is in a derived struct
/// and never changes. Counted.
struct shared_value {
  reference_count owners;
  void (*destroy)(shared_value*) noexcept = nullptr;  ///< deletes it with its value
};

/// Counting pointer to a shared_value.
class shared_value_ref {
 public:
  shared_value_ref() noexcept = default;
  /// Takes over one reference that the caller holds.
  explicit shared_value_ref(shared_value* owned) noexcept : value_(owned) {}
  shared_value_ref(shared_value_ref&& other) noexcept
      : value_(std::exchange(other.value_, nullptr)) {}
  shared_value_ref& operator=(shared_value_ref other) noexcept {
    std::swap(value_, other.value_);
    return *this;
  }
  ~shared_value_ref() {
    if (value_ && value_->owners.drop()) value_->destroy(value_);
  }
  /// Gives the reference to the caller.
  shared_value* detach() noexcept { return std::exchange(value_, nullptr); }
  shared_value* get() const noexcept { return value_; }

 private:
  shared_value* value_ = nullptr;
};

/// A place in the values that fibers inherit. Constructed, used and destroyed by any fiber or
/// thread; a thread that is no worker does not become one.
class COIR_API inherited_key {
 public:
  /// Throws std::bad_alloc. Never parks.
  inherited_key();
  inherited_key(const inherited_key&) = delete;
  inherited_key& operator=(const inherited_key&) = delete;
  ~inherited_key();

  /// What the calling fiber has inherited or set, null for neither. Never parks.
  shared_value* find() const noexcept;
  /// Makes `value`, which may be null, the calling fiber's, and returns what was there before.
  /// Throws std::bad_alloc; `value` then still is the caller's. Never parks.
  shared_value_ref exchange(shared_value_ref& value);
  /// Unlike the address never used again, and so the name of a variable in tokens.
  std::uint64_t id() const noexcept { return id_; }

 private:
  std::uint32_t index_ = 0;
  std::uint64_t id_ = 0;
};

/// Names the fiber that calls, for tokens: its control block and its number, since control blocks
/// are used again. A thread's own stack is named the same before and after the thread becomes a
/// worker.
struct fiber_identity {
  const void* place = nullptr;
  std::uint64_t id = 0;
  bool operator==(const fiber_identity&) const = default;
  COIR_API static fiber_identity current() noexcept;
};

/// Counting pointer to all inherited values of a fiber.
class COIR_API inherited_snapshot {
 public:
  inherited_snapshot() noexcept = default;
  inherited_snapshot(const inherited_snapshot& other) noexcept;
  inherited_snapshot(inherited_snapshot&& other) noexcept
      : values_(std::exchange(other.values_, nullptr)) {}
  inherited_snapshot& operator=(inherited_snapshot other) noexcept {
    std::swap(values_, other.values_);
    return *this;
  }
  ~inherited_snapshot();
  /// What the calling fiber has now. Never parks.
  static inherited_snapshot of_caller() noexcept;
  /// Makes these the calling fiber's values, and its values these. Never parks.
  void swap_with_caller() noexcept;
  /// Gives the reference to the caller; null when there are no values.
  inherited_values* detach() noexcept { return std::exchange(values_, nullptr); }

 private:
  inherited_values* values_ = nullptr;
};

}  // namespace coir::detail
