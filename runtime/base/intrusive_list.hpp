/// Doubly linked list through members `next` and `prev` of its elements; owns nothing, allocates
/// nothing.
#pragma once

namespace coir::detail {

template <class T>
class intrusive_list {
 public:
  bool empty() const noexcept { return head_ == nullptr; }
  T* front() const noexcept { return head_; }

  void push_back(T& element) noexcept {
    element.next = nullptr;
    element.prev = tail_;
    (tail_ ? tail_->next : head_) = &element;
    tail_ = &element;
  }

  /// The element must be in this list.
  void remove(T& element) noexcept {
    (element.prev ? element.prev->next : head_) = element.next;
    (element.next ? element.next->prev : tail_) = element.prev;
  }

  T* pop_front() noexcept {
    T* first = head_;
    if (first) remove(*first);
    return first;
  }

 private:
  T* head_ = nullptr;
  T* tail_ = nullptr;
};

}  // namespace coir::detail
