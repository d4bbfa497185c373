/// In which order a queue gives its items out: oldest, newest or smallest first.
///
/// A store is guarded by the lock of its queue. Each has the same members: size() and empty();
/// next(), the item that comes out next; push(), which may throw std::bad_alloc and then has
/// changed nothing; pop(). After a pop the next push needs no memory: a full queue relies on that
/// when it lets a waiting putter's item in.
#pragma once

#include <cstddef>
#include <cstdint>
#include <new>
#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

namespace coir::detail {

/// A store that has run empty keeps memory for so many items; what a burst took beyond it is given
/// back.
inline constexpr std::size_t places_kept_max = 1024;

/// Oldest first: a ring whose length is a power of two.
template <class T>
class fifo_store {
 public:
  fifo_store() noexcept = default;
  fifo_store(fifo_store&& other) noexcept { swap(other); }
  fifo_store& operator=(fifo_store other) noexcept {
    swap(other);
    return *this;
  }
  ~fifo_store() {
    for (; size_ > 0; --size_) places_[first_++ & mask_].~T();
    release();
  }

  std::size_t size() const noexcept { return size_; }
  bool empty() const noexcept { return size_ == 0; }
  const T& next() const noexcept { return places_[first_ & mask_]; }

  void push(T&& item) {
    if (size_ == length_) [[unlikely]]
      grow();
    new (&places_[(first_ + size_) & mask_]) T(std::move(item));
    ++size_;
  }

  void pop(std::optional<T>& into) noexcept {
    T& oldest = places_[first_ & mask_];
    into.emplace(std::move(oldest));
    oldest.~T();
    ++first_;
    if (--size_ == 0 && length_ > places_kept_max) release();
  }

 private:
  static constexpr std::size_t first_length = 8;

  void swap(fifo_store& other) noexcept {
    std::swap(places_, other.places_);
    std::swap(length_, other.length_);
    std::swap(mask_, other.mask_);
    std::swap(first_, other.first_);
    std::swap(size_, other.size_);
  }

  void grow() {
    const std::size_t length = length_ ? 2 * length_ : first_length;
    T* const places = std::allocator<T>().allocate(length);
    for (std::size_t i = 0; i < size_; ++i) {
      T& item = places_[(first_ + i) & mask_];
      new (&places[i]) T(std::move(item));
      item.~T();
    }
    const std::size_t size = size_;
    release();
    places_ = places;
    length_ = length;
    mask_ = length - 1;
    size_ = size;
  }

  /// Gives the memory back; the items are gone already.
  void release() noexcept {
    if (places_) std::allocator<T>().deallocate(places_, length_);
    places_ = nullptr;
    length_ = mask_ = first_ = size_ = 0;
  }

  T* places_ = nullptr;
  std::size_t mask_ = 0;   ///< length_ - 1, or 0 while there is no memory
  std::size_t first_ = 0;  ///< the oldest item's place, counted on without end
  std::size_t size_ = 0;
  std::size_t length_ = 0;
};

/// Newest first.
template <class T>
class lifo_store {
 public:
  std::size_t size() const noexcept { return items_.size(); }
  bool empty() const noexcept { return items_.empty(); }
  const T& next() const noexcept { return items_.back(); }

  void push(T&& item) { items_.push_back(std::move(item)); }

  void pop(std::optional<T>& into) noexcept {
    into.emplace(std::move(items_.back()));
    items_.pop_back();
    if (items_.empty() && items_.capacity() > places_kept_max) items_ = std::vector<T>();
  }

 private:
  std::vector<T> items_;
};

/// std::less<>, without the rest of <functional>.
struct less {
  template <class A, class B>
  constexpr bool operator()(const A& a, const B& b) const {
    return a < b;
  }
};

/// Smallest first by `Compare`, the oldest first among equals: a binary heap of our own, since
/// <algorithm> takes as long to compile as all of coir's headers. `Compare` must not throw.
template <class T, class Compare>
class priority_store {
 public:
  explicit priority_store(Compare compare = Compare()) : compare_(std::move(compare)) {}

  std::size_t size() const noexcept { return items_.size(); }
  bool empty() const noexcept { return items_.empty(); }
  const T& next() const noexcept { return items_.front().item; }

  void push(T&& item) {
    items_.emplace_back(std::move(item), pushes_++);
    rise();
  }

  void pop(std::optional<T>& into) noexcept {
    into.emplace(std::move(items_.front().item));
    entry last = std::move(items_.back());
    items_.pop_back();
    if (!items_.empty()) sink(std::move(last));
    if (items_.empty() && items_.capacity() > places_kept_max) items_ = std::vector<entry>();
  }

 private:
  static_assert(std::is_nothrow_move_assignable_v<T>, "items change their places in the heap");

  struct entry {
    entry(T&& i, std::uint64_t n) noexcept : item(std::move(i)), number(n) {}
    T item;
    std::uint64_t number;  ///< how many were pushed before it
  };

  bool is_before(const entry& a, const entry& b) noexcept {
    if (compare_(a.item, b.item)) return true;
    return a.number < b.number && !compare_(b.item, a.item);
  }

  /// Moves the last entry towards the front, to its place.
  void rise() noexcept {
    std::size_t at = items_.size() - 1;
    entry moving = std::move(items_[at]);
    for (; at > 0; at = (at - 1) / 2) {
      entry& parent = items_[(at - 1) / 2];
      if (!is_before(moving, parent)) break;
      items_[at] = std::move(parent);
    }
    items_[at] = std::move(moving);
  }

  /// The front has been moved away: fills it from below, down to where `moving` has its place.
  void sink(entry moving) noexcept {
    std::size_t at = 0;
    for (std::size_t child; (child = 2 * at + 1) < items_.size(); at = child) {
      if (child + 1 < items_.size() && is_before(items_[child + 1], items_[child])) ++child;
      if (!is_before(items_[child], moving)) break;
      items_[at] = std::move(items_[child]);
    }
    items_[at] = std::move(moving);
  }

  std::vector<entry> items_;
  [[no_unique_address]] Compare compare_;
  std::uint64_t pushes_ = 0;
};

}  // namespace coir::detail
