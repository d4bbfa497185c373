/// What a case of a select is. How one is chosen is explained in runtime/task/case_list.cpp.
#pragma once

#include <coir/detail/wait_queue.hpp>
#include <coir/export.hpp>

#include <concepts>
#include <cstddef>
#include <type_traits>

namespace coir::detail {

/// Names a case that is chosen when no other is ready.
struct otherwise_tag {};
/// Names a case that waits for a descriptor.
struct descriptor_tag {};

/// The function of a case that has none.
struct do_nothing {
  void operator()(const auto&...) const noexcept {}
};

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
  /// A descriptor_case.
  explicit case_base(descriptor_tag) noexcept : has_descriptor_(true) {}
  case_base(const case_base& other) noexcept
      : lock_(other.lock_),
        where_(other.where_),
        when_(other.when_),
        is_otherwise_(other.is_otherwise_),
        has_descriptor_(other.has_descriptor_) {}
  case_base& operator=(const case_base&) = delete;

  // For a case that waits in a queue, or for a descriptor; called with the locks of queues held.

  /// Whether it could be committed without waiting.
  virtual bool is_ready_now() noexcept { return false; }
  /// Does it; false when it is no longer ready, because a waiting select of the other side was
  /// taken elsewhere, or another fiber has taken what had come. What it throws changes nothing.
  virtual bool commit_now() { return false; }
  /// What the waiter tells its waker: the payload. The case is about to wait.
  virtual void* payload_now() noexcept { return nullptr; }
  /// The payload of the waiter as its waker has left it. For run() after a wait.
  void* payload() const noexcept { return waiter_.payload; }
  /// For commit_now, so that run() need not ask whether there was a wait.
  void set_payload(void* left) noexcept { waiter_.payload = left; }

 private:
  friend class case_list;
  friend class held_descriptors;

  short_lock* const lock_ = nullptr;
  wait_queue* const where_ = nullptr;
  const deadline when_ = never;
  const bool is_otherwise_ = false;
  const bool has_descriptor_ = false;
  alternative waiter_;
  case_base* next_ = nullptr;
  std::size_t index_ = 0;
};

/// A case that waits for a descriptor, in no queue.
class COIR_API descriptor_case : public case_base {
 public:
  ~descriptor_case() override;

 protected:
  /// Waits for POLLIN and the like.
  explicit descriptor_case(short events) noexcept : case_base(descriptor_tag{}), events_(events) {}

  /// A select begins: says which descriptor it is, which must stay the same until let_go(). Below
  /// 0: none, so that the case is not ready unless find() was called. May throw; never parks.
  virtual int hold() = 0;
  /// The select is over, or at least its wait; before run(). Never parks.
  virtual void let_go() noexcept {}
  /// Takes what has come; false when it is gone. What it throws changes nothing. Called with the
  /// locks of queues held.
  virtual bool take() { return true; }

  /// The case is ready whatever the descriptor says; for hold().
  void find(short events) noexcept { found_ = events; }
  /// Throws std::system_error when the descriptor was none, or was closed meanwhile; for run().
  void expect_open() const;

 private:
  friend class held_descriptors;
  bool is_ready_now() noexcept final { return found_ != 0; }
  bool commit_now() final;

  const short events_;
  short found_ = 0;  ///< at the last look, as poll(2) tells it
};

/// What may stand in a select.
template <class Case>
concept select_case_type = std::derived_from<std::remove_cvref_t<Case>, case_base>;

}  // namespace coir::detail
