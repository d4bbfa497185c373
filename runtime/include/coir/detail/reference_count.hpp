/// Shared ownership inside coir: a count, and the pointer that counts.
#pragma once

#include <atomic>
#include <cstdint>
#include <type_traits>
#include <utility>

#include <sys/single_threaded.h>

namespace coir::detail {

/// A count of owners that needs an atomic instruction only once the process has a second thread.
class reference_count {
 public:
  /// One more owner. Any thread.
  void add() noexcept {
    if (__libc_single_threaded) {
      count_.store(count_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    } else {
      count_.fetch_add(1, std::memory_order_relaxed);
    }
  }
  /// One owner less; true when that was the last one. Any thread.
  bool drop() noexcept {
    if (__libc_single_threaded) {
      const std::uint32_t left = count_.load(std::memory_order_relaxed) - 1;
      count_.store(left, std::memory_order_relaxed);
      return left == 0;
    }
    return count_.fetch_sub(1, std::memory_order_acq_rel) == 1;
  }
  /// True when the caller holds the only reference. Any thread.
  bool is_unique() const noexcept { return count_.load(std::memory_order_acquire) == 1; }

 private:
  std::atomic<std::uint32_t> count_{1};
};

/// Pointer to something that counts its owners: one with retain() and release().
template <class T>
class counted_ptr {
 public:
  counted_ptr() noexcept = default;
  /// Takes over one reference that the caller holds.
  explicit counted_ptr(T* owned) noexcept : object_(owned) {}
  counted_ptr(const counted_ptr& other) noexcept : object_(other.object_) {
    if (object_) object_->retain();
  }
  counted_ptr(counted_ptr&& other) noexcept : object_(std::exchange(other.object_, nullptr)) {}
  /// From a pointer to a derived type.
  template <class U>
    requires std::is_convertible_v<U*, T*> counted_ptr(counted_ptr<U> other)
  noexcept : object_(other.detach()) {}
  counted_ptr& operator=(counted_ptr other) noexcept {
    std::swap(object_, other.object_);
    return *this;
  }
  ~counted_ptr() {
    if (object_) object_->release();
  }
  T* get() const noexcept { return object_; }
  /// Gives the reference to the caller.
  T* detach() noexcept { return std::exchange(object_, nullptr); }
  T* operator->() const noexcept { return object_; }
  T& operator*() const noexcept { return *object_; }
  explicit operator bool() const noexcept { return object_ != nullptr; }

 private:
  T* object_ = nullptr;
};

}  // namespace coir::detail
