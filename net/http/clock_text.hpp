/// The time of day as HTTP and its logs write it.
#pragma once

#include <ctime>
#include <optional>
#include <string>
#include <string_view>

namespace coir::net::http {

/// "Sun, 06 Nov 1994 08:49:37 GMT": RFC 9110, section 5.6.7.
std::string date_text(std::time_t when);
/// What such a text means; nothing for another one, the two obsolete forms included.
std::optional<std::time_t> date_value(std::string_view text) noexcept;

/// date_text of now, made anew once a second for each thread. Valid until the next call.
std::string_view date_now();
/// "06/Nov/1994:08:49:37 +0000": now, as the common log format has it. Valid until the next call.
std::string_view log_time_now();

}  // namespace coir::net::http
