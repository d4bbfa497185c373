/// What a range-for can walk. std::ranges says the same, but <ranges> is costly to compile.
#pragma once

#include <iterator>
#include <utility>

namespace coir::detail {

/// Has a begin and an end.
template <class Range>
concept iterable = requires(Range& r) {
  std::begin(r);
  std::end(r);
};

/// The type of the items of a range.
template <iterable Range>
using item_type_of = std::iter_value_t<decltype(std::begin(std::declval<Range&>()))>;

}  // namespace coir::detail
