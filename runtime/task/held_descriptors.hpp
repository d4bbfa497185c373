/// The descriptors for which the cases of a select wait.
#pragma once

#include <coir/detail/select_case.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>

#include <poll.h>

namespace coir::detail {

/// Held from its construction to its end, the length of one select. Lives on the stack of the
/// fiber that selects.
class held_descriptors {
 public:
  /// Of a list of `count` cases, each a descriptor_case. Throws std::bad_alloc, and what hold()
  /// throws.
  held_descriptors(case_base* first, std::size_t count);
  held_descriptors(const held_descriptors&) = delete;
  held_descriptors& operator=(const held_descriptors&) = delete;
  ~held_descriptors();

  /// Finds out which cases are ready now; true when some are. Throws std::system_error when the
  /// kernel cannot tell.
  bool look();

  /// What they wait for; a negative descriptor stands for a case that waits for nothing.
  const pollfd* polled() const noexcept { return polled_; }
  std::size_t count() const noexcept { return count_; }

 private:
  static constexpr std::size_t few = 4;

  static descriptor_case& of(case_base& c) noexcept { return static_cast<descriptor_case&>(c); }
  void let_go(const case_base* end) noexcept;

  case_base* const first_;
  const std::size_t count_;
  pollfd polled_inline_[few];
  std::uint32_t generations_inline_[few];  ///< of the numbers when they were held
  std::unique_ptr<pollfd[]> polled_heap_;
  std::unique_ptr<std::uint32_t[]> generations_heap_;
  pollfd* polled_ = polled_inline_;
  std::uint32_t* generations_ = generations_inline_;
};

}  // namespace coir::detail
