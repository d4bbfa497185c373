// What an HTTP/2 server makes of frames that no good client sends: the error that RFC 9113 has for
// them, on the stream or the connection that is at fault, and it serves on.
#include "tests/net/http2_client.hpp"

#include <coir/net/http_server.hpp>

#include <functional>
#include <ostream>
#include <string>
#include <vector>

namespace coir::net::test {
namespace {

/// What the server is to do about it.
struct verdict {
  enum what { says_farewell, resets_stream, answers } kind;
  std::uint32_t code;  ///< of the error, or the status

  bool operator==(const verdict&) const = default;
  friend std::ostream& operator<<(std::ostream& out, const verdict& v) {
    constexpr const char* names[] = {"GOAWAY ", "RST_STREAM ", "status "};
    return out << names[v.kind] << v.code;
  }
};

constexpr verdict farewell(std::uint32_t code) { return {verdict::says_farewell, code}; }
constexpr verdict reset_by(std::uint32_t code) { return {verdict::resets_stream, code}; }
constexpr verdict status(std::uint32_t code) { return {verdict::answers, code}; }

struct http2_case {
  std::string name;
  std::string sent;  ///< behind the hello
  verdict expected;  ///< for stream 1, or the connection
  bool has_own_hello = false;
};

void PrintTo(const http2_case& c, std::ostream* out) { *out << c.name; }

std::string repeated(int times, const std::function<std::string(std::uint32_t)>& frame_of) {
  std::string all;
  for (int i = 0; i < times; ++i) all += frame_of(static_cast<std::uint32_t>(i));
  return all;
}

/// A GET of stream 1 with these fields behind the usual ones.
std::string with(std::string_view fields) {
  return headers(1, head_of("GET", "/") + std::string(fields));
}

std::string block_of_requests(std::initializer_list<std::pair<const char*, const char*>> fields) {
  std::string block;
  for (const auto& [name, value] : fields) block += field(name, value);
  return headers(1, block);
}

std::vector<http2_case> connection_cases() {
  const std::string ping(8, 'p');
  const std::string open = post(1, "/read");
  return {
      {"ping_before_settings", std::string(http2_preface) + frame(NGHTTP2_PING, 0, 0, ping),
       farewell(NGHTTP2_PROTOCOL_ERROR), true},
      {"data_on_stream_0", data(0, "x"), farewell(NGHTTP2_PROTOCOL_ERROR)},
      {"headers_on_stream_0", headers(0, head_of("GET", "/")), farewell(NGHTTP2_PROTOCOL_ERROR)},
      {"reset_of_stream_0", reset(0), farewell(NGHTTP2_PROTOCOL_ERROR)},
      {"priority_on_stream_0", frame(NGHTTP2_PRIORITY, 0, 0, std::string(5, '\0')),
       farewell(NGHTTP2_PROTOCOL_ERROR)},
      {"settings_on_a_stream", frame(NGHTTP2_SETTINGS, 0, 1), farewell(NGHTTP2_PROTOCOL_ERROR)},
      {"ping_on_a_stream", frame(NGHTTP2_PING, 0, 1, ping), farewell(NGHTTP2_PROTOCOL_ERROR)},
      {"goaway_on_a_stream", frame(NGHTTP2_GOAWAY, 0, 1, ping), farewell(NGHTTP2_PROTOCOL_ERROR)},
      {"even_stream", get(2, "/"), farewell(NGHTTP2_PROTOCOL_ERROR)},
      {"push_promise_of_a_client",
       open + frame(NGHTTP2_PUSH_PROMISE, end_headers, 1, number(2, 4) + head_of("GET", "/")),
       farewell(NGHTTP2_PROTOCOL_ERROR)},
      {"too_long_a_frame", open + data(1, std::string(16385, 'x')),
       farewell(NGHTTP2_FRAME_SIZE_ERROR)},
      {"settings_of_half_an_entry", frame(NGHTTP2_SETTINGS, 0, 0, "abc"),
       farewell(NGHTTP2_FRAME_SIZE_ERROR)},
      {"acknowledged_settings_with_entries",
       frame(NGHTTP2_SETTINGS, NGHTTP2_FLAG_ACK, 0, std::string(6, '\0')),
       farewell(NGHTTP2_FRAME_SIZE_ERROR)},
      {"short_ping", frame(NGHTTP2_PING, 0, 0, "1234567"), farewell(NGHTTP2_FRAME_SIZE_ERROR)},
      {"short_window_update", frame(NGHTTP2_WINDOW_UPDATE, 0, 0, "123"),
       farewell(NGHTTP2_FRAME_SIZE_ERROR)},
      {"short_reset", open + frame(NGHTTP2_RST_STREAM, 0, 1, "123"),
       farewell(NGHTTP2_FRAME_SIZE_ERROR)},
      {"window_update_of_nothing", window_update(0, 0), farewell(NGHTTP2_PROTOCOL_ERROR)},
      {"window_past_31_bits", window_update(0, 0x7fffffff), farewell(NGHTTP2_FLOW_CONTROL_ERROR)},
      {"initial_window_past_31_bits",
       settings({{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 0x80000000}}),
       farewell(NGHTTP2_FLOW_CONTROL_ERROR)},
      {"too_small_a_frame_size", settings({{NGHTTP2_SETTINGS_MAX_FRAME_SIZE, 16383}}),
       farewell(NGHTTP2_PROTOCOL_ERROR)},
      {"push_that_is_neither_on_nor_off", settings({{NGHTTP2_SETTINGS_ENABLE_PUSH, 2}}),
       farewell(NGHTTP2_PROTOCOL_ERROR)},
      {"continuation_of_nothing", frame(NGHTTP2_CONTINUATION, end_headers, 1, head_of("GET", "/")),
       farewell(NGHTTP2_PROTOCOL_ERROR)},
      {"another_frame_inside_a_head",
       headers(1, head_of("GET", "/"), no_flags) + frame(NGHTTP2_PING, 0, 0, ping),
       farewell(NGHTTP2_PROTOCOL_ERROR)},
      {"head_of_another_stream_inside_a_head",
       headers(1, head_of("GET", "/"), no_flags) +
           frame(NGHTTP2_CONTINUATION, end_headers, 3, field("a", "b")),
       farewell(NGHTTP2_PROTOCOL_ERROR)},
      {"field_of_no_table", headers(1, head_of("GET", "/") + "\xff\x7f"),
       farewell(NGHTTP2_COMPRESSION_ERROR)},
      {"field_that_ends_early", headers(1, field(":method", "GET").substr(0, 5)),
       farewell(NGHTTP2_COMPRESSION_ERROR)},
      {"table_that_grows_past_the_settings", headers(1, "\x3f\xe1\xff\x03" + head_of("GET", "/")),
       farewell(NGHTTP2_COMPRESSION_ERROR)},
      {"more_padding_than_frame", open + data(1, "\x09pad", padded),
       farewell(NGHTTP2_PROTOCOL_ERROR)},
      {"data_on_a_stream_that_never_was", data(1, "x"), farewell(NGHTTP2_PROTOCOL_ERROR)},
      {"window_of_a_stream_that_never_was", window_update(1, 1), farewell(NGHTTP2_PROTOCOL_ERROR)},
      {"reset_of_a_stream_that_never_was", reset(1), farewell(NGHTTP2_PROTOCOL_ERROR)},
  };
}

std::vector<http2_case> stream_cases() {
  const std::string open = post(1, "/read");
  const std::string long_text(3000, 'v');
  return {
      {"upper_case_name", with(field("Name", "v")), reset_by(NGHTTP2_PROTOCOL_ERROR)},
      {"empty_name", with(field("", "v")), reset_by(NGHTTP2_PROTOCOL_ERROR)},
      {"name_with_a_space", with(field("na me", "v")), reset_by(NGHTTP2_PROTOCOL_ERROR)},
      {"line_end_in_a_value", with(field("name", "a\r\nb: c")), reset_by(NGHTTP2_PROTOCOL_ERROR)},
      {"pseudo_field_behind_a_field", headers(1, field("name", "v") + head_of("GET", "/")),
       reset_by(NGHTTP2_PROTOCOL_ERROR)},
      {"unknown_pseudo_field", with(field(":name", "v")), reset_by(NGHTTP2_PROTOCOL_ERROR)},
      {"status_in_a_request", with(field(":status", "200")), reset_by(NGHTTP2_PROTOCOL_ERROR)},
      {"two_paths", with(field(":path", "/other")), reset_by(NGHTTP2_PROTOCOL_ERROR)},
      {"no_method", block_of_requests({{":scheme", "http"}, {":path", "/"}, {":authority", "h"}}),
       reset_by(NGHTTP2_PROTOCOL_ERROR)},
      {"no_scheme", block_of_requests({{":method", "GET"}, {":path", "/"}, {":authority", "h"}}),
       reset_by(NGHTTP2_PROTOCOL_ERROR)},
      {"no_path", block_of_requests({{":method", "GET"}, {":scheme", "http"}, {":authority", "h"}}),
       reset_by(NGHTTP2_PROTOCOL_ERROR)},
      {"empty_path", headers(1, head_of("GET", "")), reset_by(NGHTTP2_PROTOCOL_ERROR)},
      {"no_host", block_of_requests({{":method", "GET"}, {":scheme", "http"}, {":path", "/"}}),
       reset_by(NGHTTP2_PROTOCOL_ERROR)},
      {"two_hosts", with(field("host", "other")), status(400)},
      {"the_same_host_twice", with(field("host", "h")), status(200)},
      {"connection", with(field("connection", "close")), reset_by(NGHTTP2_PROTOCOL_ERROR)},
      {"keep_alive", with(field("keep-alive", "1")), reset_by(NGHTTP2_PROTOCOL_ERROR)},
      {"transfer_encoding", with(field("transfer-encoding", "chunked")),
       reset_by(NGHTTP2_PROTOCOL_ERROR)},
      {"upgrade", with(field("upgrade", "websocket")), reset_by(NGHTTP2_PROTOCOL_ERROR)},
      {"te_with_more_than_trailers", with(field("te", "gzip")), reset_by(NGHTTP2_PROTOCOL_ERROR)},
      {"path_above_the_root", headers(1, head_of("GET", "/../x")), status(400)},
      {"path_with_a_fragment", headers(1, head_of("GET", "/#x")), status(400)},
      {"connect", block_of_requests({{":method", "CONNECT"}, {":authority", "h:1"}}), status(501)},
      {"unknown_expectation", with(field("expect", "a miracle")), status(417)},
      {"too_long_a_path", headers(1, head_of("GET", "/" + long_text)), status(414)},
      {"too_long_a_head", with(field("name", long_text) + field("other", long_text)), status(431)},
      {"too_many_fields",
       with(repeated(101, [](auto i) { return field("n" + std::to_string(i), ""); })), status(431)},
      {"header_bomb",  // one byte each for 3000 more of them
       with("\x40" + field("name", long_text).substr(1) + std::string(10000, '\xbe')), status(431)},
      {"length_that_is_none", post(1, "/read", field("content-length", "+3")),
       reset_by(NGHTTP2_PROTOCOL_ERROR)},
      {"less_than_the_length", post(1, "/read", field("content-length", "3")) + data(1, "ab"),
       reset_by(NGHTTP2_PROTOCOL_ERROR)},
      {"more_than_the_length", post(1, "/read", field("content-length", "3")) + data(1, "abcd"),
       reset_by(NGHTTP2_PROTOCOL_ERROR)},
      {"length_without_a_body", with(field("content-length", "3")),
       reset_by(NGHTTP2_PROTOCOL_ERROR)},
      {"length_past_the_limit", post(1, "/read", field("content-length", "5000")), status(413)},
      {"too_long_a_body", open + data(1, std::string(5000, 'x')), status(413)},
      {"window_of_a_stream_past_31_bits", open + window_update(1, 0x7fffffff),
       reset_by(NGHTTP2_FLOW_CONTROL_ERROR)},
      {"trailers_with_a_pseudo_field",
       open + data(1, "abc", no_flags) + headers(1, field(":path", "/")),
       reset_by(NGHTTP2_PROTOCOL_ERROR)},
      {"trailers", open + data(1, "abc", no_flags) + headers(1, field("name", "v")), status(200)},
      {"padding",
       open + data(1,
                   "\x03"
                   "abcpad",
                   padded | end_stream),
       status(200)},
      {"frame_of_an_unknown_type", frame(0x77, 0xff, 1, "anything") + get(1, "/"), status(200)},
      {"setting_of_an_unknown_name", settings({{0x7777, 7}}) + get(1, "/"), status(200)},
  };
}

/// What is wrong with these is how often they come.
std::vector<http2_case> floods() {
  const std::string open = post(1, "/wait");
  return {
      {"pings", repeated(5000, [](auto) { return frame(NGHTTP2_PING, 0, 0, "12345678"); }),
       farewell(NGHTTP2_ENHANCE_YOUR_CALM)},
      {"settings", repeated(5000, [](auto) { return settings(); }),
       farewell(NGHTTP2_ENHANCE_YOUR_CALM)},
      {"priorities",
       repeated(5000,
                [](auto i) {
                  return frame(NGHTTP2_PRIORITY, 0, 2 * i + 1, number(0, 4) + number(i % 256, 1));
                }),
       farewell(NGHTTP2_ENHANCE_YOUR_CALM)},
      {"empty_parts", open + repeated(5000, [](auto) { return data(1, "", no_flags); }),
       farewell(NGHTTP2_ENHANCE_YOUR_CALM)},
      {"continuations",
       headers(1, head_of("GET", "/"), no_flags) +
           repeated(5000, [](auto) { return frame(NGHTTP2_CONTINUATION, 0, 1, field("n", "v")); }),
       farewell(NGHTTP2_ENHANCE_YOUR_CALM)},
      {"empty_continuations",
       headers(1, head_of("GET", "/"), no_flags) +
           repeated(5000, [](auto) { return frame(NGHTTP2_CONTINUATION, 0, 1); }),
       farewell(NGHTTP2_ENHANCE_YOUR_CALM)},
      {"requests_that_are_reset",
       repeated(2000, [](auto i) { return get(2 * i + 1, "/wait") + reset(2 * i + 1); }),
       farewell(NGHTTP2_ENHANCE_YOUR_CALM)},
      {"requests_that_are_reset_for_no_reason",
       repeated(
           2000,
           [](auto i) { return get(2 * i + 1, "/wait") + reset(2 * i + 1, NGHTTP2_NO_ERROR); }),
       farewell(NGHTTP2_ENHANCE_YOUR_CALM)},
      {"requests_that_make_the_server_reset_them",
       repeated(
           2000,
           [](auto i) { return post(2 * i + 1, "/wait") + window_update(2 * i + 1, 0x7fffffff); }),
       farewell(NGHTTP2_ENHANCE_YOUR_CALM)},
  };
}

/// Lets each case run against a server of its own.
class Http2Hostile : public testing::TestWithParam<http2_case> {
 protected:
  Http2Hostile() {
    http_server::options how;
    how.http.http2 = true;
    how.http.target_bytes_max = 2000;
    how.http.header_bytes_max = 5000;
    how.http.body_bytes_max = 1500;
    server_.emplace(
        address::ipv4_loopback(),
        [this](http_request& request, http_response& response) {
          running_max_ = std::max(running_max_, ++running_);
          if (request.path() == "/wait") leave_.wait_for(patience);
          if (request.path() == "/read") request.read_body();
          --running_;
          response.send("ok");
        },
        how);
    server_->start();
  }

  /// What the server says first that is no answer to somebody else.
  static verdict heard_of(http2_listener& from) {
    for (;;) {
      const http2_answer& first = from.answers[1];
      if (from.goaway_code) return farewell(*from.goaway_code);
      if (first.is_complete) return status(static_cast<std::uint32_t>(first.status));
      if (first.reset_code) return reset_by(*first.reset_code);
      if (!from.take_frame()) return status(0);
    }
  }

  event leave_;
  int running_ = 0;
  int running_max_ = 0;
  std::optional<http_server> server_;
};

TEST_P(Http2Hostile, GetsTheErrorItDeserves) {
  const http2_case& c = GetParam();
  const bool is_flood = c.expected == farewell(NGHTTP2_ENHANCE_YOUR_CALM);
  http2_client client(server_->local_address(), (c.has_own_hello ? "" : hello()) + c.sent);
  if (is_flood) {
    EXPECT_EQ(client.heard.farewell(), c.expected.code);
  } else {
    EXPECT_EQ(heard_of(client.heard), c.expected);
  }
  if (c.expected.kind == verdict::says_farewell) {
    leave_.set();
    client.heard.take_all();  // it ends
  } else {
    EXPECT_EQ(client.ask(3, "/").status, 200);
  }
  EXPECT_LE(running_max_, 100);
  http2_client another(server_->local_address());
  EXPECT_EQ(another.ask(1, "/").body, "ok");
  another.connection.close();
  client.connection.close();
  EXPECT_EQ(server_->stop(patience), 0u);
}

INSTANTIATE_TEST_SUITE_P(Connections, Http2Hostile, testing::ValuesIn(connection_cases()),
                         [](const auto& of) { return of.param.name; });
INSTANTIATE_TEST_SUITE_P(Streams, Http2Hostile, testing::ValuesIn(stream_cases()),
                         [](const auto& of) { return of.param.name; });
INSTANTIATE_TEST_SUITE_P(Floods, Http2Hostile, testing::ValuesIn(floods()),
                         [](const auto& of) { return of.param.name; });

}  // namespace
}  // namespace coir::net::test
