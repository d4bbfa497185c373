#include "net/websocket/handshake.hpp"

#include "net/cooperative.hpp"
#include "net/http/text.hpp"
#include "net/websocket/digest.hpp"
#include "runtime/kernel/calls.hpp"

#include <coir/net/http_error.hpp>
#include <coir/net/http_request.hpp>
#include <coir/net/http_response.hpp>

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <optional>
#include <stdexcept>

namespace coir::net::websocket {
namespace {

using http::equal_ignoring_case;
using http::take_until;
using http::trimmed;

constexpr std::string_view spoken_version = "13";
constexpr std::string_view guid = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
constexpr std::string_view deflate_name = "permessage-deflate";
constexpr std::size_t key_bytes = 16;

std::string accept_value(std::string_view key) {
  const auto digest = sha1(std::string(key).append(guid));
  return base64({reinterpret_cast<const char*>(digest.data()), digest.size()});
}

[[noreturn]] void wrong_url(std::string_view url, const char* why) {
  throw std::invalid_argument("\"" + std::string(url) + "\" is no URL of a WebSocket: " + why);
}

/// What one element of Sec-WebSocket-Extensions says about permessage-deflate.
struct deflate_terms {
  bool server_forgets = false;
  bool client_forgets = false;
  std::optional<int> server_bits;
  bool has_client_bits = false;
};

std::optional<int> bits_of(std::string_view value) {
  if (value.size() >= 2 && value.front() == '"' && value.back() == '"') {
    value = value.substr(1, value.size() - 2);
  }
  int bits = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), bits);
  const bool is_right = error == std::errc() && end == value.data() + value.size() && bits >= 8 &&
                        bits <= window_bits_max && value.front() != '0';
  return is_right ? std::optional(bits) : std::nullopt;
}

/// Nothing for another extension, and for terms that RFC 7692 does not know.
std::optional<deflate_terms> read_terms(std::string_view element) {
  if (trimmed(take_until(element, ';')) != deflate_name) return std::nullopt;
  deflate_terms terms;
  while (!element.empty()) {
    std::string_view value = take_until(element, ';');
    const bool has_value = value.find('=') != std::string_view::npos;
    const std::string_view name = trimmed(take_until(value, '='));
    value = trimmed(value);
    if (name == "server_no_context_takeover" && !has_value && !terms.server_forgets) {
      terms.server_forgets = true;
    } else if (name == "client_no_context_takeover" && !has_value && !terms.client_forgets) {
      terms.client_forgets = true;
    } else if (name == "server_max_window_bits" && !terms.server_bits && bits_of(value)) {
      terms.server_bits = bits_of(value);
    } else if (name == "client_max_window_bits" && !terms.has_client_bits &&
               (!has_value || bits_of(value))) {
      terms.has_client_bits = true;
    } else {
      return std::nullopt;
    }
  }
  return terms;
}

/// Calls `visit(element)` for the elements of all fields of that name until it returns true.
template <class Visit>
bool any_element(const http_headers& headers, std::string_view name, Visit visit) {
  for (const http_headers::field each : headers) {
    if (!equal_ignoring_case(each.name, name)) continue;
    std::string_view rest = each.value;
    while (!rest.empty()) {
      const std::string_view element = trimmed(take_until(rest, ','));
      if (!element.empty() && visit(element)) return true;
    }
  }
  return false;
}

void agree_on_deflate(const http_headers& request, http_headers& answer, agreement& agreed) {
  any_element(request, "Sec-WebSocket-Extensions", [&](std::string_view element) {
    const auto terms = read_terms(element);
    if (!terms || (terms->server_bits && *terms->server_bits < window_bits_min)) return false;
    agreed.compresses = true;
    std::string said =
        std::string(deflate_name) + "; server_no_context_takeover; client_no_context_takeover";
    if (terms->server_bits) {
      agreed.window_bits = *terms->server_bits;
      said += "; server_max_window_bits=" + std::to_string(agreed.window_bits);
    }
    answer.set("Sec-WebSocket-Extensions", said);
    return true;
  });
}

void check_request(const http_request& request, http_headers& answer) {
  const http_headers& headers = request.headers();
  if (!headers.has_token("Upgrade", "websocket")) {
    answer.set("Upgrade", "websocket");
    throw http_error(426, "this is for WebSocket connections only");
  }
  if (request.method() != "GET" || request.version() < 11 || request.has_body()) {
    throw http_error(400, "a WebSocket begins with a GET of HTTP/1.1 without a body");
  }
  if (!headers.has_token("Connection", "Upgrade")) {
    throw http_error(400, "the request has no \"Connection: Upgrade\"");
  }
  if (headers.get("Sec-WebSocket-Version") != spoken_version) {
    answer.set("Sec-WebSocket-Version", spoken_version);
    throw http_error(426, "version 13 of the WebSocket protocol is spoken here");
  }
  if (headers.count("Sec-WebSocket-Key") != 1 ||
      !is_base64_of_16_bytes(headers.get("Sec-WebSocket-Key"))) {
    throw http_error(400, "the Sec-WebSocket-Key is not the Base64 of 16 bytes");
  }
}

/// The fields of a head, without its first line. Nothing when one of them is wrong.
std::optional<http_headers> read_fields(std::string_view lines) {
  http_headers headers;
  while (!lines.empty()) {
    std::string_view value = take_until(lines, '\n');
    if (value.empty() || value.back() != '\r') return std::nullopt;
    value.remove_suffix(1);
    const std::string_view name = take_until(value, ':');
    try {
      headers.add(name, trimmed(value));
    } catch (const std::invalid_argument&) {
      return std::nullopt;
    }
  }
  return headers;
}

/// Words for what is wrong with the fields of a server's answer; null when nothing is.
const char* problem_of(const http_headers& headers, const client_handshake& sent,
                       const web_socket_options& how, agreement& agreed) {
  if (!headers.has_token("Upgrade", "websocket") || !headers.has_token("Connection", "Upgrade")) {
    return "the answer has no \"Upgrade: websocket\" and \"Connection: Upgrade\"";
  }
  if (headers.count("Sec-WebSocket-Accept") != 1 ||
      headers.get("Sec-WebSocket-Accept") != accept_value(sent.key)) {
    return "the Sec-WebSocket-Accept does not fit the key";
  }
  if (headers.contains("Sec-WebSocket-Protocol")) {
    agreed.subprotocol = headers.get("Sec-WebSocket-Protocol");
    if (std::ranges::find(how.subprotocols, agreed.subprotocol) == how.subprotocols.end()) {
      return "the server chose a subprotocol that was not offered";
    }
  }
  const bool is_foreign =
      any_element(headers, "Sec-WebSocket-Extensions", [&](std::string_view element) {
        const auto terms = read_terms(element);
        if (!how.compresses || agreed.compresses || !terms) return true;
        agreed.compresses = true;
        return !terms->server_forgets || terms->has_client_bits;
      });
  return is_foreign ? "the server chose an extension that was not offered" : nullptr;
}

}  // namespace

target parse_url(std::string_view url) {
  target to;
  std::string_view rest = url;
  const std::size_t scheme = rest.find("://");
  if (scheme == std::string_view::npos) wrong_url(url, "it does not begin with ws://");
  to.is_secure = equal_ignoring_case(rest.substr(0, scheme), "wss");
  if (!to.is_secure && !equal_ignoring_case(rest.substr(0, scheme), "ws")) {
    wrong_url(url, "it does not begin with ws://");
  }
  rest.remove_prefix(scheme + 3);
  if (rest.find_first_of("#@\\ ") != std::string_view::npos ||
      std::ranges::any_of(rest, [](unsigned char c) { return c <= ' ' || c >= 0x7f; })) {
    wrong_url(url, "it has a fragment, a user, or a character that must be encoded");
  }
  const std::size_t end = std::min(rest.find_first_of("/?"), rest.size());
  std::string_view host = rest.substr(0, end);
  to.path = rest.substr(end);
  if (!to.path.starts_with('/')) to.path.insert(0, 1, '/');
  to.address = host;
  to.port = to.is_secure ? "443" : "80";
  const std::size_t colon = host.find(':', host.starts_with('[') ? host.find(']') : 0);
  if (colon != std::string_view::npos) {
    to.port = host.substr(colon + 1);
    host = host.substr(0, colon);
    unsigned number = 0;
    const char* const last = to.port.data() + to.port.size();
    const auto [stop, error] = std::from_chars(to.port.data(), last, number);
    if (error != std::errc() || stop != last || number == 0 || number > 0xffff) {
      wrong_url(url, "its port is no number from 1 to 65535");
    }
  }
  if (host.starts_with('[')) {
    if (!host.ends_with(']')) wrong_url(url, "its brackets hold no address");
    host = host.substr(1, host.size() - 2);
  }
  if (host.empty()) wrong_url(url, "it names no host");
  to.host = host;
  return to;
}

agreement answer_handshake(const http_request& request, http_headers& answer,
                           const web_socket_options& how) {
  const http_headers& headers = request.headers();
  check_request(request, answer);
  if (how.accepts_origin && !how.accepts_origin(headers.get("Origin"))) {
    throw http_error(403, "this origin may not connect");
  }
  agreement agreed;
  for (const std::string& each : how.subprotocols) {
    const bool is_offered = any_element(headers, "Sec-WebSocket-Protocol",
                                        [&](std::string_view offered) { return offered == each; });
    if (!is_offered) continue;
    agreed.subprotocol = each;
    answer.set("Sec-WebSocket-Protocol", each);
    break;
  }
  if (how.compresses) agree_on_deflate(headers, answer, agreed);
  answer.set("Upgrade", "websocket");
  answer.set("Connection", "Upgrade");
  answer.set("Sec-WebSocket-Accept", accept_value(headers.get("Sec-WebSocket-Key")));
  return agreed;
}

client_handshake make_request(const target& to, const web_socket_options& how) {
  client_handshake made;
  made.key = base64(random_bytes(key_bytes));
  http_headers headers;
  headers.add("Host", to.address);
  headers.add("Upgrade", "websocket");
  headers.add("Connection", "Upgrade");
  headers.add("Sec-WebSocket-Version", spoken_version);
  headers.add("Sec-WebSocket-Key", made.key);
  std::string offered;
  for (const std::string& each : how.subprotocols) {
    if (!http::is_token(each)) throw std::invalid_argument("no name of a subprotocol: " + each);
    offered += (offered.empty() ? "" : ", ") + each;
  }
  if (!offered.empty()) headers.add("Sec-WebSocket-Protocol", offered);
  if (how.compresses) {
    headers.add(
        "Sec-WebSocket-Extensions",
        std::string(deflate_name) + "; server_no_context_takeover; client_no_context_takeover");
  }
  for (const http_headers::field each : how.headers) {
    if (headers.contains(each.name)) {
      throw std::invalid_argument("a WebSocket sets this field itself: " + std::string(each.name));
    }
  }
  made.request = "GET " + to.path + " HTTP/1.1\r\n";
  headers.append_to(made.request);
  how.headers.append_to(made.request);
  made.request += "\r\n";
  return made;
}

agreement check_answer(std::string_view head, const client_handshake& sent,
                       const web_socket_options& how, std::error_code& ec, std::string& why) {
  agreement agreed;
  std::string_view rest = head;
  std::string_view line = take_until(rest, '\n');
  if (line.ends_with('\r')) line.remove_suffix(1);
  constexpr std::string_view version = "HTTP/1.1 ";
  constexpr std::size_t digits = 3;
  ec = web_socket_errc::bad_handshake;
  const auto headers = read_fields(rest);
  if (!line.starts_with(version) || line.size() < version.size() + digits || !headers) {
    why = "the answer is not HTTP/1.1";
    return agreed;
  }
  const std::string_view status = line.substr(version.size());
  if (!status.starts_with("101") || (status.size() > digits && status[digits] != ' ')) {
    ec = web_socket_errc::refused;
    why = "the server answered \"" + std::string(status) + "\"";
    return agreed;
  }
  if (const char* problem = problem_of(*headers, sent, how, agreed)) {
    why = problem;
    return agreed;
  }
  ec.clear();
  return agreed;
}

std::string random_bytes(std::size_t count) {
  std::string bytes(count, '\0');
  for (std::size_t filled = 0; filled < count;) {
    const long got = kernel::call(SYS_getrandom, bytes.data() + filled, count - filled, 0u);
    if (got == -EINTR) continue;
    if (got < 0) detail::throw_error(detail::code_of(got), "random numbers for a WebSocket");
    filled += static_cast<std::size_t>(got);
  }
  return bytes;
}

}  // namespace coir::net::websocket
