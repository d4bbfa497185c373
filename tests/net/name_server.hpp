/// A DNS server of the test's own, tests/net/name_server.py, which c-ares is told to ask.
#pragma once

#include "tests/net/support.hpp"
#include "tests/support/program.hpp"

#include <cstdlib>
#include <optional>
#include <string>
#include <vector>

namespace coir::net::test {

/// The server, for as long as it lives. Its names are told in the script.
class name_server : public testing::Environment {
 public:
  /// Before the first look-up: coir reads these settings once.
  void SetUp() override {
    server_.emplace(std::vector<std::string>{COIR_TEST_PYTHON, "-B", COIR_TEST_NAME_SERVER});
    ::setenv("COIR_RESOLVER", "ares", 1);
    ::setenv("COIR_NAME_SERVERS", ("127.0.0.1:" + server_->line()).c_str(), 1);
  }
  void TearDown() override {
    server_->close_input();  // which ends it
    EXPECT_TRUE(WIFEXITED(server_->exit_status()));
    server_.reset();
  }

 private:
  std::optional<coir::test::program> server_;
};

}  // namespace coir::net::test
