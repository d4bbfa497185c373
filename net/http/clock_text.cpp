#include "net/http/clock_text.hpp"

#include "net/http/text.hpp"

#include <array>
#include <cstdio>

namespace coir::net::http {
namespace {

constexpr std::array<std::string_view, 7> days = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
constexpr std::array<std::string_view, 12> months = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

std::tm utc(std::time_t when) noexcept {
  std::tm parts{};
  gmtime_r(&when, &parts);
  return parts;
}

std::string log_time(std::time_t when) {
  const std::tm t = utc(when);
  char text[64];
  const int size = std::snprintf(text, sizeof text, "%02d/%s/%04d:%02d:%02d:%02d +0000", t.tm_mday,
                                 months[static_cast<std::size_t>(t.tm_mon)].data(),
                                 t.tm_year + 1900, t.tm_hour, t.tm_min, t.tm_sec);
  return {text, static_cast<std::size_t>(size)};
}

/// A text of the present second.
struct second_text {
  std::time_t second = -1;
  std::string text;

  std::string_view now(std::string (*make)(std::time_t)) {
    timespec time{};
    clock_gettime(CLOCK_REALTIME_COARSE, &time);
    if (time.tv_sec != second) {
      text = make(time.tv_sec);
      second = time.tv_sec;
    }
    return text;
  }
};

/// Never inlined: a fiber may be on another thread after it has parked, and compilers keep the
/// address of a thread-local.
[[gnu::noinline]] second_text& date_of_thread() noexcept {
  static thread_local second_text kept;
  return kept;
}

[[gnu::noinline]] second_text& log_time_of_thread() noexcept {
  static thread_local second_text kept;
  return kept;
}

/// The number that `digits` digits at `place` make; -1 when they are none.
int number_at(std::string_view text, std::size_t place, std::size_t digits) noexcept {
  int value = 0;
  for (const char c : text.substr(place, digits)) {
    if (!is_digit(c)) return -1;
    value = value * 10 + (c - '0');
  }
  return value;
}

}  // namespace

std::string date_text(std::time_t when) {
  const std::tm t = utc(when);
  char text[64];
  const int size = std::snprintf(text, sizeof text, "%s, %02d %s %04d %02d:%02d:%02d GMT",
                                 days[static_cast<std::size_t>(t.tm_wday)].data(), t.tm_mday,
                                 months[static_cast<std::size_t>(t.tm_mon)].data(),
                                 t.tm_year + 1900, t.tm_hour, t.tm_min, t.tm_sec);
  return {text, static_cast<std::size_t>(size)};
}

std::optional<std::time_t> date_value(std::string_view text) noexcept {
  constexpr std::string_view example = "Sun, 06 Nov 1994 08:49:37 GMT";
  if (text.size() != example.size() || !text.ends_with(" GMT")) return std::nullopt;
  std::tm t{};
  t.tm_mday = number_at(text, 5, 2);
  t.tm_year = number_at(text, 12, 4) - 1900;
  t.tm_hour = number_at(text, 17, 2);
  t.tm_min = number_at(text, 20, 2);
  t.tm_sec = number_at(text, 23, 2);
  t.tm_mon = -1;
  for (std::size_t i = 0; i < months.size(); ++i) {
    if (text.substr(8, 3) == months[i]) t.tm_mon = static_cast<int>(i);
  }
  const std::time_t when = t.tm_mon < 0 ? -1 : timegm(&t);
  // A date that no calendar has, or other characters between the parts, does not come back.
  if (when < 0 || t.tm_year < 0 || std::string_view(date_text(when)).substr(4) != text.substr(4)) {
    return std::nullopt;
  }
  return when;
}

std::string_view date_now() { return date_of_thread().now(date_text); }

std::string_view log_time_now() { return log_time_of_thread().now(log_time); }

}  // namespace coir::net::http
