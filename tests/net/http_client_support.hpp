/// What the tests of the HTTP client share: our own server, and servers that a test plays by hand.
#pragma once

#include "tests/net/support.hpp"

#include <functional>
#include <string>
#include <utility>

namespace coir::net::test {

/// Our own server, on a port of its own.
class local_server {
 public:
  explicit local_server(http_handler handler, const address& where = address::ipv4_loopback())
      : server_(where, std::move(handler)) {
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
inline std::string read_head(stream& s) {
  std::string head;
  char c = 0;
  while (!head.ends_with("\r\n\r\n") && s.read_some({&c, 1}) == 1) head += c;
  return head;
}

/// Answers each connection with the same bytes, and closes it.
inline scripted_server::script says(std::string answer) {
  return [answer = std::move(answer)](tcp_stream& s, int) {
    read_head(s);
    s.write_all(answer);
  };
}

inline http_client::options brief() {
  http_client::options how;
  how.connect_timeout = how.response_timeout = how.read_timeout = how.write_timeout = patience;
  return how;
}

inline std::string letters(std::size_t size) {
  std::string text(size, ' ');
  for (std::size_t i = 0; i < size; ++i) text[i] = static_cast<char>('a' + (i * i + i / 251) % 26);
  return text;
}

}  // namespace coir::net::test
