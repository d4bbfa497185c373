#include "runtime/kernel/environment.hpp"

#include "tests/runtime/support.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <cstdlib>
#include <string>

namespace coir::test {
namespace {

constexpr char variable[] = "COIR_TEST_NUMBER";

class environment_test : public testing::Test {
 protected:
  void TearDown() override { ::unsetenv(variable); }

  /// What is read where numbers from 2 to 100 are allowed and 7 is the default.
  std::uint64_t read(const char* text) {
    ::setenv(variable, text, 1);
    testing::internal::CaptureStderr();
    const std::uint64_t number = kernel::number_said(variable, 2, 100, 7);
    said_ = testing::internal::GetCapturedStderr();
    return number;
  }
  std::string said_;
};

TEST_F(environment_test, a_number_within_the_bounds_is_taken) {
  for (const char* text : {"2", "50", "100", "007"}) {
    EXPECT_EQ(read(text), std::strtoull(text, nullptr, 10)) << text;
    EXPECT_EQ(said_, "");
  }
}

TEST_F(environment_test, without_a_text_it_is_the_default) {
  EXPECT_EQ(read(""), 7U);
  EXPECT_EQ(said_, "");
  ::unsetenv(variable);
  EXPECT_EQ(kernel::number_said(variable, 2, 100, 7), 7U);
  EXPECT_EQ(kernel::text_said(variable), nullptr);
}

TEST_F(environment_test, anything_else_is_reported_with_what_is_used_instead) {
  for (const char* text : {"1", "101", "-5", "+5", " 5", "5 ", "5x", "x", "0x10", "5.0",
                           "18446744073709551616", "99999999999999999999999999"}) {
    EXPECT_EQ(read(text), 7U) << text;
    EXPECT_NE(said_.find("COIR_TEST_NUMBER=" + std::string(text) +
                         " is no number from 2 to 100; using 7"),
              std::string::npos)
        << said_;
  }
}

TEST_F(environment_test, the_largest_number_there_is_can_be_read) {
  ::setenv(variable, "18446744073709551615", 1);
  EXPECT_EQ(kernel::number_said(variable, 0, ~std::uint64_t{0}, 7), ~std::uint64_t{0});
}

}  // namespace
}  // namespace coir::test
