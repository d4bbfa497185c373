/// Range-for over what comes out of a queue or channel.
#pragma once

#include <cstddef>
#include <iterator>
#include <optional>
#include <utility>

namespace coir::detail {

/// Takes part in place of a stop item where there is none.
struct no_stop_item {};

/// Whether `item` is the stop item.
template <class T, class Stop>
bool is_stop(const T& item, const Stop& stop) {
  return item == stop;
}
template <class T>
bool is_stop(const T&, no_stop_item) {
  return false;
}

/// Input iterator that takes one item after the other out of `Source` and holds the last one. Ends
/// where the source says that nothing will come any more, or at the stop item, which is taken, too.
/// Incrementing it parks and throws what the source's next_item() does.
template <class Source, class Stop = no_stop_item>
class item_iterator {
 public:
  using value_type = typename Source::value_type;
  using difference_type = std::ptrdiff_t;
  using iterator_concept = std::input_iterator_tag;

  item_iterator(Source& source, const Stop* stop) : source_(&source), stop_(stop) { ++*this; }

  value_type& operator*() const noexcept { return *item_; }
  value_type* operator->() const noexcept { return &*item_; }
  item_iterator& operator++() {
    item_.reset();
    source_->next_item(item_);
    if (item_ && is_stop(*item_, *stop_)) item_.reset();
    return *this;
  }
  void operator++(int) { ++*this; }
  friend bool operator==(const item_iterator& it, std::default_sentinel_t) noexcept {
    return !it.item_;
  }

 private:
  Source* source_;
  const Stop* stop_;
  mutable std::optional<value_type> item_;
};

/// What until() returns: the items of a source up to a stop item. Refers to the source.
template <class Source, class Stop>
class items_until {
 public:
  items_until(Source& source, Stop stop) : source_(source), stop_(std::move(stop)) {}
  item_iterator<Source, Stop> begin() { return {source_, &stop_}; }
  std::default_sentinel_t end() const noexcept { return {}; }

 private:
  Source& source_;
  Stop stop_;
};

}  // namespace coir::detail
