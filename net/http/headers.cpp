#include "net/http/text.hpp"

#include <coir/net/http_headers.hpp>

#include <limits>
#include <stdexcept>

namespace coir::net {

using http::equal_ignoring_case;

/// Names of another length, which most are, cost one comparison.
inline bool http_headers::is_named(const place& p, std::string_view name) const noexcept {
  return p.name_size == name.size() &&
         equal_ignoring_case({text_.data() + p.begin, p.name_size}, name);
}

std::string_view http_headers::get(std::string_view name) const noexcept {
  for (std::size_t i = 0; i < places_.size(); ++i) {
    if (is_named(places_[i], name)) return at(i).value;
  }
  return {};
}

bool http_headers::contains(std::string_view name) const noexcept { return count(name) != 0; }

std::size_t http_headers::count(std::string_view name) const noexcept {
  std::size_t found = 0;
  for (const place& each : places_) found += is_named(each, name);
  return found;
}

bool http_headers::has_token(std::string_view name, std::string_view token) const noexcept {
  for (const field each : *this) {
    if (!equal_ignoring_case(each.name, name)) continue;
    for (std::string_view rest = each.value; !rest.empty();) {
      if (equal_ignoring_case(http::trimmed(http::take_until(rest, ',')), token)) return true;
    }
  }
  return false;
}

void http_headers::add(std::string_view name, std::string_view value) {
  value = http::trimmed(value);
  if (!http::is_token(name)) {
    throw std::invalid_argument("the name of a header field must be a token, and is '" +
                                std::string(name) + "'");
  }
  if (!http::is_field_value(value)) {
    throw std::invalid_argument("the value of the header field " + std::string(name) +
                                " holds a control character");
  }
  append(name, value);
}

void http_headers::append(std::string_view name, std::string_view value) {
  constexpr std::size_t size_max = std::numeric_limits<std::uint32_t>::max();
  if (name.size() + value.size() > size_max - text_.size()) {
    throw std::length_error("more than 4 GiB of header fields");
  }
  const place where{static_cast<std::uint32_t>(text_.size()),
                    static_cast<std::uint32_t>(name.size()),
                    static_cast<std::uint32_t>(value.size())};
  const std::size_t size = text_.size() + name.size() + value.size();
  if (places_.size() == places_.capacity()) places_.reserve(2 * places_.size() + 4);
  if (size <= text_.capacity()) {
    text_.append(name).append(value);
  } else {  // beside the old text, of which `name` and `value` may be views
    std::string grown;
    grown.reserve(size + text_.capacity());
    text_.swap(grown.append(text_).append(name).append(value));
  }
  places_.push_back(where);
}

void http_headers::set(std::string_view name, std::string_view value) {
  add(name, value);  // checks them before anything is lost
  const place added = places_.back();
  places_.pop_back();
  remove(std::string_view(text_).substr(added.begin, added.name_size));
  places_.push_back(added);
}

std::size_t http_headers::remove(std::string_view name) noexcept {
  return std::erase_if(places_, [&](const place& p) { return is_named(p, name); });
}

void http_headers::clear() noexcept {
  text_.clear();
  places_.clear();
}

void http_headers::append_to(std::string& out) const {
  for (const field each : *this) {
    out.append(each.name).append(": ").append(each.value).append("\r\n");
  }
}

}  // namespace coir::net
