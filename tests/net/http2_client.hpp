/// A client of HTTP/2 that says whatever a test wants, frame by frame, and understands what comes.
#pragma once

#include "tests/net/support.hpp"

#include <cstdint>
#include <initializer_list>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <nghttp2/nghttp2.h>

namespace coir::net::test {

inline constexpr std::string_view http2_preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// `value` in so many bytes, as they go over the wire.
inline std::string number(std::uint64_t value, int bytes) {
  std::string out;
  for (int i = bytes - 1; i >= 0; --i) out += static_cast<char>(value >> (8 * i));
  return out;
}

inline std::uint32_t number_at(std::string_view text, std::size_t at) {
  std::uint32_t value = 0;
  for (const char c : text.substr(at, 4)) value = value << 8 | static_cast<unsigned char>(c);
  return value;
}

/// A frame of that type, with its head.
inline std::string frame(std::uint8_t type, std::uint8_t flags, std::uint32_t stream,
                         std::string_view payload = {}) {
  return number(payload.size(), 3) + number(type, 1) + number(flags, 1) + number(stream, 4) +
         std::string(payload);
}

/// An integer of HPACK behind a first byte that has 7 bits for it.
inline std::string hpack_size(std::size_t value) {
  if (value < 127) return number(value, 1);
  std::string out = number(127, 1);
  for (value -= 127; value >= 128; value /= 128) out += number(value % 128 + 128, 1);
  return out + number(value, 1);
}

/// A field for a block of fields: as it is, and not to be remembered.
inline std::string field(std::string_view name, std::string_view value) {
  return number(0, 1) + hpack_size(name.size()) + std::string(name) + hpack_size(value.size()) +
         std::string(value);
}

/// The fields that each request has.
inline std::string head_of(std::string_view method, std::string_view path) {
  return field(":method", method) + field(":scheme", "http") + field(":path", path) +
         field(":authority", "h");
}

enum flag : std::uint8_t { no_flags = 0, end_stream = 1, end_headers = 4, padded = 8 };

/// A HEADERS frame that is complete, and with it the request unless `flags` says otherwise.
inline std::string headers(std::uint32_t stream, std::string_view block,
                           std::uint8_t flags = end_headers | end_stream) {
  return frame(NGHTTP2_HEADERS, flags, stream, block);
}

inline std::string get(std::uint32_t stream, std::string_view path) {
  return headers(stream, head_of("GET", path));
}

/// The head of a request with a body.
inline std::string post(std::uint32_t stream, std::string_view path, std::string_view more = {}) {
  return headers(stream, head_of("POST", path) + std::string(more), end_headers);
}

inline std::string data(std::uint32_t stream, std::string_view bytes,
                        std::uint8_t flags = end_stream) {
  return frame(NGHTTP2_DATA, flags, stream, bytes);
}

inline std::string window_update(std::uint32_t stream, std::uint32_t more) {
  return frame(NGHTTP2_WINDOW_UPDATE, 0, stream, number(more, 4));
}

inline std::string reset(std::uint32_t stream, std::uint32_t why = NGHTTP2_CANCEL) {
  return frame(NGHTTP2_RST_STREAM, 0, stream, number(why, 4));
}

inline std::string settings(std::initializer_list<std::pair<int, std::uint32_t>> all = {}) {
  std::string payload;
  for (const auto& [name, value] : all) {
    payload += number(static_cast<std::uint64_t>(name), 2) + number(value, 4);
  }
  return frame(NGHTTP2_SETTINGS, 0, 0, payload);
}

/// What every client says first.
inline std::string hello() { return std::string(http2_preface) + settings(); }

/// What has come on one stream.
struct http2_answer {
  int status = 0;
  std::map<std::string, std::string> fields{};
  std::string body{};
  bool is_complete = false;
  bool is_interim = false;                    ///< a 100 has come
  std::optional<std::uint32_t> reset_code{};  ///< how the server has ended it
};

/// Reads what a server says; answers nothing by itself.
class http2_listener {
 public:
  explicit http2_listener(stream& from) : from_(from) {
    EXPECT_EQ(0, nghttp2_hd_inflate_new(&inflater_));
  }
  http2_listener(const http2_listener&) = delete;
  http2_listener& operator=(const http2_listener&) = delete;
  ~http2_listener() { nghttp2_hd_inflate_del(inflater_); }

  /// Takes one frame; false at the end of the connection.
  bool take_frame() {
    std::string head(9, '\0');
    std::error_code ec;
    if (from_.read_exactly(head, ec) != head.size()) {
      EXPECT_NE(ec, std::errc::timed_out) << "nothing more comes";
      return false;
    }
    std::string payload(number_at(head, 0) >> 8, '\0');
    if (from_.read_exactly(payload, ec) != payload.size()) return false;
    note(static_cast<std::uint8_t>(head[3]), static_cast<std::uint8_t>(head[4]), number_at(head, 5),
         payload);
    return true;
  }
  /// Takes frames until there is an answer, or the end of that stream, or of the connection.
  const http2_answer& answer(std::uint32_t stream) {
    http2_answer& found = answers[stream];
    while (!found.is_complete && !found.reset_code && take_frame()) {
    }
    return found;
  }
  /// The same for the server's farewell.
  std::optional<std::uint32_t> farewell() {
    while (!goaway_code && take_frame()) {
    }
    return goaway_code;
  }
  /// Takes frames until the end of the connection.
  void take_all() {
    while (take_frame()) {
    }
  }

  std::map<std::uint32_t, http2_answer> answers;
  std::map<std::uint32_t, std::uint64_t> windows;  ///< how much more each stream may send
  std::optional<std::uint32_t> goaway_code;
  std::uint32_t goaway_stream = 0;
  int pings = 0;

 private:
  void note(std::uint8_t type, std::uint8_t flags, std::uint32_t stream, std::string_view payload) {
    http2_answer& of = answers[stream];
    if (type == NGHTTP2_HEADERS) take_fields(of, payload);
    if (type == NGHTTP2_DATA) of.body += payload;
    if (type == NGHTTP2_HEADERS || type == NGHTTP2_DATA) of.is_complete = (flags & end_stream) != 0;
    if (type == NGHTTP2_RST_STREAM) of.reset_code = number_at(payload, 0);
    if (type == NGHTTP2_WINDOW_UPDATE) windows[stream] += number_at(payload, 0);
    if (type == NGHTTP2_PING) ++pings;
    if (type == NGHTTP2_GOAWAY && !goaway_code) {
      goaway_stream = number_at(payload, 0);
      goaway_code = number_at(payload, 4);
    }
  }
  void take_fields(http2_answer& into, std::string_view block) {
    const auto* at = reinterpret_cast<const std::uint8_t*>(block.data());
    const std::uint8_t* const end = at + block.size();
    for (;;) {
      nghttp2_nv line;
      int flags = 0;
      const auto used = nghttp2_hd_inflate_hd2(inflater_, &line, &flags, at,
                                               static_cast<std::size_t>(end - at), 1);
      ASSERT_GE(used, 0);
      at += used;
      if (flags & NGHTTP2_HD_INFLATE_EMIT) {
        const std::string name(reinterpret_cast<char*>(line.name), line.namelen);
        const std::string value(reinterpret_cast<char*>(line.value), line.valuelen);
        if (name == ":status") into.status = std::stoi(value);
        into.fields[name] = value;
      }
      if (flags & NGHTTP2_HD_INFLATE_FINAL) break;
    }
    nghttp2_hd_inflate_end_headers(inflater_);
    into.is_interim |= into.status == 100;
  }

  stream& from_;
  nghttp2_hd_inflater* inflater_ = nullptr;
};

/// A connection of that client: it has said hello.
class http2_client {
 public:
  explicit http2_client(const address& server, std::string first = hello())
      : connection(tcp_stream::connect(server)), heard(connection) {
    connection.expires_after(patience);
    say(first);
  }

  /// The server may close before it has read all.
  void say(std::string_view frames) {
    std::error_code ec;
    connection.write_all(frames, ec);
    EXPECT_NE(ec, std::errc::timed_out);
  }
  /// Asks, and waits for the answer.
  const http2_answer& ask(std::uint32_t stream, std::string_view path) {
    say(get(stream, path));
    return heard.answer(stream);
  }

  tcp_stream connection;
  http2_listener heard;
};

}  // namespace coir::net::test
