#include "net/http/conditions.hpp"

#include "net/http/clock_text.hpp"
#include "net/http/text.hpp"

#include <algorithm>
#include <charconv>

namespace coir::net::http {
namespace {

/// True when one of the entity tags of a list is `etag`, or the list is "*". Weak comparison takes
/// "W/x" for "x".
bool lists(std::string_view list, std::string_view etag, bool is_weak) noexcept {
  while (!list.empty()) {
    std::string_view each = trimmed(take_until(list, ','));
    if (each == "*") return true;
    if (is_weak && each.starts_with("W/")) each.remove_prefix(2);
    if (each == etag) return true;
  }
  return false;
}

/// True when the field is a date, and the resource has changed after it.
std::optional<bool> changed_after(std::string_view field, std::time_t modified) noexcept {
  const auto date = date_value(field);
  if (!date) return std::nullopt;
  return modified > *date;
}

/// A number that is nothing but digits, cut to 64 bits; nothing for another text.
std::optional<std::uint64_t> number(std::string_view text) noexcept {
  if (text.empty() || !std::all_of(text.begin(), text.end(), is_digit)) return std::nullopt;
  std::uint64_t value = 0;
  const auto result = std::from_chars(text.data(), text.data() + text.size(), value);
  return result.ec == std::errc() ? value : UINT64_MAX;
}

}  // namespace

int checked(const http_headers& conditions, const validators& now) {
  if (conditions.contains("If-Match")) {
    if (!lists(conditions.get("If-Match"), now.etag, false)) return 412;
  } else if (changed_after(conditions.get("If-Unmodified-Since"), now.modified).value_or(false)) {
    return 412;
  }
  if (conditions.contains("If-None-Match")) {
    return lists(conditions.get("If-None-Match"), now.etag, true) ? 304 : 200;
  }
  return changed_after(conditions.get("If-Modified-Since"), now.modified).value_or(true) ? 200
                                                                                         : 304;
}

range_choice chosen_range(const http_headers& asked, std::uint64_t size, const validators& now) {
  if (!asked.contains("Range")) return {range_choice::outcome::whole};
  if (asked.contains("If-Range")) {
    const std::string_view still = asked.get("If-Range");
    const bool is_same =
        still.starts_with('"') ? still == now.etag : date_value(still) == now.modified;
    if (!is_same) return {range_choice::outcome::whole};
  }
  return parsed_range(asked.get("Range"), size);
}

range_choice parsed_range(std::string_view value, std::uint64_t size) noexcept {
  using outcome = range_choice::outcome;
  const std::string_view unit = trimmed(take_until(value, '='));
  if (!equal_ignoring_case(unit, "bytes") || value.find(',') != std::string_view::npos) {
    return {outcome::whole};
  }
  value = trimmed(value);
  const std::size_t dash = value.find('-');
  if (dash == std::string_view::npos) return {outcome::whole};
  const auto first = number(value.substr(0, dash));
  const auto last = number(value.substr(dash + 1));
  if (dash == 0) {  // "-500": the last 500 bytes
    if (!last) return {outcome::whole};
    const std::uint64_t count = std::min(*last, size);
    if (count == 0) return {outcome::unsatisfiable};
    return {outcome::part, {size - count, count}};
  }
  const bool is_open = dash + 1 == value.size();
  if (!first || (!last && !is_open) || (last && *last < *first)) return {outcome::whole};
  if (*first >= size) return {outcome::unsatisfiable};
  const std::uint64_t end = is_open ? size - 1 : std::min(*last, size - 1);
  return {outcome::part, {*first, end - *first + 1}};
}

}  // namespace coir::net::http
