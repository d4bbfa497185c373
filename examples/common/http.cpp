#include "http.hpp"

#include <algorithm>
#include <cctype>

namespace example {
namespace {

constexpr std::string_view line_end = "\r\n";
constexpr http_error bad_request{"400 Bad Request"};

bool is_same(std::string_view a, std::string_view b) {
  const auto lower = [](char c) { return std::tolower(static_cast<unsigned char>(c)); };
  return std::ranges::equal(a, b, {}, lower, lower);
}

/// Takes the part before `separator` off `rest`, and the separator, too.
std::string_view take_until(std::string_view& rest, std::string_view separator) {
  const std::size_t at = rest.find(separator);
  if (at == std::string_view::npos) throw bad_request;
  const std::string_view part = rest.substr(0, at);
  rest.remove_prefix(at + separator.size());
  return part;
}

void take_header(http_request& request, std::string_view line) {
  const std::string_view name = take_until(line, ":");
  line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
  if (is_same(name, "Connection")) {
    if (is_same(line, "close")) request.is_kept = false;
    if (is_same(line, "keep-alive")) request.is_kept = true;
  } else if (is_same(name, "Transfer-Encoding") ||
             (is_same(name, "Content-Length") && line != "0")) {
    throw http_error{"413 Content Too Large"};
  }
}

}  // namespace

std::optional<http_request> take_request(std::string_view bytes) {
  const std::size_t end = bytes.substr(0, http_head_bytes_max).find("\r\n\r\n");
  if (end == std::string_view::npos) {
    if (bytes.size() >= http_head_bytes_max) {
      throw http_error{"431 Request Header Fields Too Large"};
    }
    return std::nullopt;
  }
  std::string_view rest = bytes.substr(0, end + line_end.size());
  std::string_view first = take_until(rest, line_end);
  http_request request;
  request.bytes = end + 2 * line_end.size();
  request.method = take_until(first, " ");
  request.path = take_until(first, " ");
  if (first == "HTTP/1.0") {
    request.is_kept = false;
  } else if (first != "HTTP/1.1") {
    throw bad_request;
  }
  while (!rest.empty()) take_header(request, take_until(rest, line_end));
  return request;
}

void append_answer(std::string& out, const char* status, std::string_view headers,
                   std::string_view body) {
  out += "HTTP/1.1 ";
  out += status;
  out += "\r\nContent-Type: text/plain\r\nContent-Length: ";
  out += std::to_string(body.size());
  out += line_end;
  out += headers;
  out += line_end;
  out += body;
}

}  // namespace example
