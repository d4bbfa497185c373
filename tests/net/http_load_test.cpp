// The HTTP server under the load of tools that others made, wrk and ab: no error, and nothing is
// left over.
#include "tests/net/support.hpp"

#include <coir/metrics.hpp>
#include <coir/process.hpp>

#include <algorithm>
#include <string>
#include <vector>

namespace coir::net::test {
namespace {

const std::string large(300'000, 'x');

class http_load : public testing::Test {
 protected:
  http_load()
      : server_(address::ipv4_loopback(), [](http_request& asked, http_response& answer) {
          if (asked.path() == "/chunks") {
            for (int i = 0; i < 3; ++i) answer.write({large.data(), large.size() / 3});
          } else if (asked.has_body()) {
            answer.send("text/plain", std::to_string(asked.read_body().size()));
          } else {
            answer.send("text/plain", asked.path() == "/large" ? large : "hello\n");
          }
        }) {
    server_.start();
    descriptors_ = open_descriptors();
  }

  std::string url(const std::string& target) const {
    return "http://" + server_.local_address().to_string() + target;
  }

  /// What the tool says; fails when it does not end well.
  std::string load(std::vector<std::string> command) {
    const process_result done = run(command, {.error = child_stream::same_as_output()},
                                    {.timeout = std::chrono::seconds(30)});
    EXPECT_EQ(done.status, exit_status::of_exit(0)) << done.output;
    EXPECT_FALSE(done.timed_out);
    return done.output;
  }

  void load_by_wrk(const std::string& target, std::vector<std::string> options) {
    std::vector<std::string> command{COIR_TEST_WRK, "-t1", "-c50", "-d1s", "--timeout", "20"};
    command.insert(command.end(), options.begin(), options.end());
    command.push_back(url(target));
    const std::string told = load(command);
    EXPECT_EQ(told.npos, told.find("Socket errors")) << told;
    EXPECT_EQ(told.npos, told.find("Non-2xx")) << told;
    EXPECT_EQ(told.npos, told.find("\n  0 requests")) << told;
    EXPECT_NE(told.npos, told.find(" requests in ")) << told;
  }

  void load_by_ab(const std::string& target, std::vector<std::string> options) {
    std::vector<std::string> command{COIR_TEST_AB, "-q", "-n", "1000", "-c", "100"};
    command.insert(command.end(), options.begin(), options.end());
    command.push_back(url(target));
    const std::string told = load(command);
    EXPECT_NE(told.npos, told.find("Complete requests:      1000\n")) << told;
    EXPECT_NE(told.npos, told.find("Failed requests:        0\n")) << told;
    EXPECT_EQ(told.npos, told.find("Non-2xx")) << told;
  }

  /// The connections have ended, with their fibers and descriptors, and without a failure.
  void expect_nothing_left() {
    const auto alive = [] { return metrics().total.fibers_alive(); };
    for (stopwatch since; server_.counters().active != 0 && since.elapsed() < patience;) {
      sleep(5ms);
    }
    const server_counters counted = server_.counters();
    EXPECT_EQ(counted.active, 0u);
    EXPECT_EQ(counted.errors, 0u);
    EXPECT_EQ(counted.refused, 0u);
    EXPECT_EQ(counted.accept_failures, 0u);
    for (stopwatch since; alive() > fibers_ && since.elapsed() < patience;) sleep(5ms);
    EXPECT_LE(alive(), fibers_);
    EXPECT_LE(open_descriptors(), descriptors_ + 2);  // the first child made the worker some
  }

  http_server server_;
  std::size_t descriptors_ = 0;
  const std::uint64_t fibers_ = metrics().total.fibers_alive() + 1;  // the one that accepts
};

class http_load_by_wrk : public http_load {
 protected:
  void SetUp() override {
    if (COIR_TEST_WRK[0] != '/') GTEST_SKIP() << "wrk is not installed";
  }
};

class http_load_by_ab : public http_load {
 protected:
  void SetUp() override {
    if (COIR_TEST_AB[0] != '/') GTEST_SKIP() << "ab is not installed";
  }
};

TEST_F(http_load_by_wrk, is_borne_over_connections_that_are_kept) {
  load_by_wrk("/", {});
  expect_nothing_left();
  EXPECT_LE(server_.counters().accepted, 60u);
}

TEST_F(http_load_by_wrk, is_borne_over_a_connection_for_each_request) {
  load_by_wrk("/", {"-H", "Connection: close"});
  expect_nothing_left();
  EXPECT_LE(100u, server_.counters().accepted);
}

TEST_F(http_load_by_wrk, is_borne_with_large_answers_in_parts) {
  load_by_wrk("/chunks", {});
  expect_nothing_left();
}

TEST_F(http_load_by_ab, is_borne_over_connections_that_are_kept) {
  load_by_ab("/", {"-k"});
  load_by_ab("/large", {"-k"});
  expect_nothing_left();
  EXPECT_LE(server_.counters().accepted, 200u);
}

TEST_F(http_load_by_ab, is_borne_over_a_connection_for_each_request) {
  load_by_ab("/", {});
  load_by_ab("/large", {});
  expect_nothing_left();
  EXPECT_LE(2000u, server_.counters().accepted);  // ab opens some that it does not use
}

TEST_F(http_load_by_ab, is_borne_with_bodies) {
  const scratch_directory place;
  write_file(place / "body", large);
  load_by_ab("/", {"-k", "-p", place / "body", "-T", "text/plain"});
  load_by_ab("/", {"-p", place / "body", "-T", "text/plain"});
  expect_nothing_left();
}

}  // namespace
}  // namespace coir::net::test
