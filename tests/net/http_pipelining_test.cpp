// Answers to requests that came together: they may go out together, but none waits for a handler.
#include "tests/net/support.hpp"

#include <coir/net/http_server.hpp>

#include <memory>
#include <string>

namespace coir::net::test {
namespace {

/// A server of this process, on this worker, and a raw client of it.
class HttpPipelining : public testing::Test {
 protected:
  void serve(http_handler handler) {
    server_ = std::make_unique<http_server>(address::ipv4_loopback(), std::move(handler), how_);
    server_->start();
    client_ = tcp_stream::connect(server_->local_address());
    client_.expires_after(patience);
  }
  static std::string get(const std::string& target) {
    return "GET " + target + " HTTP/1.1\r\nHost: h\r\n\r\n";
  }
  /// Reads until `end` has come.
  std::string read_until(const std::string& end) {
    std::string all;
    while (all.find(end) == std::string::npos) {
      char c;
      client_.read_exactly({&c, 1});
      all += c;
    }
    return all;
  }

  /// Sends requests, and ends when the server has gone.
  fiber<> send_many() {
    return spawn([&] {
      std::error_code ec;
      std::string many;
      for (int i = 0; i < 4000; ++i) many += get("/");
      client_.write_all(many, ec);
    });
  }

  http_server::options how_;
  std::unique_ptr<http_server> server_;
  tcp_stream client_;
};

TEST_F(HttpPipelining, AnAnswerGoesOutWhileTheHandlerOfTheNextRequestWaits) {
  event may_answer;
  serve([&](http_request& request, http_response& response) {
    if (request.path() == "/waits") may_answer.wait();
    response.send("text/plain", std::string(request.path()) + "!");
  });
  client_.write_all(get("/1") + get("/2") + get("/waits") + get("/4"));
  EXPECT_NE(read_until("/2!").find("/1!"), std::string::npos);
  may_answer.set();
  EXPECT_NE(read_until("/4!").find("/waits!"), std::string::npos);
}

TEST_F(HttpPipelining, AnAnswerGoesOutBeforeTheBodyOfTheNextRequestHasCome) {
  serve([](http_request& request, http_response& response) {
    response.send("text/plain", std::string(request.path()) + request.read_body());
  });
  client_.write_all(get("/1") + "PUT /2 HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\na");
  read_until("/1");
  client_.write_all(std::string("b") + get("/3") + "GET /4");
  read_until("/2ab");
  read_until("/3");
  client_.write_all(" HTTP/1.1\r\nHost: h\r\n\r\n");
  read_until("/4");
}

TEST_F(HttpPipelining, AnswersOfManySizesComeWholeAndInOrder) {
  serve([](http_request& request, http_response& response) {
    const auto number = std::stoul(std::string(request.path().substr(1)));
    if (number % 7 == 3) this_fiber::yield();
    if (number % 11 == 5) sleep(std::chrono::microseconds(50));
    std::string body(number * 7919 % 20011, static_cast<char>('a' + number % 26));
    if (number % 5 != 0) return response.send("text/plain", body);
    response.write(body);
    response.write("+");
  });
  constexpr unsigned count = 600;
  fiber<> writer = spawn([&] {
    std::string all;
    for (unsigned i = 0; i < count; ++i) all += get('/' + std::to_string(i));
    client_.write_all(all);
  });
  for (unsigned i = 0; i < count; ++i) {
    std::string body(i * 7919 % 20011, static_cast<char>('a' + i % 26));
    const std::string head = read_until("\r\n\r\n");
    ASSERT_TRUE(head.starts_with("HTTP/1.1 200 OK\r\n")) << i;
    if (i % 5 == 0) {
      char size[16];
      std::snprintf(size, sizeof size, "%zx\r\n", body.size());
      body = (body.empty() ? "" : size + body + "\r\n") + "1\r\n+\r\n0\r\n\r\n";
    }
    std::string got(body.size(), '\0');
    client_.read_exactly(got);
    ASSERT_EQ(got, body) << i;
  }
  writer.join();
}

TEST_F(HttpPipelining, AStopEndsAConnectionWhoseClientTakesNoHeldAnswers) {
  int begun = 0;
  serve([&](http_request&, http_response& response) {
    ++begun;
    response.send("text/plain", std::string(16000, 'x'));
    this_fiber::yield();  // what is held goes out meanwhile
  });
  fiber<> writer = send_many();
  for (int before = -1; begun != before; sleep(std::chrono::milliseconds(20))) before = begun;
  EXPECT_EQ(server_->stop(std::chrono::seconds(0)), 1U);
  writer.join();
}

TEST_F(HttpPipelining, AConnectionWhoseClientTakesNoHeldAnswersIsGivenUp) {
  how_.http.write_timeout = std::chrono::milliseconds(100);
  event is_lost;
  serve([&](http_request&, http_response& response) {
    try {
      response.send("text/plain", std::string(16000, 'x'));
      this_fiber::yield();  // what is held goes out meanwhile
    } catch (const std::system_error&) {
      is_lost.set();
      throw;
    }
  });
  fiber<> writer = send_many();
  EXPECT_TRUE(is_lost.wait_for(patience));
  writer.join();
}

}  // namespace
}  // namespace coir::net::test
