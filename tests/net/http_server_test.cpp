// What an HTTP server promises to handlers and to clients that behave.
#include "tests/net/support.hpp"

#include <coir/net/http_error.hpp>
#include <coir/net/http_server.hpp>

#include <algorithm>
#include <memory>
#include <mutex>
#include <numeric>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace coir::net::test {
namespace {

/// A server of this process, on this worker, and a raw client of it.
class HttpServer : public testing::Test {
 protected:
  void serve(http_handler handler) {
    server_ = std::make_unique<http_server>(address::ipv4_loopback(), std::move(handler), how_);
    server_->start();
    client_ = connect();
  }
  tcp_stream connect() const {
    tcp_stream made = tcp_stream::connect(server_->local_address());
    made.expires_after(patience);
    return made;
  }
  /// Sends that and reads until the server closes the connection.
  std::string exchange(const std::string& request) {
    client_.write_all(request);
    return read_to_end(client_);
  }
  static std::string read_to_end(stream& from) {
    std::string all;
    char buffer[4096];
    while (const std::size_t count = from.read_some(buffer)) all.append(buffer, count);
    return all;
  }
  /// Reads until `end` has come.
  static std::string read_until(stream& from, const std::string& end) {
    std::string all;
    while (all.find(end) == std::string::npos) {
      char c;
      from.read_exactly({&c, 1});
      all += c;
    }
    return all;
  }
  static std::string get(const std::string& target, const std::string& fields = {}) {
    return "GET " + target + " HTTP/1.1\r\nHost: h\r\n" + fields + "\r\n";
  }
  static std::string last_get(const std::string& target) {
    return get(target, "Connection: close\r\n");
  }
  static std::string body_of(const std::string& answer) {
    return answer.substr(answer.find("\r\n\r\n") + 4);
  }

  http_server::options how_;
  std::unique_ptr<http_server> server_;
  tcp_stream client_;
};

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

/// Sets an event at the end of its scope, however that ends.
struct setter {
  event& what;
  ~setter() { what.set(); }
};

TEST_F(HttpServer, AHandlerSeesWhatTheClientAsked) {
  serve([](http_request& request, http_response& response) {
    EXPECT_EQ(request.method(), "PATCH");
    EXPECT_EQ(request.target(), "/a%20b/./c?x=1&y=two+words&z");
    EXPECT_EQ(request.path(), "/a b/c");
    EXPECT_EQ(request.query(), "x=1&y=two+words&z");
    EXPECT_EQ(request.query_value("y"), "two words");
    EXPECT_EQ(request.query_value("z"), "");
    EXPECT_EQ(request.query_value("w"), std::nullopt);
    EXPECT_EQ(request.host(), "h:80");
    EXPECT_EQ(request.headers().get("x-Name"), "value");
    EXPECT_EQ(request.headers().count("X-List"), 2u);
    EXPECT_TRUE(request.headers().has_token("x-list", "B"));
    EXPECT_FALSE(request.headers().has_token("x-list", "d"));
    EXPECT_EQ(request.version(), 11);
    EXPECT_EQ(request.peer().host(), "127.0.0.1");
    EXPECT_FALSE(request.has_body());
    response.set_status(202);
    response.headers().set("X-Answer", "yes");
    response.send("text/plain", "done");
  });
  const std::string answer = exchange(
      "PATCH /a%20b/./c?x=1&y=two+words&z HTTP/1.1\r\nHost: h:80\r\nX-Name: \t value \r\n"
      "X-List: a, b\r\nX-List: c\r\nConnection: close\r\n\r\n");
  EXPECT_EQ(answer.substr(0, answer.find("\r\n")), "HTTP/1.1 202 Accepted");
  EXPECT_TRUE(has(answer, "\r\nContent-Type: text/plain\r\n"));
  EXPECT_TRUE(has(answer, "\r\nContent-Length: 4\r\n"));
  EXPECT_TRUE(has(answer, "\r\nX-Answer: yes\r\n"));
  EXPECT_TRUE(has(answer, "\r\nDate: "));
  EXPECT_TRUE(has(answer, "\r\nConnection: close\r\n"));
  EXPECT_EQ(body_of(answer), "done");
}

TEST_F(HttpServer, PipelinedRequestsAreAnsweredInTheirOrder) {
  serve([](http_request& request, http_response& response) {
    if (request.path() == "/1") this_fiber::yield();
    response.send(request.path());
  });
  std::string sent;
  for (int i = 0; i < 50; ++i) sent += get("/" + std::to_string(i));
  const std::string answers = exchange(sent + last_get("/end"));
  std::size_t at = 0;
  for (int i = 0; i < 50; ++i) {
    at = answers.find("\r\n\r\n/" + std::to_string(i) + "HTTP/1.1 200", at);
    ASSERT_NE(at, std::string::npos) << i;
  }
  EXPECT_TRUE(answers.ends_with("/end"));
}

TEST_F(HttpServer, ARequestThatComesByteByByteIsUnderstood) {
  serve([](http_request& request, http_response& response) { response.send(request.read_body()); });
  const std::string sent =
      "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
      "3\r\nabc\r\n4;x=y\r\ndefg\r\n0\r\nTrailer: t\r\n\r\n";
  for (const char c : sent) {
    client_.write_all({&c, 1});
    this_fiber::yield();
  }
  EXPECT_EQ(body_of(read_to_end(client_)), "abcdefg");
}

TEST_F(HttpServer, LargeBodiesPassBothWays) {
  how_.http.body_bytes_max = 1 << 24;
  serve([](http_request& request, http_response& response) {
    response.headers().set("Content-Length", std::to_string(*request.content_length()));
    char buffer[10000];
    while (const std::size_t count = request.read_some(buffer)) response.write({buffer, count});
  });
  std::string body(5'000'000, '\0');
  std::iota(body.begin(), body.end(), '\0');
  auto writer = spawn([&] {
    client_.write_parts({"POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: ",
                         std::to_string(body.size()), "\r\n\r\n", body});
  });
  EXPECT_TRUE(body_of(read_to_end(client_)) == body);
  writer.get();
}

TEST_F(HttpServer, AnAnswerWithoutALengthGoesOutInChunks) {
  serve([](http_request&, http_response& response) {
    response.write("one");
    response.write(std::string(20000, 'x'));
    response.write("");
    response.write("end");
  });
  EXPECT_EQ(body_of(exchange(last_get("/"))),
            "3\r\none\r\n4e20\r\n" + std::string(20000, 'x') + "\r\n3\r\nend\r\n0\r\n\r\n");
}

TEST_F(HttpServer, AClientOfHttp10GetsItsAnswerUntilTheEndOfTheConnection) {
  serve([](http_request& request, http_response& response) {
    EXPECT_EQ(request.version(), 10);
    response.write("one ");
    response.write("two");
  });
  const std::string answer = exchange("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  EXPECT_FALSE(has(answer, "chunked"));
  EXPECT_EQ(body_of(answer), "one two");
}

TEST_F(HttpServer, ThePartsOfAnAnswerAreOnTheirWayWhileTheHandlerGoesOn) {
  event seen;
  serve([&](http_request&, http_response& response) {
    response.write("first");
    EXPECT_TRUE(seen.wait_for(patience));
    response.write("second");
  });
  client_.write_all(last_get("/"));
  read_until(client_, "first");
  seen.set();
  EXPECT_TRUE(has(read_to_end(client_), "second"));
}

TEST_F(HttpServer, AnswersToHeadHaveALengthAndNoBody) {
  serve([](http_request&, http_response& response) { response.send("12345"); });
  client_.write_all("HEAD / HTTP/1.1\r\nHost: h\r\n\r\n" + last_get("/"));
  const std::string both = read_to_end(client_);
  EXPECT_TRUE(has(both, "Content-Length: 5\r\n\r\nHTTP/1.1 200 OK\r\n"));
  EXPECT_TRUE(both.ends_with("\r\n\r\n12345"));
}

TEST_F(HttpServer, AnAnswerToHeadWhoseBodyWouldComeInPartsTellsNoLength) {
  serve([](http_request&, http_response& response) {
    response.write("some ");
    response.write("text");
  });
  client_.write_all("HEAD / HTTP/1.1\r\nHost: h\r\n\r\n" + last_get("/"));
  const std::string both = read_to_end(client_);
  EXPECT_FALSE(has(both, "Content-Length")) << both;
  EXPECT_TRUE(has(both, "4\r\ntext\r\n")) << both;
}

TEST_F(HttpServer, AStatusThatHasNoBodyGetsNone) {
  serve([](http_request&, http_response& response) {
    response.set_status(204);
    response.send("lost");
  });
  const std::string answer = exchange(last_get("/"));
  EXPECT_FALSE(has(answer, "Content-Length"));
  EXPECT_EQ(body_of(answer), "");
}

TEST_F(HttpServer, AHandlerThatDoesNothingHasAnswered) {
  serve([](http_request&, http_response&) {});
  EXPECT_TRUE(has(exchange(last_get("/")), "HTTP/1.1 200 OK\r\n"));
}

TEST_F(HttpServer, AnUnreadBodyIsPassedOver) {
  serve([](http_request& request, http_response& response) { response.send(request.path()); });
  const std::string post = "POST /1 HTTP/1.1\r\nHost: h\r\n";
  client_.write_all(post + "Content-Length: 30\r\n\r\nGET /no HTTP/1.1\r\nHost: h\r\n\r\n!");
  client_.write_all(post + "Transfer-Encoding: chunked\r\n\r\n6\r\nGET / \r\n0\r\n\r\n");
  const std::string answers = exchange(last_get("/end"));
  EXPECT_FALSE(has(answers, "/no"));
  EXPECT_TRUE(answers.ends_with("/end"));
}

TEST_F(HttpServer, AClientIsToldToGoOnWhenItsBodyIsAskedFor) {
  serve([](http_request& request, http_response& response) { response.send(request.read_body()); });
  const std::string head =
      "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nExpect: 100-continue\r\n";
  client_.write_all(head + "Connection: close\r\n\r\n");
  EXPECT_EQ(read_until(client_, "\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  client_.write_all("abc");
  EXPECT_EQ(body_of(read_to_end(client_)), "abc");
}

TEST_F(HttpServer, AClientWhoseBodyIsNotWantedIsNotToldToGoOn) {
  serve([](http_request&, http_response&) { throw http_error(401, "who are you?"); });
  client_.write_all(
      "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n");
  client_.shutdown(direction::write);
  const std::string answer = read_to_end(client_);
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 401 Unauthorized\r\n"));
  EXPECT_TRUE(has(answer, "Connection: close"));
  EXPECT_EQ(body_of(answer), "who are you?\n");
}

TEST_F(HttpServer, WhatAHandlerThrowsBecomesTheAnswer) {
  std::vector<std::string> told;
  how_.http.on_error = [&](const http_request& request, std::exception_ptr error) {
    try {
      std::rethrow_exception(error);
    } catch (const std::exception& e) {
      told.push_back(std::string(request.path()) + ": " + e.what());
    }
  };
  serve([](http_request& request, http_response& response) {
    response.headers().set("X-Kept", "1");
    if (request.path() == "/known") throw http_error(404, "no such thing");
    throw std::runtime_error("a flaw");
  });
  const std::string answers = exchange(get("/known") + last_get("/unknown"));
  EXPECT_TRUE(has(answers, "HTTP/1.1 404 Not Found\r\n"));
  EXPECT_TRUE(has(answers, "X-Kept: 1"));
  EXPECT_TRUE(has(answers, "no such thing\n"));
  EXPECT_TRUE(has(answers, "HTTP/1.1 500 Internal Server Error\r\n"));
  EXPECT_FALSE(has(answers, "a flaw"));
  EXPECT_EQ(told, std::vector<std::string>{"/unknown: a flaw"});
}

TEST_F(HttpServer, AnAnswerThatBreaksOffEndsTheConnection) {
  how_.http.on_error = [](const http_request&, std::exception_ptr) {};
  serve([](http_request& request, http_response& response) {
    if (request.path() == "/length") response.headers().set("Content-Length", "10");
    response.write("12345");
    if (request.path() == "/chunks") throw std::runtime_error("a flaw");
  });
  EXPECT_TRUE(exchange(get("/chunks")).ends_with("5\r\n12345\r\n"));
  client_ = connect();
  EXPECT_TRUE(exchange(get("/length")).ends_with("\r\n\r\n12345"));
}

TEST_F(HttpServer, MisuseByAHandlerIsToldToIt) {
  serve([](http_request&, http_response& response) {
    EXPECT_THROW(response.set_status(99), std::invalid_argument);
    EXPECT_THROW(response.headers().set("X-Split", "a\r\nSet-Cookie: b"), std::invalid_argument);
    EXPECT_THROW(response.headers().set("X: y", "a"), std::invalid_argument);
    response.headers().set("Content-Length", "3");
    response.write("ab");
    EXPECT_THROW(response.set_status(404), std::logic_error);
    EXPECT_THROW(response.send("again"), std::logic_error);
    EXPECT_THROW(response.write("cd"), std::logic_error);
    response.write("c");
  });
  EXPECT_EQ(body_of(exchange(last_get("/"))), "abc");
}

TEST_F(HttpServer, AConnectionThatIsHandedOverSpeaksAnotherProtocol) {
  serve([](http_request& request, http_response& response) {
    EXPECT_TRUE(request.headers().has_token("Connection", "upgrade"));
    response.headers().set("Connection", "Upgrade");
    response.headers().set("Upgrade", "echo");
    stream& raw = response.upgrade();
    char buffer[100];
    while (const std::size_t count = raw.read_some(buffer)) raw.write_all({buffer, count});
  });
  client_.write_all(get("/", "Connection: Upgrade\r\nUpgrade: echo\r\n") + "early ");
  EXPECT_TRUE(read_until(client_, "\r\n\r\n").starts_with("HTTP/1.1 101 Switching Protocols\r\n"));
  EXPECT_EQ(read_until(client_, "early "), "early ");
  client_.write_all("late");
  EXPECT_EQ(read_until(client_, "late"), "late");
  client_.shutdown(direction::write);
  EXPECT_EQ(read_to_end(client_), "");
}

TEST_F(HttpServer, TheLogHasALineForEachRequest) {
  std::vector<std::string> lines;
  how_.http.access_log = [&](std::string_view line) { lines.emplace_back(line); };
  serve([](http_request&, http_response& response) { response.send("12345"); });
  exchange(get("/a\"b?c") + "HEAD / HTTP/1.0\r\n\r\n");
  client_ = connect();
  exchange("nonsense\r\n\r\n");
  client_.close();
  server_->stop(patience);
  ASSERT_EQ(lines.size(), 3u);
  EXPECT_TRUE(lines[0].starts_with("127.0.0.1 - - ["));
  EXPECT_TRUE(lines[0].ends_with("] \"GET /a\\\"b?c HTTP/1.1\" 200 5"));
  EXPECT_TRUE(lines[1].ends_with("] \"HEAD / HTTP/1.0\" 200 -"));
  EXPECT_TRUE(lines[2].ends_with("] \"-\" 400 12"));
}

TEST_F(HttpServer, SlowClientsAreSentAway) {
  how_.http.header_timeout = 50ms;
  how_.http.body_timeout = 50ms;
  how_.http.idle_timeout = 50ms;
  serve([](http_request& request, http_response& response) { response.send(request.read_body()); });
  EXPECT_EQ(read_to_end(client_), "");  // idle
  client_ = connect();
  const std::string slow_head = exchange("GET / HTTP/1.1\r\nHo");
  EXPECT_TRUE(slow_head.starts_with("HTTP/1.1 408 Request Timeout\r\n"));
  client_ = connect();
  const std::string slow_body =
      exchange("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nabc");
  EXPECT_TRUE(slow_body.starts_with("HTTP/1.1 408 Request Timeout\r\n"));
}

TEST_F(HttpServer, ADripOfHeadBytesDoesNotMoveItsDeadline) {
  how_.http.header_timeout = 100ms;
  serve([](http_request&, http_response& response) { response.send("never"); });
  auto drip = spawn([&] {
    std::error_code ec;
    client_.write_all("GET / HTTP/1.1\r\nName: ", ec);
    while (!ec) {
      client_.write_all("x", ec);
      this_fiber::sleep_for(5ms);
    }
  });
  EXPECT_TRUE(read_until(client_, "\r\n\r\n").starts_with("HTTP/1.1 408"));
  drip.kill();
}

TEST_F(HttpServer, AClientThatDoesNotReadIsGivenUp) {
  how_.http.write_timeout = 100ms;
  event ended;
  serve([&](http_request&, http_response& response) {
    try {
      for (;;) response.write(std::string(100000, 'x'));
    } catch (const std::system_error& e) {
      EXPECT_EQ(e.code(), std::errc::timed_out);
      ended.set();
      throw;
    }
  });
  client_.write_all(get("/"));
  EXPECT_TRUE(ended.wait_for(patience));
}

TEST_F(HttpServer, AGracefulStopEndsIdleConnectionsAndAnswersTheOthers) {
  event entered;
  event leave;
  serve([&](http_request&, http_response& response) {
    entered.set();
    EXPECT_TRUE(leave.wait_for(patience));
    response.send("last");
  });
  tcp_stream idle = connect();
  client_.write_all(get("/"));
  ASSERT_TRUE(entered.wait_for(patience));
  auto stopping = spawn([&] { return server_->stop(patience); });
  EXPECT_EQ(read_to_end(idle), "");
  EXPECT_FALSE(stopping.ready());
  leave.set();
  const std::string answer = read_to_end(client_);
  EXPECT_TRUE(has(answer, "Connection: close\r\n"));
  EXPECT_EQ(body_of(answer), "last");
  EXPECT_EQ(stopping.get(), 0u);
}

TEST_F(HttpServer, AStopWithoutGraceKillsTheHandlers) {
  event entered;
  serve([&](http_request&, http_response&) {
    entered.set();
    this_fiber::sleep_for(patience);
  });
  client_.write_all(get("/"));
  ASSERT_TRUE(entered.wait_for(patience));
  EXPECT_EQ(server_->stop(), 1u);
  EXPECT_EQ(read_to_end(client_), "");
}

TEST_F(HttpServer, AClientThatGoesAwayInTheMiddleOfAnAnswerIsNoErrorOfTheHandler) {
  how_.http.on_error = [](const http_request&, std::exception_ptr) { ADD_FAILURE(); };
  event ended;
  serve([&](http_request&, http_response& response) {
    const setter done{ended};
    for (;;) response.write(std::string(100000, 'x'));
  });
  client_.write_all(get("/"));
  read_until(client_, "\r\n\r\n");
  client_.close();
  EXPECT_TRUE(ended.wait_for(patience));
}

TEST_F(HttpServer, LimitsThatLetNothingPassAreRefused) {
  const auto make = [&] { http_server(address::ipv4_loopback(), http_handler(), how_); };
  EXPECT_THROW(make(), std::invalid_argument);
  how_.http.header_bytes_max = 5;
  EXPECT_THROW(serve([](http_request&, http_response&) {}), std::invalid_argument);
}

TEST_F(HttpServer, SeveralWorkersShareTheConnections) {
  workers set(2);
  how_.connections.on = &set;
  std::mutex lock;
  std::vector<std::thread::id> threads;
  serve([&](http_request& request, http_response& response) {
    const std::lock_guard hold(lock);
    threads.push_back(std::this_thread::get_id());
    response.send(request.path());
  });
  for (int i = 0; i < 40; ++i) {
    client_ = connect();
    EXPECT_TRUE(exchange(last_get("/" + std::to_string(i))).ends_with("/" + std::to_string(i)));
  }
  EXPECT_EQ(server_->stop(patience), 0u);
  std::sort(threads.begin(), threads.end());
  threads.erase(std::unique(threads.begin(), threads.end()), threads.end());
  EXPECT_EQ(threads.size(), 2u);
}

}  // namespace
}  // namespace coir::net::test
