/// Parts of URIs (RFC 3986).
#pragma once

#include <coir/export.hpp>

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace coir::net {

/// `text` with each "%41" replaced by its byte. Nothing when a '%' is not followed by two
/// hexadecimal digits. Any thread; never parks, nor do the others here.
COIR_API std::optional<std::string> percent_decoded(std::string_view text);

/// `text` with all but letters, digits, "-._~" and the characters of `kept` as "%XX".
COIR_API std::string percent_encoded(std::string_view text, std::string_view kept = {});

/// The names and values of a query or a form ("a=1&b=x+y%21"), decoded, in their order; '+' is a
/// space. Nothing when a '%' is not followed by two hexadecimal digits.
COIR_API std::optional<std::vector<std::pair<std::string, std::string>>> query_values(
    std::string_view query);

/// The path that a decoded path leads to: with one '/' between its segments, without "." and "..",
/// beginning with '/'; one that ends in '/' keeps that. Nothing when ".." would lead above the
/// root, and for a path that does not begin with '/' or holds a NUL.
COIR_API std::optional<std::string> normal_path(std::string_view path);

}  // namespace coir::net
