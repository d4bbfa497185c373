// What an HTTP server promises to handlers and clients over HTTP/2.
#include "tests/net/http2_client.hpp"
#include "tests/net/server_support.hpp"

#include <coir/net/http_error.hpp>
#include <coir/net/http_files.hpp>
#include <coir/net/http_router.hpp>
#include <coir/net/http_server.hpp>

#include <fstream>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace coir::net::test {
namespace {

/// A server of this process, on this worker, and a client of it.
class Http2Server : public testing::Test {
 protected:
  Http2Server() {
    how_.http.http2 = true;
    how_.http.body_bytes_max = 1 << 24;
  }
  void serve(http_handler handler, const std::string& first = hello()) {
    server_ = std::make_unique<http_server>(address::ipv4_loopback(), std::move(handler), how_);
    server_->start();
    client_ = std::make_unique<http2_client>(server_->local_address(), first);
  }
  /// What `path` answers on a stream that no test uses for itself.
  int status_of(std::string_view path) {
    const std::uint32_t stream = next_stream_;
    next_stream_ += 2;
    return client_->ask(stream, path).status;
  }

  http_server::options how_;
  std::unique_ptr<http_server> server_;
  std::unique_ptr<http2_client> client_;
  std::uint32_t next_stream_ = 1001;
};

TEST_F(Http2Server, AHandlerSeesWhatTheClientAsked) {
  serve([](http_request& request, http_response& response) {
    EXPECT_EQ(request.method(), "PATCH");
    EXPECT_EQ(request.target(), "/a%20b/./c?x=1");
    EXPECT_EQ(request.path(), "/a b/c");
    EXPECT_EQ(request.query_value("x"), "1");
    EXPECT_EQ(request.host(), "h");
    EXPECT_EQ(request.headers().get("Host"), "h");
    EXPECT_EQ(request.headers().get("X-Name"), "value");
    EXPECT_EQ(request.headers().get("Cookie"), "a=1; b=2");
    EXPECT_EQ(request.headers().count("Cookie"), 1u);
    EXPECT_EQ(request.version(), 20);
    EXPECT_EQ(request.peer().host(), "127.0.0.1");
    EXPECT_FALSE(request.has_body());
    response.set_status(202);
    response.headers().set("X-Answer", "yes");
    response.headers().set("Connection", "close");
    response.headers().set("Transfer-Encoding", "chunked");
    response.send("text/plain", "done");
  });
  client_->say(headers(1, head_of("PATCH", "/a%20b/./c?x=1") + field("x-name", "value") +
                              field("cookie", "a=1") + field("cookie", "b=2")));
  const http2_answer& answer = client_->heard.answer(1);
  EXPECT_EQ(answer.status, 202);
  EXPECT_EQ(answer.body, "done");
  EXPECT_EQ(answer.fields.at("content-type"), "text/plain");
  EXPECT_EQ(answer.fields.at("content-length"), "4");
  EXPECT_EQ(answer.fields.at("x-answer"), "yes");
  EXPECT_EQ(answer.fields.count("date"), 1u);
  EXPECT_EQ(answer.fields.count("connection") + answer.fields.count("transfer-encoding"), 0u);
}

TEST_F(Http2Server, ARequestThatComesByteByByteIsUnderstood) {
  serve([](http_request& request, http_response& response) { response.send(request.read_body()); },
        "");
  for (const char c : hello() + post(1, "/") + data(1, "abc", no_flags) + data(1, "defg")) {
    client_->say({&c, 1});
    this_fiber::yield();
  }
  EXPECT_EQ(client_->heard.answer(1).body, "abcdefg");
}

TEST_F(Http2Server, AHundredHandlersRunAtATimeAndNoMore) {
  int entered = 0;
  event leave;
  serve([&](http_request&, http_response& response) {
    ++entered;
    EXPECT_TRUE(leave.wait_for(patience));
    response.send("ok");
  });
  for (std::uint32_t i = 0; i < 101; ++i) client_->say(get(2 * i + 1, "/"));
  EXPECT_EQ(client_->heard.answer(201).reset_code, NGHTTP2_REFUSED_STREAM);
  EXPECT_EQ(entered, 100);
  leave.set();
  for (std::uint32_t i = 0; i < 100; ++i) {
    EXPECT_EQ(client_->heard.answer(2 * i + 1).body, "ok") << i;
  }
}

TEST_F(Http2Server, AHandlerOutlivesItsStreamAndCountsUntilItEnds) {
  how_.http.http2_streams_max = 1;
  int entered = 0;
  event leave;
  serve([&](http_request&, http_response&) {
    ++entered;
    EXPECT_TRUE(leave.wait_for(patience));
  });
  client_->say(get(1, "/") + reset(1) + get(3, "/") + reset(3) + get(5, "/") +
               frame(NGHTTP2_PING, 0, 0, "12345678"));
  while (client_->heard.pings == 0) ASSERT_TRUE(client_->heard.take_frame());
  EXPECT_EQ(entered, 1);
  leave.set();
  EXPECT_EQ(client_->heard.answer(5).status, 200);
  EXPECT_EQ(entered, 2);  // nobody waits for the answer of the second
}

TEST_F(Http2Server, AnAnswerThatIsNotTakenStopsNoOther) {
  how_.http.write_timeout = 300ms;
  std::error_code failed_with;
  serve([&](http_request& request, http_response& response) {
    if (request.path() != "/big") return response.send(std::string(10'000, 'x'));
    try {
      response.send(std::string(200'000, 'x'));
    } catch (const std::system_error& e) {
      failed_with = e.code();
      throw;
    }
  });
  client_->say(window_update(0, 1 << 24) + get(1, "/big"));
  for (std::uint32_t stream = 3; stream < 23; stream += 2) {
    EXPECT_EQ(client_->ask(stream, "/").body.size(), 10'000u);
  }
  EXPECT_EQ(client_->heard.answers[1].body.size(), 65535u);  // its window
  EXPECT_EQ(client_->heard.answer(1).reset_code, NGHTTP2_CANCEL);
  EXPECT_EQ(failed_with, std::errc::timed_out);
  EXPECT_EQ(status_of("/"), 200);
}

TEST_F(Http2Server, TheRestOfAShortAnswerIsWaitedForNoLonger) {
  how_.http.write_timeout = 100ms;
  serve([](http_request&, http_response& response) { response.send("12345"); },
        std::string(http2_preface) + settings({{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 2}}));
  EXPECT_EQ(client_->ask(1, "/").reset_code, NGHTTP2_CANCEL);
  EXPECT_EQ(client_->heard.answers[1].body, "12");
}

TEST_F(Http2Server, ABodyThatIsNotReadStopsNoOther) {
  event leave;
  serve([&](http_request& request, http_response& response) {
    if (request.path() == "/wait") {
      EXPECT_TRUE(leave.wait_for(patience));
    }
    response.send(request.read_body());
  });
  const std::string part(16384, 'x');
  client_->say(post(1, "/wait"));
  for (int i = 0; i < 3; ++i) client_->say(data(1, part, no_flags));
  for (std::uint32_t stream = 3; stream < 43; stream += 2) {
    client_->say(post(stream, "/") + data(stream, part, no_flags) + data(stream, part) +
                 window_update(0, 32768));
    EXPECT_EQ(client_->heard.answer(stream).body.size(), 32768u);
  }
  EXPECT_EQ(client_->heard.windows.count(1), 0u);  // nothing of it was read
  leave.set();
  client_->say(data(1, "end"));
  EXPECT_EQ(client_->heard.answer(1).body.size(), 3 * 16384u + 3);
}

TEST_F(Http2Server, ThePartsOfAnAnswerAreOnTheirWayWhileTheHandlerGoesOn) {
  event seen;
  serve([&](http_request&, http_response& response) {
    response.write("first");
    EXPECT_TRUE(seen.wait_for(patience));
    response.write("second");
  });
  client_->say(get(1, "/"));
  while (client_->heard.answers[1].body != "first") ASSERT_TRUE(client_->heard.take_frame());
  EXPECT_FALSE(client_->heard.answers[1].is_complete);
  seen.set();
  EXPECT_EQ(client_->heard.answer(1).body, "firstsecond");
}

TEST_F(Http2Server, AnswersWithoutABodyEndWithTheirHead) {
  serve([](http_request& request, http_response& response) {
    if (request.path() == "/204") response.set_status(204);
    if (request.path() != "/nothing") response.send("12345");
  });
  client_->say(headers(1, head_of("HEAD", "/")) + get(3, "/204") + get(5, "/nothing"));
  EXPECT_EQ(client_->heard.answer(1).fields.at("content-length"), "5");
  EXPECT_EQ(client_->heard.answer(3).status, 204);
  EXPECT_EQ(client_->heard.answer(5).status, 200);
  for (const std::uint32_t stream : {1, 3, 5}) {
    EXPECT_EQ(client_->heard.answers[stream].body, "") << stream;
    EXPECT_FALSE(client_->heard.answers[stream].reset_code) << stream;
  }
}

TEST_F(Http2Server, AClientIsToldToGoOnWhenItsBodyIsAskedFor) {
  serve([](http_request& request, http_response& response) {
    response.send(request.path() == "/unread" ? "no" : request.read_body());
  });
  client_->say(post(1, "/", field("expect", "100-continue")));
  while (!client_->heard.answers[1].is_interim) ASSERT_TRUE(client_->heard.take_frame());
  client_->say(data(1, "abc"));
  EXPECT_EQ(client_->heard.answer(1).body, "abc");
  client_->say(post(3, "/unread", field("expect", "100-continue")));
  EXPECT_EQ(client_->heard.answer(3).body, "no");
  EXPECT_FALSE(client_->heard.answers[3].is_interim);
}

TEST_F(Http2Server, ABodyThatNobodyWantsIsStoppedAfterTheAnswer) {
  serve([](http_request& request, http_response& response) {
    if (request.path() == "/head") response.set_status(204);
    if (request.path() == "/text") response.send("no");
  });
  for (const auto& [stream, path] : {std::pair{1u, "/text"}, {3u, "/head"}, {5u, "/empty"}}) {
    client_->say(post(stream, path));
    EXPECT_TRUE(client_->heard.answer(stream).is_complete) << path;
    while (!client_->heard.answers[stream].reset_code) ASSERT_TRUE(client_->heard.take_frame());
    EXPECT_EQ(client_->heard.answers[stream].reset_code, NGHTTP2_NO_ERROR) << path;
  }
  client_->say(data(1, "too late"));
  EXPECT_EQ(status_of("/text"), 200);
}

TEST_F(Http2Server, WhatAHandlerThrowsBecomesTheAnswerOrTheEndOfItsStream) {
  int told = 0;
  how_.http.on_error = [&](const http_request&, std::exception_ptr) { ++told; };
  serve([](http_request& request, http_response& response) {
    if (request.path() == "/known") throw http_error(404, "no such thing");
    if (request.path() == "/upgrade") response.upgrade();
    if (request.path() == "/short") response.headers().set("Content-Length", "10");
    if (request.path() != "/early") response.write("12345");
    if (request.path() != "/short") throw std::runtime_error("a flaw");
  });
  EXPECT_EQ(client_->ask(1, "/known").body, "no such thing\n");
  EXPECT_EQ(client_->ask(3, "/early").status, 500);
  EXPECT_EQ(client_->ask(5, "/late").reset_code, NGHTTP2_INTERNAL_ERROR);
  EXPECT_EQ(client_->ask(7, "/short").reset_code, NGHTTP2_INTERNAL_ERROR);
  EXPECT_EQ(client_->ask(9, "/upgrade").status, 501);
  EXPECT_EQ(told, 2);
}

TEST_F(Http2Server, AStreamThatTheClientResetsFailsInItsHandlerOnly) {
  std::vector<std::error_code> failed_with;
  event entered;
  serve([&](http_request& request, http_response& response) {
    if (request.path() == "/") return;
    entered.set();
    try {
      while (request.path() == "/write") response.write(std::string(100'000, 'x'));
      request.read_body();
    } catch (const std::system_error& e) {
      failed_with.push_back(e.code());
      throw;
    }
  });
  client_->say(get(1, "/write") + post(3, "/read"));
  ASSERT_TRUE(entered.wait_for(patience));
  client_->say(reset(1) + reset(3));
  EXPECT_EQ(status_of("/"), 200);
  EXPECT_TRUE(eventually([&] { return failed_with.size() == 2; }));
  for (const std::error_code& ec : failed_with) EXPECT_EQ(ec, std::errc::connection_reset);
}

TEST_F(Http2Server, AClientThatGoesAwayFailsInAllHandlers) {
  int failed = 0;
  serve([&](http_request& request, http_response&) {
    try {
      request.read_body();
    } catch (const std::system_error&) {
      ++failed;
      throw;
    }
  });
  client_->say(post(1, "/") + post(3, "/") + window_update(0, 1));
  client_->connection.close();
  EXPECT_TRUE(eventually([&] { return failed == 2; }));
  EXPECT_TRUE(eventually([&] { return server_->counters().active == 0; }));
}

TEST_F(Http2Server, SlowClientsAreSentAway) {
  how_.http.idle_timeout = how_.http.header_timeout = how_.http.body_timeout = 100ms;
  serve([](http_request& request, http_response& response) { response.send(request.read_body()); });
  client_->say(post(1, "/") + data(1, "abc", no_flags));
  EXPECT_EQ(client_->heard.answer(1).status, 408);
  EXPECT_EQ(client_->heard.farewell(), NGHTTP2_NO_ERROR);  // idle
  client_->heard.take_all();
  http2_client slow(server_->local_address(),
                    hello() + headers(1, head_of("GET", "/"), end_stream));
  EXPECT_EQ(slow.heard.farewell(), NGHTTP2_ENHANCE_YOUR_CALM);
  http2_client silent(server_->local_address(), std::string(http2_preface));
  EXPECT_EQ(silent.heard.farewell(), NGHTTP2_ENHANCE_YOUR_CALM);
}

TEST_F(Http2Server, PingsAreAnsweredAndDoNotKeepAnIdleConnection) {
  how_.http.idle_timeout = 300ms;
  serve([](http_request&, http_response&) {});
  auto pinging = spawn([&] {
    std::error_code ec;
    while (!ec) {
      client_->connection.write_all(frame(NGHTTP2_PING, 0, 0, "12345678"), ec);
      this_fiber::sleep_for(10ms);
    }
  });
  EXPECT_EQ(client_->heard.farewell(), NGHTTP2_NO_ERROR);
  EXPECT_GT(client_->heard.pings, 0);
  pinging.kill();
}

TEST_F(Http2Server, AGracefulStopAnswersWhatWasAskedAndNothingElse) {
  event entered;
  event leave;
  serve([&](http_request&, http_response& response) {
    entered.set();
    EXPECT_TRUE(leave.wait_for(patience));
    response.send("last");
  });
  http2_client idle(server_->local_address());
  ASSERT_TRUE(idle.heard.take_frame());
  client_->say(get(1, "/"));
  ASSERT_TRUE(entered.wait_for(patience));
  auto stopping = spawn([&] { return server_->stop(patience); });
  EXPECT_EQ(idle.heard.farewell(), NGHTTP2_NO_ERROR);
  idle.heard.take_all();
  EXPECT_EQ(client_->heard.farewell(), NGHTTP2_NO_ERROR);
  EXPECT_EQ(client_->heard.goaway_stream, 1u);
  client_->say(get(3, "/"));
  EXPECT_FALSE(stopping.ready());
  leave.set();
  EXPECT_EQ(client_->heard.answer(1).body, "last");
  client_->heard.take_all();
  EXPECT_EQ(client_->heard.answers[3].status, 0);
  EXPECT_EQ(stopping.get(), 0u);
}

TEST_F(Http2Server, AGracefulStopOfSeveralWorkersLosesNoAnswer) {
  workers set(2);
  how_.connections.on = &set;
  serve([](http_request&, http_response& response) {
    coir::sleep(5ms);
    response.send("ok");
  });
  std::vector<std::unique_ptr<http2_client>> clients;
  for (int i = 0; i < 8; ++i) {
    clients.push_back(std::make_unique<http2_client>(server_->local_address()));
    for (std::uint32_t stream = 1; stream < 101; stream += 2) clients.back()->say(get(stream, "/"));
  }
  for (const auto& each : clients) EXPECT_EQ(each->heard.answer(1).body, "ok");
  auto stopping = spawn([&] { return server_->stop(patience); });
  for (const auto& each : clients) {
    EXPECT_EQ(each->heard.farewell(), NGHTTP2_NO_ERROR);
    each->heard.take_all();
    for (std::uint32_t stream = 1; stream <= each->heard.goaway_stream; stream += 2) {
      EXPECT_EQ(each->heard.answers[stream].body, "ok") << stream;
    }
  }
  EXPECT_EQ(stopping.get(), 0u);
  server_.reset();
}

TEST_F(Http2Server, AStopWithoutGraceEndsTheHandlers) {
  event entered;
  bool is_ended = false;
  serve([&](http_request&, http_response&) {
    const std::shared_ptr<void> at_end(nullptr, [&](void*) { is_ended = true; });
    entered.set();
    event().wait();
  });
  client_->say(get(1, "/"));
  ASSERT_TRUE(entered.wait_for(patience));
  EXPECT_EQ(server_->stop(), 1u);
  EXPECT_TRUE(is_ended);
}

TEST_F(Http2Server, AStreamNumberThatGoesBackIsPassedOver) {
  serve([](http_request&, http_response& response) { response.send("ok"); });
  EXPECT_EQ(client_->ask(5, "/").body, "ok");
  client_->say(get(3, "/"));
  EXPECT_EQ(client_->ask(7, "/").body, "ok");
  EXPECT_EQ(client_->heard.answers[3].status, 0);
}

TEST_F(Http2Server, TheLogHasALineForEachRequest) {
  std::vector<std::string> lines;
  how_.http.access_log = [&](std::string_view line) { lines.emplace_back(line); };
  serve([](http_request&, http_response& response) { response.send("12345"); });
  client_->ask(1, "/a\"b?c");
  ASSERT_TRUE(eventually([&] { return lines.size() == 1; }));
  EXPECT_TRUE(lines[0].starts_with("127.0.0.1 - - [")) << lines[0];
  EXPECT_TRUE(lines[0].ends_with("] \"GET /a\\\"b?c HTTP/2.0\" 200 5")) << lines[0];
}

TEST_F(Http2Server, RoutesAndFilesAreServedAsEver) {
  scratch_directory folder;
  std::ofstream(folder / "digits.txt") << "0123456789";
  http_router routes;
  routes.add("GET /files/{path...}", http_files(folder / ""));
  serve(routes);
  EXPECT_EQ(client_->ask(1, "/nowhere").status, 404);
  client_->say(headers(3, head_of("GET", "/files/digits.txt") + field("range", "bytes=2-4")));
  const http2_answer& part = client_->heard.answer(3);
  EXPECT_EQ(part.status, 206);
  EXPECT_EQ(part.body, "234");
  EXPECT_EQ(part.fields.at("content-range"), "bytes 2-4/10");
  client_->say(headers(
      5, head_of("GET", "/files/digits.txt") + field("if-none-match", part.fields.at("etag"))));
  EXPECT_EQ(client_->heard.answer(5).status, 304);
}

TEST_F(Http2Server, WithoutTheOptionTheVersionIsNotSupported) {
  how_.http.http2 = false;
  serve([](http_request&, http_response&) {});
  std::string all;
  char buffer[4096];
  while (const std::size_t n = client_->connection.read_some(buffer)) all.append(buffer, n);
  EXPECT_TRUE(all.starts_with("HTTP/1.1 505 ")) << all;
}

TEST_F(Http2Server, WhatOnlyBeginsLikeHttp2IsHttp1) {
  serve([](http_request&, http_response& response) { response.send("ok"); }, "");
  for (const char* sent : {"PRI * HTTP/2.0\r\n\r\nSM\r\n\rX", "PUT / HTTP/1.0\r\n\r\n"}) {
    tcp_stream raw = tcp_stream::connect(server_->local_address());
    raw.expires_after(patience);
    raw.write_all(sent);
    char buffer[12];
    raw.read_exactly(buffer);
    EXPECT_EQ(std::string_view(buffer, 12), sent[1] == 'R' ? "HTTP/1.1 505" : "HTTP/1.1 200");
  }
}

TEST(http2_options, MustLetSomeRequestPass) {
  http_server::options how;
  how.http.http2_streams_max = 0;
  EXPECT_THROW(http_server(
                   address::ipv4_loopback(), [](http_request&, http_response&) {}, how),
               std::invalid_argument);
}

}  // namespace
}  // namespace coir::net::test
