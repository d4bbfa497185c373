/// Views of memory to send from and to receive into.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstring>
#include <ranges>
#include <type_traits>

namespace coir::net {
namespace detail {

template <class T>
concept byte_like = std::same_as < std::remove_cv_t<T>,
char > || std::same_as<std::remove_cv_t<T>, unsigned char> ||
    std::same_as<std::remove_cv_t<T>, signed char> ||
    std::same_as<std::remove_cv_t<T>, std::byte> || std::same_as<std::remove_cv_t<T>, char8_t>;

/// std::string, std::vector<char>, std::array<std::byte, n>, std::span<unsigned char>, char[n]: it
/// only matters that they are bytes in a row.
template <class Range>
concept byte_range = std::ranges::contiguous_range<Range> && std::ranges::sized_range<Range> &&
    byte_like<std::remove_reference_t<std::ranges::range_reference_t<Range>>>;

template <class Range>
concept writable_byte_range = byte_range<Range> &&
    !std::is_const_v<std::remove_reference_t<std::ranges::range_reference_t<Range>>>;

}  // namespace detail

/// Memory to receive into. Does not own it; the memory must stay valid for the length of the call
/// that it is passed to.
class mutable_buffer {
 public:
  /// `size` bytes from `data` on.
  mutable_buffer(void* data, std::size_t size) noexcept : data_(data), size_(size) {}
  /// All bytes that a container, span or array holds now.
  template <detail::writable_byte_range Range>
  mutable_buffer(Range&& bytes) noexcept
      : data_(std::ranges::data(bytes)), size_(std::ranges::size(bytes)) {}

  /// The first byte; may be null when size() is 0.
  void* data() const noexcept { return data_; }
  /// How many bytes there are.
  std::size_t size() const noexcept { return size_; }
  /// What is left behind the first `count` bytes, which must be there.
  mutable_buffer from(std::size_t count) const noexcept {
    return {static_cast<char*>(data_) + count, size_ - count};
  }

 private:
  void* data_;
  std::size_t size_;
};

/// Memory to send. Does not own it; the memory must stay valid for the length of the call that it
/// is passed to.
class const_buffer {
 public:
  /// `size` bytes from `data` on.
  const_buffer(const void* data, std::size_t size) noexcept : data_(data), size_(size) {}
  /// The characters of a C string or literal, without the NUL that ends it.
  const_buffer(const char* text) noexcept : const_buffer(text, std::strlen(text)) {}
  /// All bytes that a string, container or span holds now.
  template <detail::byte_range Range>
  requires(!std::is_array_v<std::remove_reference_t<Range>> ||
           !std::convertible_to<Range, const char*>) const_buffer(Range&& bytes)
  noexcept : data_(std::ranges::data(bytes)), size_(std::ranges::size(bytes)) {}
  /// An array of char could be meant as a whole or up to its NUL: say which, with {array, size} or
  /// a string_view.
  template <std::size_t Size>
  const_buffer(char (&array)[Size]) = delete;

  /// The first byte; may be null when size() is 0.
  const void* data() const noexcept { return data_; }
  /// How many bytes there are.
  std::size_t size() const noexcept { return size_; }
  /// What is left behind the first `count` bytes, which must be there.
  const_buffer from(std::size_t count) const noexcept {
    return {static_cast<const char*>(data_) + count, size_ - count};
  }

 private:
  const void* data_;
  std::size_t size_;
};

}  // namespace coir::net
