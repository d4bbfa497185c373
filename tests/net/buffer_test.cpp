#include "tests/net/support.hpp"

#include <array>
#include <span>

namespace coir::net::test {
namespace {

TEST(buffer, containers_of_bytes_are_buffers) {
  std::string text = "abc";
  std::vector<std::byte> bytes(5);
  std::array<unsigned char, 7> array{};
  char plain[9];
  EXPECT_EQ(3u, mutable_buffer(text).size());
  EXPECT_EQ(5u, mutable_buffer(bytes).size());
  EXPECT_EQ(7u, mutable_buffer(array).size());
  EXPECT_EQ(9u, mutable_buffer(plain).size());
  EXPECT_EQ(5u, const_buffer(std::span<const std::byte>(bytes)).size());
  EXPECT_EQ(bytes.data(), const_buffer(bytes).data());
}

TEST(buffer, literal_is_sent_without_its_nul) {
  EXPECT_EQ(5u, const_buffer("hello").size());
  EXPECT_EQ(3u, const_buffer(std::string_view("a\0b", 3)).size());
}

TEST(buffer, what_is_ambiguous_or_unsafe_does_not_compile) {
  EXPECT_FALSE((std::is_constructible_v<const_buffer, char(&)[9]>));
  EXPECT_FALSE((std::is_constructible_v<mutable_buffer, const std::string&>));
  EXPECT_FALSE((std::is_constructible_v<const_buffer, const std::vector<int>&>));
}

}  // namespace
}  // namespace coir::net::test
