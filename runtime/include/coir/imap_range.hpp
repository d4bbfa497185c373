/// The results of an imap, read while they come.
#pragma once

#include <coir/detail/owned.hpp>
#include <coir/detail/result_feed.hpp>
#include <coir/exceptions.hpp>

#include <cstddef>
#include <iterator>
#include <optional>
#include <tuple>
#include <type_traits>
#include <utility>

namespace coir {
namespace detail {

/// What an imap needs while it runs: its feed, and, in what derives from it, function and input.
struct imap_state {
  imap_state(bool is_ordered, std::size_t ahead_max) noexcept : feed(is_ordered, ahead_max) {}
  virtual ~imap_state() = default;
  result_feed feed;
};

}  // namespace detail

/// What imap() and imap_unordered() return: an input range over the results of calls that are still
/// being made. Its reader may be any fiber, one at a time; the group must outlive it. Destroying it
/// ends what was begun and not read: those calls are killed, and waited for.
///
///     for (page& p : crawlers.imap(fetch, urls)) store(p);
///
/// A call that failed throws its error when its turn comes, out of next() or the increment of an
/// iterator; reading may go on after it. What the input has thrown comes after all results.
template <class R>
class imap_range {
 public:
  /// What is read: R, or an empty tuple where the calls return nothing.
  using value_type = std::conditional_t<std::is_void_v<R>, std::tuple<>, R>;

  /// Used by imap.
  explicit imap_range(detail::owned<detail::imap_state> state) noexcept
      : state_(std::move(state)) {}
  imap_range(imap_range&&) noexcept = default;
  imap_range& operator=(imap_range&& other) noexcept {
    imap_range ended(std::move(*this));
    state_ = std::move(other.state_);
    return *this;
  }
  /// Parks until what was begun has ended. A kill of the waiting fiber is kept until then.
  ~imap_range() {
    if (state_) state_->feed.end();
  }

  /// The next result; parks until it is there. Nothing once the input has ended and all results
  /// were read. Throws what the call threw, and fiber_exit for a call that was killed, or when the
  /// reader is killed meanwhile; that one loses no result.
  std::optional<value_type> next() {
    const detail::task_ref<detail::task> ended = state_->feed.next();
    if (!ended) return std::nullopt;
    ended->rethrow();
    if constexpr (std::is_void_v<R>) {
      return value_type();
    } else {
      auto& value = static_cast<detail::task_of<R>&>(*ended).value;
      if (!value) throw fiber_exit();
      return std::move(value);
    }
  }

  /// An input iterator that holds the result it stands at. Its increment parks and throws as
  /// next().
  class iterator {
   public:
    /// As of any iterator.
    using value_type = imap_range::value_type;
    /// As of any iterator.
    using difference_type = std::ptrdiff_t;
    /// It can be read once.
    using iterator_concept = std::input_iterator_tag;

    /// Reads the first result.
    explicit iterator(imap_range& from) : from_(&from), current_(from.next()) {}
    /// The result; it may be moved away.
    value_type& operator*() const noexcept { return *current_; }
    /// The result's members.
    value_type* operator->() const noexcept { return &*current_; }
    /// Reads the next result.
    iterator& operator++() {
      current_.reset();
      current_ = from_->next();
      return *this;
    }
    /// Reads the next result.
    void operator++(int) { ++*this; }
    /// True once there is no result left.
    friend bool operator==(const iterator& it, std::default_sentinel_t) noexcept {
      return !it.current_;
    }

   private:
    imap_range* from_;
    mutable std::optional<value_type> current_;
  };

  /// Reads the next result and stands at it; after an error, this is how a loop goes on. Parks.
  iterator begin() { return iterator(*this); }
  /// Where no result is left.
  std::default_sentinel_t end() const noexcept { return {}; }

 private:
  detail::owned<detail::imap_state> state_;
};

}  // namespace coir
