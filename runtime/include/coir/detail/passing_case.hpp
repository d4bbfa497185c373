/// The cases of a select that pass an item or wait for a state.
#pragma once

#include <coir/detail/queue_core.hpp>
#include <coir/detail/select_case.hpp>
#include <coir/exceptions.hpp>

#include <concepts>
#include <optional>
#include <type_traits>
#include <utility>

namespace coir::detail {

/// What a select sees of the objects that its cases name.
struct select_access {
  /// The machinery of a channel or queue; null for null.
  template <class Source>
  static auto* core(Source* source) noexcept {
    return source ? &source->core_ : nullptr;
  }
  /// Throws what a put into a closed `Source` throws.
  template <class Source>
  static void refuse() {
    Source::has_passed(pass_status::closed);
  }
  /// The lock of an event or a task, and where fibers wait for it.
  template <class Object>
  static short_lock* lock(Object& object) noexcept {
    return &object.lock_;
  }
  template <class Object>
  static wait_queue* waiters(Object& object) noexcept {
    return &object.waiters_;
  }
  template <class Task>
  static wait_queue* joiners(Task& task) noexcept {
    return &task.joiners_;
  }
};

/// Takes an item; the function gets it, or nothing when `Core` is closed and empty.
template <class T, class Store, class Function>
class taking_case final : public case_base {
 public:
  taking_case(queue_core<T, Store>* from, Function f)
      : case_base(from ? &from->lock : nullptr, from ? &from->getters : nullptr),
        from_(from),
        function_(std::move(f)) {}

  void run() override {
    std::optional<T> item = std::move(item_);
    item_.reset();  // for the next time
    function_(std::move(item));
  }

 private:
  bool is_ready_now() noexcept override { return from_->can_get_now(); }
  bool commit_now() override {
    from_->get_now(item_);
    return item_ || from_->is_closed;
  }
  void* payload_now() noexcept override { return &item_; }

  queue_core<T, Store>* from_;
  Function function_;
  std::optional<T> item_;
};

/// Passes an item to `Source`; throws what that throws when it is closed. `Item` is T, or T& for a
/// variable of the caller's.
template <class Source, class T, class Store, class Item, class Function>
class giving_case final : public case_base {
 public:
  template <class Given>
  giving_case(queue_core<T, Store>* to, Given&& item, Function f)
      : case_base(to ? &to->lock : nullptr, to ? &to->putters : nullptr),
        to_(to),
        item_(std::forward<Given>(item)),
        function_(std::move(f)) {}

  void run() override {
    if (!payload()) select_access::refuse<Source>();
    function_();
  }

 private:
  bool is_ready_now() noexcept override { return to_->can_put_now(); }
  bool commit_now() override {
    const bool has_passed = to_->put_now(item_);
    set_payload(has_passed ? &item_ : nullptr);
    return has_passed || to_->is_closed;
  }
  void* payload_now() noexcept override {
    to_->offer_now(item_);
    return &item_;
  }

  queue_core<T, Store>* to_;
  Item item_;
  Function function_;
};

/// What a giving_case is made from: a variable of type T, to which it refers, or what turns into
/// the T that it then keeps.
template <class Item, class T>
concept item_of = std::is_same_v<Item, T&> || std::convertible_to<Item, T>;

template <class Source, class T, class Store, item_of<T> Item, class Function>
auto make_giving_case(queue_core<T, Store>* to, Item&& item, Function f) {
  using kept = std::conditional_t<std::is_same_v<Item, T&>, T&, T>;
  return giving_case<Source, T, Store, kept, Function>(to, std::forward<Item>(item), std::move(f));
}

/// Waits until `is_reached()`, which the wakers of `waiters` make true under `lock`.
template <class Condition, class Function>
class state_case final : public case_base {
 public:
  state_case(short_lock* lock, wait_queue* waiters, Condition is_reached, Function f)
      : case_base(lock, waiters), is_reached_(std::move(is_reached)), function_(std::move(f)) {}

  void run() override { function_(); }

 private:
  bool is_ready_now() noexcept override { return is_reached_(); }
  bool commit_now() override { return true; }

  Condition is_reached_;
  Function function_;
};

/// Waits until a descriptor is ready.
template <class Function>
class readiness_case final : public descriptor_case {
 public:
  readiness_case(int fd, short events, Function f)
      : descriptor_case(events), fd_(fd), function_(std::move(f)) {}

  void run() override {
    expect_open();
    function_();
  }

 private:
  int hold() override { return fd_; }

  const int fd_;
  Function function_;
};

/// Is chosen by time, or when no other case is ready.
template <class Function>
class passive_case final : public case_base {
 public:
  template <class Why>
  passive_case(Why why, Function f) : case_base(why), function_(std::move(f)) {}

  void run() override { function_(); }

 private:
  Function function_;
};

}  // namespace coir::detail
