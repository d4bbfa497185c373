/// The cases of a select together, of which one is chosen.
#pragma once

#include <coir/detail/select_case.hpp>
#include <coir/detail/wait_queue.hpp>
#include <coir/export.hpp>

#include <cstddef>

namespace coir::detail {

class held_descriptors;

/// The cases of one select. Lives as long as the call.
class COIR_API case_list {
 public:
  /// Adds a case, which must outlive the list. Throws std::invalid_argument for a second
  /// `otherwise`. Never parks.
  void add(case_base& c);
  /// A place in the count for a case that is never ready.
  void skip() noexcept { ++count_; }
  /// Waits until a case is ready, commits one of those that are, and returns it. Parks unless one
  /// is ready or there is an `otherwise`. Throws fiber_exit when the fiber is killed meanwhile.
  case_base& choose();

  /// Takes and gives back the locks of all queues.
  void lock() noexcept;
  void unlock() noexcept;

 private:
  static case_base* sorted(case_base* first, std::size_t count) noexcept;
  static case_base* merged(case_base* one, case_base* other) noexcept;
  case_base* commit_one();
  case_base* without_waiting() const noexcept;
  void enlist(choice& made, control_block& fiber) noexcept;
  wait_status wait_for(choice& made);
  wait_status wait_for(choice& made, const held_descriptors& held, int& error);
  case_base* withdraw(const choice& made) noexcept;

  case_base* queued_ = nullptr;     ///< the cases that wait in queues, by choose() sorted by lock
  case_base* polled_ = nullptr;     ///< the cases that wait for descriptors
  case_base* earliest_ = nullptr;   ///< of the deadlines
  case_base* otherwise_ = nullptr;  ///< runs when none is ready
  std::size_t queued_count_ = 0;
  std::size_t polled_count_ = 0;
  std::size_t count_ = 0;
};

}  // namespace coir::detail
