/// The cases of a select, and how one is chosen. The protocol is explained in
/// runtime/task/select_case.cpp.
#pragma once

#include <coir/detail/wait_queue.hpp>
#include <coir/export.hpp>

#include <concepts>
#include <cstddef>
#include <type_traits>

namespace coir::detail {

/// Names a case that is chosen when no other is ready.
struct otherwise_tag {};

/// One case, untyped. Copying copies what it asks for, not a wait in progress.
class COIR_API case_base {
 public:
  virtual ~case_base();
  /// Does what the user wants done in this case, after it was chosen. May park and throw.
  virtual void run() = 0;
  /// Its place among the cases of the select that chose it.
  std::size_t index() const noexcept { return index_; }

 protected:
  /// A case that waits in `where`, which `lock` guards; both outlive it. When they are null it is
  /// never ready.
  case_base(short_lock* lock, wait_queue* where) noexcept : lock_(lock), where_(where) {}
  /// A case that is chosen when the deadline has passed.
  explicit case_base(deadline when) noexcept : when_(when) {}
  /// A case that is chosen when no other is ready.
  explicit case_base(otherwise_tag) noexcept : is_otherwise_(true) {}
  case_base(const case_base& other) noexcept
      : lock_(other.lock_),
        where_(other.where_),
        when_(other.when_),
        is_otherwise_(other.is_otherwise_) {}
  case_base& operator=(const case_base&) = delete;

  // For a case that waits in a queue; called with its lock held.

  /// Whether it could be committed without waiting.
  virtual bool is_ready_now() noexcept { return false; }
  /// Does it; false when it is no longer ready, because a waiting select of the other side was
  /// taken elsewhere. May throw std::bad_alloc, which changes nothing.
  virtual bool commit_now() { return false; }
  /// What the waiter tells its waker: the payload. The case is about to wait.
  virtual void* payload_now() noexcept { return nullptr; }
  /// The payload of the waiter as its waker has left it. For run() after a wait.
  void* payload() const noexcept { return waiter_.payload; }
  /// For commit_now, so that run() need not ask whether there was a wait.
  void set_payload(void* left) noexcept { waiter_.payload = left; }

 private:
  friend class case_list;

  short_lock* const lock_ = nullptr;
  wait_queue* const where_ = nullptr;
  const deadline when_ = never;
  const bool is_otherwise_ = false;
  alternative waiter_;
  case_base* next_ = nullptr;
  std::size_t index_ = 0;
};

/// What may stand in a select.
template <class Case>
concept select_case_type = std::derived_from<std::remove_cvref_t<Case>, case_base>;

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
  case_base* withdraw(const choice& made) noexcept;

  case_base* queued_ = nullptr;     ///< the cases that wait in queues, by choose() sorted by lock
  case_base* earliest_ = nullptr;   ///< of the deadlines
  case_base* otherwise_ = nullptr;  ///< runs when none is ready
  std::size_t queued_count_ = 0;
  std::size_t count_ = 0;
};

}  // namespace coir::detail
