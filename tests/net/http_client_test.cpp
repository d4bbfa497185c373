// What the HTTP client asks and gets, over which connections, and where redirects lead it.
#include "tests/net/http_client_support.hpp"

#include <algorithm>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

namespace coir::net::test {
namespace {

// --- against our own server -------------------------------------------------------------------

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

TEST(http_client, reaches_ipv6_addresses) {
  std::error_code ec;
  { const tcp_listener possible = tcp_listener::listen(address::ipv6_loopback(), ec); }
  if (ec) GTEST_SKIP() << "no IPv6 here: " << ec.message();
  local_server server(mirror, address::ipv6_loopback());
  http_client client(brief());
  const std::string got = client.get(server.url("/")).body;
  EXPECT_NE(std::string::npos, got.find("Host: [::1]:")) << got;
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

TEST(http_client, lets_an_upload_take_the_place_of_an_idle_connection) {
  local_server server(mirror);
  for (const std::size_t most : {1, 2}) {
    http_client::options how = brief();
    how.connections_per_host_max = most;
    http_client client(how);
    client.get(server.url("/"));
    EXPECT_EQ(1u, client.idle_connections());
    http_upload up = client.upload({"POST", server.url("/")});
    EXPECT_EQ(most - 1, client.idle_connections());
    up.write("body");
    up.finish().read_body();
    EXPECT_EQ(most, client.idle_connections());
  }
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

// --- connections ------------------------------------------------------------------------------

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

// --- redirects --------------------------------------------------------------------------------

TEST(http_client, hands_the_connection_over_when_the_protocol_changes) {
  scripted_server server([](tcp_stream& s, int) {
    read_head(s);
    s.write_all("HTTP/1.1 101 Switching Protocols\r\nUpgrade: shout\r\n\r\nHEL");
    char got[2];
    s.read_exactly(got);
    s.write_all(std::string("LO ") + got[0] + got[1]);
    drain(s);
  });
  http_client::options how = brief();
  how.connections_per_host_max = 1;
  http_client client(how);
  const http_headers asks{{"Connection", "Upgrade"}, {"Upgrade", "shout"}};
  {
    http_exchange got = client.open({"GET", server.url(), asks});
    EXPECT_EQ(101, got.status());
    EXPECT_EQ("shout", got.headers().get("Upgrade"));
    const std::unique_ptr<stream> wire = got.take_connection();
    EXPECT_THROW(got.take_connection(), std::logic_error);
    EXPECT_TRUE(wire->wait_readable());
    wire->write_all("me");
    char text[8];
    wire->expires_after(patience);
    wire->read_exactly(text);
    EXPECT_EQ("HELLO me", std::string(text, 8));
    http_call another{"GET", server.url(), asks};
    another.limit = 10ms;
    EXPECT_EQ(std::errc::timed_out, thrown_by([&] { client.open(another); }));
  }
  EXPECT_EQ(101, client.open({"GET", server.url(), asks}).status());
  EXPECT_EQ(0u, client.idle_connections());
  EXPECT_EQ(errc::malformed_answer, thrown_by([&] { client.get(server.url()); }));
}

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

}  // namespace
}  // namespace coir::net::test
