// The HTTP client, against our own server and against servers that a test plays by hand.
#include "tests/net/support.hpp"

#include <functional>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

namespace coir::net::test {
namespace {

/// Our own server, on a port of its own.
class local_server {
 public:
  explicit local_server(http_handler handler)
      : server_(address::ipv4_loopback(), std::move(handler)) {
    server_.start();
  }
  std::string url(const std::string& target) const {
    return "http://" + server_.local_address().to_string() + target;
  }
  std::uint64_t connections() const { return server_.counters().accepted; }

 private:
  http_server server_;
};

/// A server that is a function: it gets each connection in turn, in a fiber of its own.
class scripted_server {
 public:
  using script = std::function<void(tcp_stream&, int number)>;

  explicit scripted_server(script play)
      : listener_(tcp_listener::listen(address::ipv4_loopback())), play_(std::move(play)) {
    accepting_ = spawn([this] {
      for (;;) {
        players_.spawn([this, s = listener_.accept(), number = ++accepted_]() mutable {
          s.expires_after(patience);
          try {
            play_(s, number);
          } catch (const std::system_error&) {  // the client went away
          }
        });
      }
    });
  }
  ~scripted_server() {
    accepting_.kill();
    players_.kill();
  }
  std::string url(const std::string& target = "/") const {
    return "http://" + listener_.local_address().to_string() + target;
  }
  int accepted() const { return accepted_; }

 private:
  tcp_listener listener_;
  script play_;
  int accepted_ = 0;
  fiber<> accepting_;
  group players_;
};

/// The head of a request, with the empty line.
std::string read_head(stream& s) {
  std::string head;
  char c = 0;
  while (!head.ends_with("\r\n\r\n") && s.read_some({&c, 1}) == 1) head += c;
  return head;
}

/// Answers each connection with the same bytes, and closes it.
scripted_server::script says(std::string answer) {
  return [answer = std::move(answer)](tcp_stream& s, int) {
    read_head(s);
    s.write_all(answer);
  };
}

http_client::options brief() {
  http_client::options how;
  how.connect_timeout = how.response_timeout = how.read_timeout = how.write_timeout = patience;
  return how;
}

std::string letters(std::size_t size) {
  std::string text(size, ' ');
  for (std::size_t i = 0; i < size; ++i) text[i] = static_cast<char>('a' + (i * i + i / 251) % 26);
  return text;
}

// --- against our own server ---------------------------------------------------------------------

/// Says what it was asked.
void mirror(http_request& asked, http_response& answer) {
  std::string text(asked.method());
  text.append(" ").append(asked.target()).append("\n");
  for (const http_headers::field each : asked.headers()) {
    text.append(each.name).append(": ").append(each.value).append("\n");
  }
  text.append("\n").append(asked.read_body());
  answer.send("text/plain", text);
}

TEST(http_client, sends_what_it_is_told_and_gets_the_whole_answer) {
  local_server server(mirror);
  http_client client(brief());
  const http_answer got = client.get(server.url("/a b?c=d#e"), {{"X-One", "1"}});
  EXPECT_EQ(200, got.status);
  EXPECT_EQ("OK", got.reason);
  EXPECT_TRUE(got.is_success());
  EXPECT_EQ("text/plain", got.headers.get("content-type"));
  EXPECT_EQ(server.url("/a%20b?c=d#e"), got.url);
  const std::string host = server.url("").substr(7);
  EXPECT_EQ("GET /a%20b?c=d\nHost: " + host + "\nUser-Agent: coir\nAccept: */*\nX-One: 1\n\n",
            got.body);
}

TEST(http_client, sends_bodies_with_all_methods) {
  local_server server(mirror);
  http_client client(brief());
  const http_answer posted = client.post(server.url("/p"), "some body", {{"Content-Type", "a/b"}});
  EXPECT_NE(std::string::npos, posted.body.find("POST /p\n"));
  EXPECT_NE(std::string::npos, posted.body.find("Content-Type: a/b\nContent-Length: 9\n"));
  EXPECT_TRUE(posted.body.ends_with("\n\nsome body"));
  const std::string large = letters(300'000);
  EXPECT_TRUE(client.put(server.url("/"), large).body.ends_with("\n\n" + large));
  EXPECT_NE(std::string::npos, client.post(server.url("/"), "").body.find("Content-Length: 0\n"));
  EXPECT_TRUE(client.del(server.url("/x")).body.starts_with("DELETE /x\n"));
  const http_answer patched = client.request({"PATCH", server.url("/y"), {}, "z"});
  EXPECT_TRUE(patched.body.starts_with("PATCH /y\n") && patched.body.ends_with("\n\nz"));
  const http_answer head = client.head(server.url("/"));
  EXPECT_EQ(200, head.status);
  EXPECT_TRUE(head.headers.contains("Content-Length"));
  EXPECT_EQ("", head.body);
  EXPECT_EQ(1u, server.connections());
}

TEST(http_client, has_headers_of_its_own_that_a_call_replaces) {
  local_server server(mirror);
  http_client::options how = brief();
  how.user_agent = "tester/1";
  how.headers = {{"X-A", "1"}, {"X-B", "2"}};
  http_client client(how);
  const std::string got =
      client.get(server.url("/"), {{"x-b", "3"}, {"Accept", "a/b"}, {"Host", "other"}}).body;
  EXPECT_EQ("GET /\nUser-Agent: tester/1\nx-b: 3\nAccept: a/b\nHost: other\nX-A: 1\n\n", got);
}

TEST(http_client, turns_the_userinfo_of_a_url_into_basic_authentication) {
  local_server server(mirror);
  http_client client(brief());
  const auto url_with = [&](const std::string& userinfo) {
    return "http://" + userinfo + "@" + server.url("/").substr(7);
  };
  const http_answer got = client.get(url_with("Aladdin:open%20sesame"));
  EXPECT_NE(std::string::npos,
            got.body.find("Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\n"));
  EXPECT_EQ(server.url("/"), got.url);
  EXPECT_NE(std::string::npos, client.get(url_with("u")).body.find("Basic dTo=\n"));
  EXPECT_NE(std::string::npos, client.get(url_with("ab:")).body.find("Basic YWI6\n"));
  EXPECT_NE(std::string::npos,
            client.get(url_with("u"), {{"Authorization", "Own"}}).body.find("Authorization: Own"));
}

TEST(http_client, reads_a_body_of_any_length_in_parts) {
  const std::string all = letters(1'000'000);
  local_server server([&](http_request& asked, http_response& answer) {
    if (asked.path() == "/length") answer.headers().set("Content-Length", "1000000");
    for (std::size_t at = 0; at < all.size(); at += 50'000) answer.write({&all[at], 50'000});
  });
  http_client client(brief());
  for (const char* path : {"/length", "/chunks"}) {
    http_exchange got = client.open({"GET", server.url(path)});
    EXPECT_EQ(200, got.status());
    EXPECT_EQ(path == std::string("/length"), got.content_length() == 1'000'000u);
    std::string body;
    char part[7'001];
    while (const std::size_t count = got.read_some(mutable_buffer(part))) body.append(part, count);
    EXPECT_TRUE(all == body);
    EXPECT_EQ(0u, got.read_some(mutable_buffer(part)));
    EXPECT_EQ(1u, client.idle_connections());
    EXPECT_TRUE(all == client.get(server.url(path)).body);
  }
  EXPECT_EQ(1u, server.connections());
}

TEST(http_client, uploads_in_chunks_or_with_a_length) {
  local_server server(mirror);
  http_client client(brief());
  const std::string large = letters(40'000);
  http_upload up = client.upload({"POST", server.url("/up")});
  EXPECT_TRUE(up.write("one "));
  EXPECT_TRUE(up.write(""));
  EXPECT_TRUE(up.write(large));
  const std::string chunked = up.finish().read_body();
  EXPECT_NE(std::string::npos, chunked.find("Transfer-Encoding: chunked\n"));
  EXPECT_TRUE(chunked.ends_with("\n\none " + large));

  up = client.upload({"PUT", server.url("/up"), {{"Content-Length", "5"}}});
  EXPECT_TRUE(up.write("123"));
  EXPECT_THROW(up.write("456"), std::logic_error);
  EXPECT_THROW(up.finish(), std::logic_error);
  EXPECT_TRUE(up.write("45"));
  EXPECT_TRUE(up.finish().read_body().ends_with("\n\n12345"));
  EXPECT_EQ(std::errc::bad_file_descriptor, thrown_by([&] { up.write("x"); }));
}

TEST(http_client, asks_before_it_sends_a_body_when_told_to) {
  int bodies = 0;
  local_server server([&](http_request& asked, http_response& answer) {
    if (asked.path() == "/no") throw http_error(403);
    bodies += asked.read_body() == "wanted";
    answer.send("text/plain", "thanks");
  });
  http_client client(brief());
  http_call call{"PUT", server.url("/yes"), {}, "wanted", true};
  EXPECT_EQ("thanks", client.request(call).body);
  EXPECT_EQ(1, bodies);
  EXPECT_EQ(1u, client.idle_connections());
  call.url = server.url("/no");
  EXPECT_EQ(403, client.request(call).status);
  EXPECT_EQ(0u, client.idle_connections());
}

TEST(http_client, sends_the_body_when_a_server_has_no_opinion) {
  scripted_server server([](tcp_stream& s, int) {
    EXPECT_NE(std::string::npos, read_head(s).find("Expect: 100-continue\r\n"));
    char body[4];
    s.read_exactly(mutable_buffer(body));
    s.write_all("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 Late\r\n\r\n");
  });
  http_client::options how = brief();
  how.continue_timeout = 20ms;
  http_client client(how);
  EXPECT_EQ("Late", client.request({"POST", server.url(), {}, "body", true}).reason);
}

// --- connections --------------------------------------------------------------------------------

TEST(http_client, lets_requests_to_a_full_host_wait_in_order) {
  int now = 0;
  int most = 0;
  std::vector<int> order;
  local_server server([&](http_request& asked, http_response& answer) {
    most = std::max(most, ++now);
    order.push_back(std::stoi(std::string(asked.path().substr(1))));
    sleep(2ms);
    --now;
    answer.send("text/plain", "x");
  });
  http_client::options how = brief();
  how.connections_per_host_max = 1;
  http_client client(how);
  group asking;
  for (int i = 0; i < 12; ++i) {
    asking.spawn([&, i] { client.get(server.url("/" + std::to_string(i))); });
  }
  asking.join();
  std::vector<int> expected(12);
  std::iota(expected.begin(), expected.end(), 0);
  EXPECT_EQ(expected, order);
  EXPECT_EQ(1, most);
  EXPECT_EQ(1u, server.connections());
}

TEST(http_client, has_as_many_connections_to_a_host_as_it_may) {
  int now = 0;
  int most = 0;
  event all_there;
  local_server server([&](http_request&, http_response& answer) {
    most = std::max(most, ++now);
    if (most == 3) all_there.set();
    EXPECT_TRUE(all_there.wait_for(patience));
    --now;
    answer.send("text/plain", "x");
  });
  http_client::options how = brief();
  how.connections_per_host_max = 3;
  how.idle_connections_max = 2;
  http_client client(how);
  group asking;
  for (int i = 0; i < 9; ++i) asking.spawn([&] { client.get(server.url("/")); });
  asking.join();
  EXPECT_EQ(3, most);
  EXPECT_GE(2u, client.idle_connections());
  client.close_idle();
  EXPECT_EQ(0u, client.idle_connections());
}

TEST(http_client, closes_connections_that_were_idle_for_too_long) {
  local_server server(mirror);
  http_client::options how = brief();
  how.idle_timeout = 20ms;
  http_client client(how);
  client.get(server.url("/"));
  EXPECT_EQ(1u, client.idle_connections());
  sleep(30ms);
  client.get(server.url("/"));
  EXPECT_EQ(2u, server.connections());
  EXPECT_EQ(1u, client.idle_connections());
}

TEST(http_client, repeats_a_request_that_a_closed_connection_swallowed) {
  // The second request of each connection is read and not answered.
  std::vector<std::string> asked;
  scripted_server server([&](tcp_stream& s, int) {
    asked.push_back(read_head(s).substr(0, 6));
    s.write_all("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1");
    asked.push_back(read_head(s).substr(0, 6));
  });
  http_client client(brief());
  EXPECT_EQ("1", client.get(server.url("/1")).body);
  EXPECT_EQ("1", client.get(server.url("/2")).body);
  EXPECT_EQ((std::vector<std::string>{"GET /1", "GET /2", "GET /2"}), asked);
  EXPECT_EQ(errc::end_of_stream, thrown_by([&] { client.post(server.url("/3"), ""); }));
  EXPECT_EQ(4u, asked.size());
  EXPECT_EQ(2, server.accepted());
}

TEST(http_client, repeats_nothing_when_an_answer_has_begun_or_the_connection_is_new) {
  scripted_server server([&](tcp_stream& s, int number) {
    read_head(s);
    if (number == 1) return;
    s.write_all("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1");
    read_head(s);
    s.write_all("HT");
  });
  http_client client(brief());
  EXPECT_EQ(errc::end_of_stream, thrown_by([&] { client.get(server.url()); }));
  EXPECT_EQ(1, server.accepted());
  EXPECT_EQ("1", client.get(server.url()).body);
  EXPECT_EQ(errc::end_of_stream, thrown_by([&] { client.get(server.url()); }));
  EXPECT_EQ(2, server.accepted());
}

TEST(http_client, repeats_a_request_only_once) {
  scripted_server server([&](tcp_stream& s, int number) {
    read_head(s);
    if (number > 1) return;
    s.write_all("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1");
    read_head(s);
  });
  http_client client(brief());
  EXPECT_EQ("1", client.get(server.url()).body);
  EXPECT_EQ(errc::end_of_stream, thrown_by([&] { client.get(server.url()); }));
  EXPECT_EQ(2, server.accepted());
}

TEST(http_client, sees_beforehand_that_a_connection_was_closed_and_so_may_post) {
  scripted_server server(says("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1"));
  int fd = -1;
  http_client::options how = brief();
  how.connect = [&](const url& where, time_limit limit, std::error_code& ec) {
    auto opened = http_client::connect_tcp(where, limit, ec);
    fd = opened->native_handle();
    return opened;
  };
  http_client client(how);
  for (int turn = 1; turn <= 3; ++turn) {
    EXPECT_EQ("1", client.post(server.url(), "x").body);
    EXPECT_EQ(1u, client.idle_connections());
    EXPECT_EQ(turn, server.accepted());
    char byte;  // the end of the connection may still be on its way
    for (stopwatch since; recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) != 0;) {
      ASSERT_LE(since.elapsed(), patience);
      yield();
    }
  }
}

TEST(http_client, keeps_no_connection_whose_body_was_not_read) {
  local_server server([](http_request&, http_response& answer) {
    answer.send("text/plain", std::string(100, 'x'));
  });
  http_client client(brief());
  { const http_exchange unread = client.open({"GET", server.url("/")}); }
  EXPECT_EQ(0u, client.idle_connections());
  EXPECT_EQ(100u, client.get(server.url("/")).body.size());
  EXPECT_EQ(2u, server.connections());
}

TEST(http_client, gives_the_connection_and_the_place_up_when_its_fiber_is_killed) {
  bool is_slow = true;
  local_server server([&](http_request&, http_response& answer) {
    answer.write("part");
    if (is_slow) sleep(patience);
    answer.write(" and rest");
  });
  http_client::options how = brief();
  how.connections_per_host_max = 1;
  http_client client(how);
  const std::size_t before = open_descriptors();
  event has_begun;
  auto asking = spawn([&] {
    http_exchange got = client.open({"GET", server.url("/")});
    char part[4];
    got.read_some(mutable_buffer(part));
    has_begun.set();
    got.read_body();
  });
  auto waiting = spawn([&] { client.get(server.url("/")); });
  EXPECT_TRUE(has_begun.wait_for(patience));
  waiting.kill();
  asking.kill();
  EXPECT_EQ(0u, client.idle_connections());
  EXPECT_GE(before + 2, open_descriptors());  // the server may hold its end, and a registration
  is_slow = false;
  EXPECT_EQ("part and rest", client.get(server.url("/")).body);
}

TEST(http_client, may_be_destroyed_before_what_it_has_opened) {
  local_server server(mirror);
  auto client = std::make_unique<http_client>(brief());
  http_exchange got = client->open({"GET", server.url("/")});
  client.reset();
  EXPECT_TRUE(got.read_body().starts_with("GET /\n"));
}

TEST(http_client, belongs_to_the_worker_of_its_first_call) {
  local_server server(mirror);
  http_client client(brief());
  client.get(server.url("/"));
  workers others(1);
  EXPECT_THROW(others.spawn([&] { client.get(server.url("/")); }).get(), std::logic_error);
}

TEST(http_client, uses_the_transport_it_is_given) {
  scripted_server server(says("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1"));
  const url there = url::parse(server.url());
  std::vector<std::string> asked;
  http_client::options how = brief();
  how.connect = [&](const url& where, time_limit limit, std::error_code& ec) {
    asked.push_back(where.to_string());
    return http_client::connect_tcp(there, limit, ec);
  };
  http_client client(how);
  EXPECT_EQ("1", client.get("https://somewhere/else").body);
  EXPECT_EQ(std::vector<std::string>{"https://somewhere/else"}, asked);
}

// --- redirects ----------------------------------------------------------------------------------

TEST(http_client, follows_redirects_as_browsers_do) {
  local_server server([](http_request& asked, http_response& answer) {
    const std::string path(asked.path());
    if (path == "/end") return mirror(asked, answer);
    answer.set_status(std::stoi(path.substr(1)));
    answer.headers().set("Location", "end?x#from-location");
    answer.send("text/plain", "moved");
  });
  http_client client(brief());
  struct {
    const char* method;
    int status;
    const char* becomes;
  } const table[] = {
      {"GET", 301, "GET"}, {"POST", 301, "GET"},  {"PUT", 301, "PUT"},       {"POST", 302, "GET"},
      {"PUT", 302, "PUT"}, {"POST", 303, "GET"},  {"PUT", 303, "GET"},       {"POST", 307, "POST"},
      {"PUT", 307, "PUT"}, {"POST", 308, "POST"}, {"DELETE", 308, "DELETE"},
  };
  for (const auto& each : table) {
    const http_answer got = client.request({each.method,
                                            server.url('/' + std::to_string(each.status)),
                                            {{"Content-Type", "a/b"}},
                                            "body"});
    const bool has_body = got.body.ends_with("\n\nbody");
    EXPECT_TRUE(got.body.starts_with(each.becomes + std::string(" /end?x\n"))) << got.body;
    EXPECT_EQ(has_body, got.body.find("Content-Type") != std::string::npos) << got.body;
    EXPECT_EQ(has_body, each.method == std::string(each.becomes)) << each.method << each.status;
    EXPECT_EQ(server.url("/end?x#from-location"), got.url);
  }
  EXPECT_EQ(1u, server.connections());
  http_client::options how = brief();
  how.redirects_max = 0;
  EXPECT_EQ(302, http_client(how).get(server.url("/302")).status);
}

TEST(http_client, takes_credentials_to_no_other_host) {
  local_server other(mirror);
  local_server server([&](http_request& asked, http_response& answer) {
    if (asked.path() == "/end") return mirror(asked, answer);
    answer.set_status(307);
    answer.headers().set("Location", asked.path() == "/away" ? other.url("/") : "/end");
    answer.send("text/plain", "");
  });
  http_client client(brief());
  const http_headers secrets{{"Authorization", "secret"}, {"Cookie", "secret"}, {"X", "y"}};
  const std::string here = client.get(server.url("/stay"), secrets).body;
  EXPECT_NE(std::string::npos, here.find("Authorization: secret\nCookie: secret\nX: y"));
  const std::string away = client.get(server.url("/away"), secrets).body;
  EXPECT_EQ(std::string::npos, away.find("secret")) << away;
  EXPECT_NE(std::string::npos, away.find("X: y"));
  const std::string with_password = "http://u:p@" + server.url("").substr(7);
  EXPECT_NE(std::string::npos, client.get(with_password + "/stay").body.find("Authorization"));
  EXPECT_EQ(std::string::npos, client.get(with_password + "/away").body.find("Authorization"));
}

TEST(http_client, ends_an_endless_redirect) {
  scripted_server server(says("HTTP/1.1 302 Again\r\nLocation: /\r\nContent-Length: 0\r\n\r\n"));
  http_client client(brief());
  EXPECT_EQ(errc::too_many_redirects, thrown_by([&] { client.get(server.url()); }));
  EXPECT_EQ(11, server.accepted());
}

TEST(http_client, says_where_a_redirect_leads_that_it_cannot_follow) {
  http_client client(brief());
  const auto text_of = [&](const std::string& location) {
    scripted_server server(says("HTTP/1.1 301 Away\r\nLocation: " + location + "\r\n\r\n"));
    return text_thrown_by([&] { client.get(server.url()); });
  };
  EXPECT_NE(std::string::npos, text_of("http://[").find("it leads to no URL"));
  EXPECT_NE(std::string::npos, text_of("ftp://h/").find("No transport is known"));
  EXPECT_NE(std::string::npos, text_of("mailto:a@b").find("No transport is known"));
}

// --- answers that a client must not believe -----------------------------------------------------

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

// --- time-outs and other errors -----------------------------------------------------------------

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
  EXPECT_EQ(errc::scheme_not_supported, thrown_by([&] { client.get("https://h/"); }));
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
