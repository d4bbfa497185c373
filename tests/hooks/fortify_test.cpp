// Compiled with _FORTIFY_SOURCE, so that the calls below become __read_chk and its like;
// fortify_imports checks that they did.
#include "tests/hooks/support.hpp"

#include <poll.h>

namespace {

using namespace coir::testing;

/// Hides a number from the compiler, which otherwise sees that the call fits its buffer and leaves
/// the check out.
template <class T>
T opaque(T value) {
  volatile T hidden = value;
  return hidden;
}

TEST(FortifiedCalls, AreCooperative) {
  socket_pair pair;
  auto serve = [&](auto wait) {
    auto waiter = coir::spawn(wait);
    let_others_park();
    EXPECT_FALSE(waiter.ready());
    EXPECT_EQ(1, ::write(pair[1], "x", 1));
    EXPECT_EQ(1, waiter.get_for(patience));
  };
  // Each with a buffer of its own, whose size the compiler sees.
  serve([&] {
    char data[16];
    return ::read(pair[0], data, opaque<size_t>(8));
  });
  serve([&] {
    char data[16];
    return ::recv(pair[0], data, opaque<size_t>(8), 0);
  });
  serve([&] {
    char data[16];
    return ::recvfrom(pair[0], data, opaque<size_t>(8), 0, nullptr, nullptr);
  });
  serve([&] {
    pollfd fds[2] = {{pair[0], POLLIN, 0}, {-1, 0, 0}};
    return ::poll(fds, opaque<nfds_t>(2), -1);
  });
  char byte;
  EXPECT_EQ(1, ::read(pair[0], &byte, 1));
  serve([&] {
    pollfd fds[2] = {{pair[0], POLLIN, 0}, {-1, 0, 0}};
    return ::ppoll(fds, opaque<nfds_t>(2), nullptr, nullptr);
  });
}

TEST(FortifiedCalls, ReadFilesAtAPosition) {
  char name[] = "/tmp/coir-hooks-XXXXXX";
  descriptor file(::mkstemp(name));
  ::unlink(name);
  ASSERT_EQ(6, ::write(file.fd, "abcdef", 6));
  char data[16];
  EXPECT_EQ(3, ::pread(file.fd, data, opaque<size_t>(3), 1));
  EXPECT_EQ("bcd", std::string(data, 3));
  EXPECT_EQ(2, ::pread64(file.fd, data, opaque<size_t>(16), 4));
  EXPECT_EQ("ef", std::string(data, 2));
}

TEST(FortifiedCallsDeathTest, EndAProgramThatWouldOverflowItsBuffer) {
  char data[4];
  pollfd one[1] = {};
  EXPECT_DEATH((void)!::read(-1, data, opaque<size_t>(5)), "buffer overflow");
  EXPECT_DEATH((void)!::recv(-1, data, opaque<size_t>(5), 0), "buffer overflow");
  EXPECT_DEATH((void)!::recvfrom(-1, data, opaque<size_t>(5), 0, nullptr, nullptr),
               "buffer overflow");
  EXPECT_DEATH((void)!::pread(-1, data, opaque<size_t>(5), 0), "buffer overflow");
  EXPECT_DEATH((void)!::pread64(-1, data, opaque<size_t>(5), 0), "buffer overflow");
  EXPECT_DEATH((void)!::poll(one, opaque<nfds_t>(2), 0), "buffer overflow");
  EXPECT_DEATH((void)!::ppoll(one, opaque<nfds_t>(2), nullptr, nullptr), "buffer overflow");
}

}  // namespace
