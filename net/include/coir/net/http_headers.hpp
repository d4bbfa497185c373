/// Header fields of HTTP messages.
#pragma once

#include <coir/export.hpp>

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

namespace coir::net {
namespace http {
class answer_reader;
class request_head;
}  // namespace http

/// The header fields of a message, in their order; names are compared without regard to case. Owns
/// its text. What it hands out stays valid until the next call that changes it. Not to be used by
/// two threads at a time; never parks.
class COIR_API http_headers {
 public:
  /// One field; views into the object it came from.
  struct field {
    std::string_view name;   ///< as it was written
    std::string_view value;  ///< without the white space around it
  };

  /// Goes through the fields.
  class iterator {
   public:
    /// The field it stands at.
    field operator*() const noexcept { return owner_->at(index_); }
    /// To the next one.
    iterator& operator++() noexcept {
      ++index_;
      return *this;
    }
    /// True at the same place of the same object.
    bool operator==(const iterator&) const noexcept = default;

   private:
    friend class http_headers;
    iterator(const http_headers* owner, std::size_t index) noexcept
        : owner_(owner), index_(index) {}
    const http_headers* owner_;
    std::size_t index_;
  };

  /// Without fields.
  http_headers() = default;
  /// Of these fields: `{{"Accept", "text/html"}, {"DNT", "1"}}`. Throws as add.
  http_headers(std::initializer_list<field> fields) {
    for (const field& each : fields) add(each.name, each.value);
  }

  /// The value of the first field of that name; empty when there is none.
  std::string_view get(std::string_view name) const noexcept;
  /// True when there is a field of that name.
  bool contains(std::string_view name) const noexcept;
  /// How many fields have that name.
  std::size_t count(std::string_view name) const noexcept;
  /// True when `token` is in one of the comma-separated lists of the fields of that name, without
  /// regard to case: `has_token("Connection", "upgrade")`.
  bool has_token(std::string_view name, std::string_view token) const noexcept;

  /// Appends a field. Throws std::invalid_argument when `name` is no token of RFC 9110, or when
  /// `value` holds a control character: what would let a value begin a field of its own.
  void add(std::string_view name, std::string_view value);
  /// The same in the place of all fields of that name.
  void set(std::string_view name, std::string_view value);
  /// Removes all fields of that name; how many there were.
  std::size_t remove(std::string_view name) noexcept;
  /// Removes all fields; keeps the memory.
  void clear() noexcept;

  /// How many fields there are.
  std::size_t size() const noexcept { return places_.size(); }
  /// True when there are none.
  bool empty() const noexcept { return places_.empty(); }
  /// The first field.
  iterator begin() const noexcept { return {this, 0}; }
  /// Behind the last field.
  iterator end() const noexcept { return {this, places_.size()}; }

  /// Appends "NAME: VALUE\r\n" for each field.
  void append_to(std::string& out) const;

 private:
  friend class http::answer_reader;
  friend class http::request_head;

  struct place {  ///< of a field in text_: the value follows the name
    std::uint32_t begin;
    std::uint32_t name_size;
    std::uint32_t value_size;
  };

  void append(std::string_view name, std::string_view value);  // add without checks
  bool is_named(const place& p, std::string_view name) const noexcept;

  field at(std::size_t index) const noexcept {
    const place& p = places_[index];
    const std::string_view text(text_);
    return {text.substr(p.begin, p.name_size), text.substr(p.begin + p.name_size, p.value_size)};
  }

  std::string text_;
  std::vector<place> places_;
};

}  // namespace coir::net
