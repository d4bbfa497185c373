/// What the tests of servers share.
#pragma once

#include "tests/net/support.hpp"

#include <atomic>
#include <string>

#include <sys/resource.h>

namespace coir::net::test {

/// A connection to a server whose calls end in time.
template <class Stream = tcp_stream>
Stream client_of(const address& where) {
  Stream client = Stream::connect(where, patience);
  client.expires_after(patience);
  return client;
}

/// Sends `message` and returns as many bytes as come back for it.
inline std::string exchange(stream& client, std::string_view message) {
  client.write_all(message);
  std::string answer(message.size(), '\0');
  client.read_exactly(answer);
  return answer;
}

/// The handler that most tests use.
inline void echo(stream& client) {
  char buffer[512];
  std::error_code ec;
  while (const std::size_t size = client.read_some(buffer, ec)) {
    client.write_all({buffer, size}, ec);
  }
}

/// Waits, with a bound, until `condition()` is true; whether it came true.
template <class Condition>
bool eventually(Condition condition) {
  const stopwatch since;
  while (!condition()) {
    if (since.elapsed() > patience) return false;
    coir::sleep(1ms);
  }
  return true;
}

/// Whether the server has closed the connection: an end, or a reset.
inline bool is_ended(stream& client) {
  char byte;
  std::error_code ec;
  return client.read_some(mutable_buffer(&byte, 1), ec) == 0 && ec != std::errc::timed_out;
}

/// Whether nobody listens there.
template <class Stream = tcp_stream>
bool is_refused(const address& where) {
  std::error_code ec;
  Stream::connect(where, patience, ec);
  return ec == std::errc::connection_refused || ec == std::errc::no_such_file_or_directory;
}

/// While it lives the process may have no descriptors above those it has and `more`.
class few_descriptors {
 public:
  explicit few_descriptors(rlim_t more) {
    EXPECT_EQ(0, getrlimit(RLIMIT_NOFILE, &before_));
    const int next = dup(0);
    ::close(next);
    const rlimit tight{static_cast<rlim_t>(next) + more, before_.rlim_max};
    EXPECT_EQ(0, setrlimit(RLIMIT_NOFILE, &tight));
  }
  ~few_descriptors() { setrlimit(RLIMIT_NOFILE, &before_); }

 private:
  rlimit before_;
};

}  // namespace coir::net::test
