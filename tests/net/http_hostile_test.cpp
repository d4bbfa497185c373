// What clients send that is wrong, or meant to harm: each line of the table is one connection.
#include "tests/net/support.hpp"

#include <coir/net/http_server.hpp>

#include <ostream>
#include <string>
#include <string_view>
#include <vector>

namespace coir::net::test {
namespace {

using std::string_literals::operator""s;

constexpr std::string_view good_request = "GET /after HTTP/1.1\r\nHost: h\r\n\r\n";

/// What becomes of the connection.
enum class then {
  closes,   ///< the server closes it
  goes_on,  ///< it serves another request
};

struct hostile_case {
  std::string name;
  std::string sent;
  int status;  ///< of the answer; 0: there is none
  then end = then::closes;
  bool half_closes = false;  ///< the client ends its half after what it has sent
};

void PrintTo(const hostile_case& c, std::ostream* out) { *out << c.name; }

std::string get(const std::string& target) {
  return "GET " + target + " HTTP/1.1\r\nHost: h\r\n\r\n";
}

std::string with_field(const std::string& field) {
  return "GET / HTTP/1.1\r\nHost: h\r\n" + field + "\r\n\r\n";
}

std::string post(const std::string& fields, const std::string& body) {
  return "POST /read HTTP/1.1\r\nHost: h\r\n" + fields + "\r\n" + body;
}

std::string chunked(const std::string& body) {
  return post("Transfer-Encoding: chunked\r\n", body);
}

std::string many_fields(int count) {
  std::string text = "GET / HTTP/1.1\r\nHost: h\r\n";
  for (int i = 0; i < count; ++i) text += "F" + std::to_string(i) + ": v\r\n";
  return text + "\r\n";
}

std::vector<hostile_case> cases() {
  constexpr then goes_on = then::goes_on;
  const std::string crlf = "\r\n";
  std::vector<hostile_case> all = {
      // The request line
      {"no_version", "GET /\r\nHost: h\r\n\r\n", 400},
      {"no_target", "GET HTTP/1.1\r\nHost: h\r\n\r\n", 400},
      {"empty_target", "GET  HTTP/1.1\r\nHost: h\r\n\r\n", 400},
      {"two_spaces", "GET  / HTTP/1.1\r\nHost: h\r\n\r\n", 400},
      {"space_at_the_end", "GET / HTTP/1.1 \r\nHost: h\r\n\r\n", 400},
      {"tab_for_a_space", "GET\t/\tHTTP/1.1\r\nHost: h\r\n\r\n", 400},
      {"space_before_the_method", " GET / HTTP/1.1\r\nHost: h\r\n\r\n", 400},
      {"method_with_a_colon", "GE:T / HTTP/1.1\r\nHost: h\r\n\r\n", 400},
      {"version_2", "GET / HTTP/2.0\r\nHost: h\r\n\r\n", 505},
      {"version_0_9", "GET / HTTP/0.9\r\nHost: h\r\n\r\n", 505},
      {"version_1_2", "GET / HTTP/1.2\r\nHost: h\r\n\r\n", 505},
      {"version_in_small_letters", "GET / http/1.1\r\nHost: h\r\n\r\n", 400},
      {"version_of_many_digits", "GET / HTTP/1.10\r\nHost: h\r\n\r\n", 400},
      {"no_http", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"s, 400},
      {"smtp", "EHLO example.org\r\n\r\n", 400},
      {"bare_lf", "GET / HTTP/1.1\nHost: h\n\n", 400},
      {"bare_lf_after_a_field", "GET / HTTP/1.1\r\nHost: h\n\r\n", 400},
      {"bare_cr", "GET / HTTP/1.1\r\nHost: h\rX: y\r\n\r\n", 400},
      {"nul_in_the_target", get("/a\0b"s), 400},
      {"control_in_the_target", get("/a\x01"), 400},
      {"empty_lines_first", crlf + crlf + good_request.data(), 200, goes_on},
      // Targets
      {"traversal", get("/../etc/passwd"), 400},
      {"traversal_behind_a_folder", get("/a/../../etc/passwd"), 400},
      {"encoded_traversal", get("/%2e%2e/etc/passwd"), 400},
      {"encoded_slash_in_traversal", get("/..%2fetc/passwd"), 400},
      {"dots_within_the_root", get("/a/b/../c"), 200, goes_on},
      {"twice_encoded_dots", get("/%252e%252e/x"), 200, goes_on},
      {"encoded_nul", get("/a%00.txt"), 400},
      {"percent_without_digits", get("/%zz"), 400},
      {"percent_at_the_end", get("/a%"), 400},
      {"percent_with_one_digit", get("/a%4"), 400},
      {"fragment", get("/a#b"), 400},
      {"asterisk_for_get", get("*"), 400},
      {"asterisk_for_options", "OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", 200, goes_on},
      {"absolute_target", get("http://other/after"), 200, goes_on},
      {"absolute_target_without_a_host", get("http://"), 400},
      {"foreign_scheme", get("ftp://other/x"), 400},
      {"target_without_a_slash", get("index.html"), 400},
      {"connect", "CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\n\r\n", 501},
      {"long_target", get("/" + std::string(9000, 'a')), 414},
      {"endless_target", "GET /" + std::string(40000, 'a'), 414},
      // Hosts
      {"no_host", "GET / HTTP/1.1\r\n\r\n", 400},
      {"no_host_in_1_0", "GET / HTTP/1.0\r\n\r\n", 200},
      {"two_hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400},
      {"host_with_a_path", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400},
      {"host_with_a_space", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400},
      {"host_with_credentials", "GET / HTTP/1.1\r\nHost: me@a\r\n\r\n", 400},
      // Fields
      {"space_before_the_colon", with_field("Name : value"), 400},
      {"no_colon", with_field("Name"), 400},
      {"empty_name", with_field(": value"), 400},
      {"name_with_a_space", with_field("My Name: value"), 400},
      {"folded_field", with_field("Name: a\r\n b"), 400},
      {"field_folded_at_once", with_field("Name:\r\n b"), 400},
      {"folded_encoding", post("Transfer-Encoding:\r\n chunked\r\n", "0\r\n\r\n"), 400},
      {"first_field_folded", "GET / HTTP/1.1\r\n Host: h\r\n\r\n", 400},
      {"nul_in_a_value", with_field("Name: a\0b"s), 400},
      {"control_in_a_value", with_field("Name: a\x02"), 400},
      {"high_bytes_in_a_value", with_field("Name: gr\xc3\xbc\xc3\x9f"), 200, goes_on},
      {"a_hundred_fields", many_fields(99), 200, goes_on},
      {"too_many_fields", many_fields(100), 431},
      {"long_field", with_field("Name: " + std::string(20000, 'v')), 431},
      {"endless_field", "GET / HTTP/1.1\r\nHost: h\r\nName: " + std::string(60000, 'v'), 431},
      {"unknown_expectation", with_field("Expect: a miracle"), 417},
      // Lengths
      {"negative_length", post("Content-Length: -1\r\n", ""), 400},
      {"length_with_a_plus", post("Content-Length: +3\r\n", "abc"), 400},
      {"hexadecimal_length", post("Content-Length: 0x3\r\n", "abc"), 400},
      {"length_with_a_space_inside", post("Content-Length: 1 0\r\n", "abc"), 400},
      {"empty_length", post("Content-Length:\r\n", ""), 400},
      {"length_past_64_bits", post("Content-Length: 99999999999999999999\r\n", ""), 400},
      {"two_lengths", post("Content-Length: 3\r\nContent-Length: 4\r\n", "abcd"), 400},
      {"list_of_lengths", post("Content-Length: 3, 4\r\n", "abcd"), 400},
      {"the_same_length_twice", post("Content-Length: 3\r\nContent-Length: 3\r\n", "abc"), 200,
       goes_on},
      {"too_long_a_body", post("Content-Length: 5000\r\n", ""), 413},
      {"body_ends_early", post("Content-Length: 5\r\n", "abc"), 0, then::closes, true},
      // Smuggling: two readers of one message must not see different ends of it
      {"length_then_chunks",
       post("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), 400},
      {"chunks_then_length",
       post("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", "0\r\n\r\n"), 400},
      {"chunked_twice",
       post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), 400},
      {"chunked_and_identity", post("Transfer-Encoding: chunked, identity\r\n", "0\r\n\r\n"), 501},
      {"nearly_chunked", post("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n"), 501},
      {"gzip_and_chunked", post("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n"), 501},
      {"chunked_in_quotes", post("Transfer-Encoding: \"chunked\"\r\n", "0\r\n\r\n"), 501},
      {"chunked_with_a_vertical_tab",
       post("Transfer-Encoding: \x0b"
            "chunked\r\n",
            "0\r\n\r\n"),
       400},
      {"chunked_after_a_space", post("Transfer-Encoding : chunked\r\n", "0\r\n\r\n"), 400},
      {"chunked_in_1_0", "POST /read HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
      {"chunked_in_capitals", post("Transfer-Encoding: CHUNKED\r\n", "3\r\nabc\r\n0\r\n\r\n"), 200,
       goes_on},
      // Chunks
      {"bad_chunk_size", chunked("g\r\nabc\r\n0\r\n\r\n"), 400},
      {"negative_chunk_size", chunked("-3\r\nabc\r\n0\r\n\r\n"), 400},
      {"chunk_size_with_0x", chunked("0x3\r\nabc\r\n0\r\n\r\n"), 400},
      {"chunk_size_past_64_bits", chunked("fffffffffffffffff\r\nabc\r\n0\r\n\r\n"), 400},
      {"chunk_without_its_end", chunked("3\r\nabcd\r\n0\r\n\r\n"), 400},
      {"chunk_with_a_bare_lf", chunked("3\nabc\n0\n\n"), 400},
      {"chunk_extension", chunked("3;name=value\r\nabc\r\n0\r\n\r\n"), 200, goes_on},
      {"endless_chunk_extension", chunked("3;" + std::string(40000, 'x')), 400},
      {"trailer", chunked("3\r\nabc\r\n0\r\nName: value\r\n\r\n"), 200, goes_on},
      {"trailer_with_a_length", chunked("3\r\nabc\r\n0\r\nContent-Length: 9\r\n\r\n"), 400},
      {"too_long_in_chunks",
       chunked("400\r\n" + std::string(1024, 'x') + "\r\n400\r\n" + std::string(1024, 'x') +
               "\r\n"),
       413},
      {"chunks_end_early", chunked("5\r\nabc"), 0, then::closes, true},
      // Ends
      {"nothing", "", 0, then::closes, true},
      {"half_a_line", "GET / HT", 0, then::closes, true},
      {"half_a_head", "GET / HTTP/1.1\r\nHost:", 0, then::closes, true},
      {"close_is_asked_for", with_field("Connection: close"), 200},
      {"keep_alive_in_1_0", "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", 200, goes_on},
      {"unread_body_is_not_a_request",
       "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 36\r\n\r\n" + get("/smuggled").substr(0, 36),
       200, goes_on},
  };
  return all;
}

class HttpHostile : public testing::TestWithParam<hostile_case> {};

/// Everything until the peer closes, or an answer whose end is known by its Content-Length.
struct answer {
  int status = 0;
  bool is_closed = false;
};

answer read_answer(stream& from, std::string& early) {
  answer got;
  char buffer[4096];
  for (;;) {
    const std::size_t end = early.find("\r\n\r\n");
    const std::size_t field = early.find("Content-Length: ");
    if (end != std::string::npos && field < end) {
      const std::size_t size = end + 4 + std::stoul(early.substr(field + 16));
      if (early.size() >= size) {
        got.status = std::stoi(early.substr(std::string("HTTP/1.1 ").size(), 3));
        early.erase(0, size);
        return got;
      }
    }
    std::error_code ec;
    const std::size_t count = from.read_some(buffer, ec);
    EXPECT_NE(ec, std::errc::timed_out) << "after: " << early;
    if (count == 0) {
      got.is_closed = true;
      return got;
    }
    early.append(buffer, count);
  }
}

TEST_P(HttpHostile, IsAnsweredAsItDeserves) {
  const hostile_case& c = GetParam();
  http_server::options how;
  how.http.body_bytes_max = 1500;
  std::vector<std::string> seen;
  http_server server(
      address::ipv4_loopback(),
      [&](http_request& request, http_response& response) {
        seen.emplace_back(request.path());
        response.send(request.path() == "/read" ? request.read_body() : "ok");
      },
      how);
  server.start();
  tcp_stream client = tcp_stream::connect(server.local_address());
  client.expires_after(patience);
  std::error_code ec;
  client.write_all(c.sent, ec);  // the server may close before it has read all
  if (c.half_closes) client.shutdown(direction::write);
  std::string rest;
  answer got = read_answer(client, rest);
  EXPECT_EQ(got.status, c.status);
  if (c.end == then::goes_on) {
    client.write_all(good_request);
    got = read_answer(client, rest);
    EXPECT_EQ(got.status, 200);
    EXPECT_EQ(seen.back(), "/after");
  } else {
    if (!got.is_closed) got = read_answer(client, rest);
    EXPECT_TRUE(got.is_closed) << "another answer: " << rest;
  }
  for (const std::string& path : seen) EXPECT_EQ(path.find("smuggled"), std::string::npos);
  client.close();
  EXPECT_EQ(server.stop(patience), 0u);
}

INSTANTIATE_TEST_SUITE_P(Table, HttpHostile, testing::ValuesIn(cases()),
                         [](const auto& of) { return of.param.name; });

}  // namespace
}  // namespace coir::net::test
