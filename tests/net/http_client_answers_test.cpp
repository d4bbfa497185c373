// What the HTTP client makes of answers that are wrong, odd, slow or absent.
#include "tests/net/http_client_support.hpp"

#include <algorithm>
#include <random>
#include <string>
#include <string_view>

namespace coir::net::test {
namespace {

// --- answers that a client must not believe --------------------------------------------------

struct bad_answer {
  const char* name;
  std::string text;
  std::error_code error;
};

std::string many_fields(int count) {
  std::string text = "HTTP/1.1 200 OK\r\n";
  for (int i = 0; i < count; ++i) text += "X" + std::to_string(i) + ": y\r\n";
  return text + "Content-Length: 0\r\n\r\n";
}

std::string many_interim_answers(int count) {
  std::string text;
  for (int i = 0; i < count; ++i) text += "HTTP/1.1 102 Processing\r\n\r\n";
  return text + "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
}

TEST(http_client, refuses_answers_that_break_the_rules) {
  const std::string ok = "HTTP/1.1 200 OK\r\n";
  const std::string chunked = ok + "Transfer-Encoding: chunked\r\n\r\n";
  const std::error_code wrong = errc::malformed_answer;
  const std::error_code cut = errc::end_of_stream;
  const std::error_code longer = errc::answer_too_long;
  const bad_answer table[] = {
      {"nothing", "", cut},
      {"half a status line", "HTTP/1.", cut},
      {"half a head", ok + "Content-", cut},
      {"an unfinished head", ok + "Content-Length: 0\r\n", cut},
      {"half a body", ok + "Content-Length: 10\r\n\r\n12345", cut},
      {"no body", ok + "Content-Length: 10\r\n\r\n", cut},
      {"no chunk", chunked, cut},
      {"half a chunk's head", chunked + "1", cut},
      {"half a chunk", chunked + "5\r\nab", cut},
      {"a chunk without its end", chunked + "2\r\nab", cut},
      {"no last chunk", chunked + "2\r\nab\r\n", cut},
      {"half a last chunk", chunked + "2\r\nab\r\n0\r\n", cut},
      {"another protocol", "SSH-2.0-OpenSSH_9\r\n", wrong},
      {"another version", "HTTP/2.0 200 OK\r\n\r\n", wrong},
      {"no status", "HTTP/1.1 OK\r\n\r\n", wrong},
      {"a short status", "HTTP/1.1 20 OK\r\n\r\n", wrong},
      {"a status too small", "HTTP/1.1 099 OK\r\n\r\n", wrong},
      {"a status too large", "HTTP/1.1 600 OK\r\n\r\n", wrong},
      {"a reason with a control character", "HTTP/1.1 200 O\x01K\r\n\r\n", wrong},
      {"an empty line in front", "\r\n" + ok + "Content-Length: 0\r\n\r\n", wrong},
      {"bare line feeds", "HTTP/1.1 200 OK\nContent-Length: 0\n\n", wrong},
      {"a field without a colon", ok + "Nonsense\r\n\r\n", wrong},
      {"a name with a space", ok + "A b: c\r\n\r\n", wrong},
      {"a space before the colon", ok + "A : c\r\n\r\n", wrong},
      {"a folded field", ok + "A: b\r\n c\r\n\r\n", wrong},
      {"a folded field that begins empty", ok + "A:\r\n b\r\n\r\n", wrong},
      {"a NUL in a field", ok + std::string("A: \0\r\n\r\n", 8), wrong},
      {"a length that is no number", ok + "Content-Length: 1x\r\n\r\n1", wrong},
      {"a negative length", ok + "Content-Length: -1\r\n\r\n1", wrong},
      {"a length beyond 64 bits", ok + "Content-Length: 99999999999999999999\r\n\r\n", wrong},
      {"two lengths", ok + "Content-Length: 1\r\nContent-Length: 2\r\n\r\n12", wrong},
      {"a length and chunks",
       ok + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", wrong},
      {"chunks and a length",
       ok + "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n", wrong},
      {"a coding that nobody asked for", ok + "Transfer-Encoding: gzip, chunked\r\n\r\n", wrong},
      {"chunks in HTTP/1.0", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", wrong},
      {"a chunk of no size", chunked + "x\r\n", wrong},
      {"a chunk beyond 64 bits", chunked + "fffffffffffffffff\r\n", wrong},
      {"a chunk longer than it says", chunked + "1\r\nab\r\n0\r\n\r\n", wrong},
      {"a chunk's line with a bare line feed", chunked + "1\na\n0\n\n", wrong},
      {"a trailer that is none", chunked + "0\r\nNonsense\r\n\r\n", wrong},
      {"an unasked change of protocol", "HTTP/1.1 101 Up\r\nUpgrade: x\r\n\r\n", wrong},
      {"a flood of interim answers", many_interim_answers(17), wrong},
      {"a huge head", ok + "A: " + std::string(70'000, 'x') + "\r\n\r\n", longer},
      {"an endless head", ok + "A: " + std::string(70'000, 'x'), longer},
      {"a huge status line", "HTTP/1.1 200 " + std::string(70'000, 'x'), longer},
      {"too many fields", many_fields(200), longer},
      {"too long a body", ok + "Content-Length: 100001\r\n\r\n" + letters(100'001), longer},
      {"too long a body in chunks", chunked + "186a1\r\n" + letters(100'001) + "\r\n0\r\n\r\n",
       longer},
      {"too long a body to the end", ok + "\r\n" + letters(100'001), longer},
      {"a huge chunk extension", chunked + "1;" + std::string(70'000, 'x'), longer},
      {"a trailer of too many fields", chunked + "0\r\n" + many_fields(201).substr(17), longer},
  };
  http_client::options how = brief();
  how.body_bytes_max = 100'000;
  http_client client(how);
  for (const bad_answer& each : table) {
    scripted_server server(says(each.text));
    std::error_code ec;
    const http_answer got = client.get(server.url(), ec);
    EXPECT_EQ(each.error, ec) << each.name << ": " << ec.message();
    EXPECT_EQ(0, got.status) << each.name;
    EXPECT_EQ(0u, client.idle_connections()) << each.name;
    EXPECT_EQ(1, server.accepted()) << each.name;
  }
}

TEST(http_client, takes_answers_that_are_odd_and_yet_allowed) {
  const std::string ok = "HTTP/1.1 200 OK\r\n";
  const struct {
    const char* name;
    std::string text;
    int status;
    std::string body;
    bool is_kept;
  } table[] = {
      {"a body to the end", ok + "\r\nabc", 200, "abc", false},
      {"a body to the end, HTTP/1.0", "HTTP/1.0 200 OK\r\n\r\nabc", 200, "abc", false},
      {"HTTP/1.0 with a length", "HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\na", 200, "a", false},
      {"HTTP/1.0, kept", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\na",
       200, "a", true},
      {"a connection to be closed", ok + "Connection: close\r\nContent-Length: 1\r\n\r\na", 200,
       "a", false},
      {"no reason", "HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n", 200, "", true},
      {"204 with a length", "HTTP/1.1 204 No\r\nContent-Length: 7\r\n\r\n", 204, "", true},
      {"304 with a length", "HTTP/1.1 304 No\r\nContent-Length: 7\r\n\r\n", 304, "", true},
      {"interim answers", many_interim_answers(16), 200, "", true},
      {"the same length twice", ok + "Content-Length: 1\r\nContent-Length: 1\r\n\r\na", 200, "a",
       true},
      {"chunks with extensions and trailers",
       ok + "Transfer-Encoding: Chunked\r\n\r\n1;a=b\r\nx\r\n0A\r\n0123456789\r\n0\r\nT: u\r\n\r\n",
       200, "x0123456789", true},
      {"garbage behind it", ok + "Content-Length: 1\r\n\r\nabc", 200, "a", false},
      {"a redirect to nowhere", "HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n", 302, "", true},
      {"an odd status", "HTTP/1.1 599 Odd\r\nContent-Length: 0\r\n\r\n", 599, "", true},
  };
  for (const auto& each : table) {
    http_client client(brief());
    scripted_server server([&](tcp_stream& s, int) {
      read_head(s);
      s.write_all(each.text);
      if (each.is_kept) read_head(s);
    });
    std::error_code ec;
    const http_answer got = client.get(server.url(), ec);
    EXPECT_FALSE(ec) << each.name << ": " << ec.message();
    EXPECT_EQ(each.status, got.status) << each.name;
    EXPECT_EQ(each.body, got.body) << each.name;
    EXPECT_EQ(each.is_kept ? 1u : 0u, client.idle_connections()) << each.name;
  }
}

TEST(http_client, ends_with_an_answer_or_an_error_whatever_was_damaged_on_the_way) {
  const std::string sound =
      "HTTP/1.1 103 Hints\r\nLink: x\r\n\r\n"
      "HTTP/1.1 200 OK\r\nA: b\r\nTransfer-Encoding: chunked\r\n\r\n"
      "5\r\nabcde\r\n3;x=y\r\nfgh\r\n0\r\nT: u\r\n\r\n";
  std::string text;
  scripted_server server([&](tcp_stream& s, int) {
    read_head(s);
    s.write_all(text);
  });
  http_client client(brief());
  std::mt19937 random(7);
  int answers = 0;
  for (int turn = 0; turn < 200; ++turn) {
    text = sound;
    for (std::size_t damages = random() % 3 + 1; damages > 0; --damages) {
      const std::size_t at = random() % text.size();
      const char c = random() % 2 == 0 ? "\r\n 0:;,9f"[random() % 10] : static_cast<char>(random());
      switch (random() % 4) {
        case 0:
          text[at] = c;
          break;
        case 1:
          text.insert(at, 1, c);
          break;
        case 2:
          text.erase(at, 1);
          break;
        default:
          text.resize(std::max<std::size_t>(at, 1));
      }
    }
    std::error_code ec;
    client.get(server.url(), ec);
    answers += !ec;
    EXPECT_TRUE(!ec || ec == errc::malformed_answer || ec == errc::end_of_stream)
        << ec.message() << " after turn " << turn << ": " << text;
  }
  EXPECT_LT(10, answers);
  EXPECT_GT(190, answers);
}

TEST(http_client, reads_an_answer_that_comes_byte_by_byte) {
  scripted_server server([](tcp_stream& s, int) {
    read_head(s);
    const std::string_view all =
        "HTTP/1.1 103 Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        "3\r\nabc\r\n2;x\r\nde\r\n0\r\nA: b\r\n\r\n";
    for (const char& c : all) {
      s.write_all({&c, 1});
      sleep(200us);
    }
  });
  http_client client(brief());
  const http_answer got = client.get(server.url());
  EXPECT_EQ("abcde", got.body);
  EXPECT_FALSE(got.headers.contains("Link") || got.headers.contains("A"));
}

// --- time-outs and other errors --------------------------------------------------------------

/// Never stops talking, and never comes to an end.
void drip(tcp_stream& s, std::string_view begin) {
  s.write_all(begin);
  for (;;) {
    sleep(5ms);
    s.write_all("x");
  }
}

TEST(http_client, bounds_the_time_of_each_step) {
  http_client::options how = brief();
  how.response_timeout = how.read_timeout = 60ms;
  http_client client(how);
  scripted_server silent([](tcp_stream& s, int) { drain(s); });
  stopwatch since;
  const std::string text = text_thrown_by([&] { client.get(silent.url("/x")); });
  EXPECT_EQ("GET " + silent.url("/x") + ": wait for the answer: Connection timed out", text);
  scripted_server dripping([](tcp_stream& s, int) { drip(s, "HTTP/1.1 200 OK\r\nA: "); });
  EXPECT_EQ(std::errc::timed_out, thrown_by([&] { client.get(dripping.url()); }));
  scripted_server stalled([](tcp_stream& s, int) {
    s.write_all("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab");
    drain(s);
  });
  http_exchange got = client.open({"GET", stalled.url()});
  EXPECT_EQ(std::errc::timed_out, thrown_by([&] { got.read_body(); }));
  EXPECT_EQ(std::errc::timed_out, thrown_by([&] { got.read_body(); }));
  EXPECT_EQ(0u, client.idle_connections());
  EXPECT_GE(since.elapsed(), 150ms);
  EXPECT_LE(since.elapsed(), patience);
}

TEST(http_client, bounds_the_time_of_the_whole) {
  http_client::options how = brief();
  how.total_timeout = 100ms;
  how.connections_per_host_max = 1;
  http_client client(how);
  scripted_server body([](tcp_stream& s, int) { drip(s, "HTTP/1.1 200 OK\r\n\r\n"); });
  stopwatch since;
  EXPECT_EQ(std::errc::timed_out, thrown_by([&] { client.get(body.url()); }));
  expect_lasted(since, 100ms);
  scripted_server around([](tcp_stream& s, int) {
    read_head(s);
    sleep(15ms);
    s.write_all("HTTP/1.1 302 On\r\nLocation: /\r\nContent-Length: 0\r\n\r\n");
  });
  EXPECT_EQ(std::errc::timed_out, thrown_by([&] { client.get(around.url()); }));
  http_exchange holds = client.open({"GET", body.url()});
  const http_call call{.url = body.url(), .limit = 20ms};
  const std::string text = text_thrown_by([&] { client.request(call); });
  EXPECT_NE(std::string::npos, text.find("wait for one of 1 connections")) << text;
}

TEST(http_client, is_left_by_a_time_limit_of_the_callers) {
  scripted_server silent([](tcp_stream& s, int) { drain(s); });
  http_client client(brief());
  EXPECT_FALSE(move_on_after(20ms, [&] { client.get(silent.url()); }));
  EXPECT_EQ(0u, client.idle_connections());
}

TEST(http_client, has_the_answer_of_a_server_that_hangs_up_on_the_body) {
  scripted_server server([](tcp_stream& s, int) {
    read_head(s);
    s.write_all("HTTP/1.1 413 Enough\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    s.shutdown(direction::read);
    s.close();
  });
  http_client client(brief());
  EXPECT_EQ(413, client.put(server.url(), letters(20'000'000)).status);
  http_upload up = client.upload({"POST", server.url()});
  const std::string block = letters(100'000);
  int blocks = 0;
  while (up.write(block) && blocks < 1000) ++blocks;
  EXPECT_GT(1000, blocks);
  EXPECT_EQ(413, up.finish().status());
}

TEST(http_client, names_method_and_url_in_its_errors) {
  http_client client(brief());
  std::uint16_t port;
  {
    const tcp_listener gone = tcp_listener::listen(address::ipv4_loopback());
    port = gone.local_address().port();
  }
  const std::string host = "127.0.0.1:" + std::to_string(port);
  EXPECT_EQ("GET http://" + host + "/x: connect to " + host + ": Connection refused",
            text_thrown_by([&] { client.get("http://me:secret@" + host + "/x"); }));
  EXPECT_EQ(errc::scheme_not_supported, thrown_by([&] { client.get("ftp://h/"); }));
  EXPECT_EQ(errc::scheme_not_supported, thrown_by([&] { client.get("/relative"); }));
  EXPECT_EQ(url_errc::bad_port, thrown_by([&] { client.get("http://h:x/"); }));
  const std::error_code refused = std::make_error_code(std::errc::invalid_argument);
  EXPECT_EQ(refused, thrown_by([&] { client.request({"GET /\r\n", "http://h/"}); }));
  EXPECT_EQ(refused, thrown_by([&] { client.request({"CONNECT", "http://h/"}); }));
  EXPECT_EQ(refused, thrown_by([&] { client.get("http://h/", {{"Transfer-Encoding", "x"}}); }));
  EXPECT_EQ(refused, thrown_by([&] { client.get("http://h/", {{"Expect", "x"}}); }));
  EXPECT_EQ(refused, thrown_by([&] { client.upload({"PUT", "http://h/", {}, "body"}); }));
  http_exchange empty;
  EXPECT_EQ(0, empty.status());
  EXPECT_EQ(std::errc::bad_file_descriptor, thrown_by([&] { empty.read_body(); }));
}

TEST(http_client, refuses_limits_under_which_nothing_works) {
  http_client::options how;
  how.connections_per_host_max = 0;
  EXPECT_THROW(http_client{how}, std::invalid_argument);
  how = {};
  how.header_bytes_max = 10;
  EXPECT_THROW(http_client{how}, std::invalid_argument);
  how = {};
  how.user_agent = "a\r\nb";
  EXPECT_THROW(http_client{how}, std::invalid_argument);
}

TEST(http_client, leaves_no_descriptor_behind) {
  http_client::options how = brief();
  how.idle_connections_max = 0;
  http_client client(how);
  scripted_server server(says("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1"));
  client.get(server.url());
  const std::size_t before = open_descriptors();
  for (int i = 0; i < 20; ++i) client.get(server.url());
  EXPECT_GE(before + 2, open_descriptors());  // the server's fiber may not have ended yet
}

}  // namespace
}  // namespace coir::net::test
