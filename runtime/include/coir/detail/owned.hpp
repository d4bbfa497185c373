/// std::unique_ptr, as little of it as coir's headers need: <memory> has the shared pointers, too,
/// which take as long to compile as the rest of coir.
#pragma once

#include <utility>

namespace coir::detail {

/// Owns one object, made by new, or none.
template <class T>
class owned {
 public:
  owned() noexcept = default;
  /// Takes over `object`.
  explicit owned(T* object) noexcept : object_(object) {}
  owned(owned&& other) noexcept : object_(other.release()) {}
  /// From an owner of a derived class.
  template <class Derived>
  owned(owned<Derived>&& other) noexcept : object_(other.release()) {}
  owned& operator=(owned other) noexcept {
    std::swap(object_, other.object_);
    return *this;
  }
  ~owned() { delete object_; }

  T* get() const noexcept { return object_; }
  T* operator->() const noexcept { return object_; }
  T& operator*() const noexcept { return *object_; }
  explicit operator bool() const noexcept { return object_ != nullptr; }
  /// Gives the object away.
  [[nodiscard]] T* release() noexcept { return std::exchange(object_, nullptr); }

 private:
  T* object_ = nullptr;
};

}  // namespace coir::detail
