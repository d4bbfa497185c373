#include "tests/hooks/support.hpp"

#include <coir/hooks.hpp>

#include <cstring>
#include <vector>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/uio.h>
#include <sys/un.h>

extern "C" {
int __connect(int, const sockaddr*, socklen_t);
ssize_t __send(int, const void*, size_t, int);
}

namespace {

using namespace coir::testing;

sockaddr* generic(sockaddr_in& address) { return reinterpret_cast<sockaddr*>(&address); }

sockaddr_in loopback(in_port_t port = 0) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = port;
  return address;
}

/// A TCP or UDP socket bound to a port of its own.
struct bound_socket : descriptor {
  explicit bound_socket(int type) : descriptor(::socket(AF_INET, type, 0)) {
    sockaddr_in any_port = loopback();
    EXPECT_EQ(0, ::bind(fd, generic(any_port), sizeof any_port));
    socklen_t size = sizeof address;
    EXPECT_EQ(0, ::getsockname(fd, generic(address), &size));
  }
  sockaddr_in address{};
};

struct listener : bound_socket {
  listener() : bound_socket(SOCK_STREAM) { EXPECT_EQ(0, ::listen(fd, 16)); }
};

void set_receive_timeout(int fd, std::chrono::milliseconds timeout) {
  const timeval t{timeout.count() / 1000, timeout.count() % 1000 * 1000};
  ASSERT_EQ(0, ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t));
}

TEST(SocketHooks, AreInForceInAProgramThatLinksThem) { EXPECT_TRUE(coir::hooks::active()); }

TEST(SocketHooks, TwoFibersBlockedInRecvMakeProgressTogether) {
  socket_pair a, b;
  std::string got_a, got_b;
  auto receive = [](int fd, std::string& got) {
    char data[16];
    const ssize_t n = ::recv(fd, data, sizeof data, 0);
    if (n > 0) got.assign(data, static_cast<std::size_t>(n));
  };
  auto first = coir::spawn([&] { receive(a[0], got_a); });
  auto second = coir::spawn([&] { receive(b[0], got_b); });
  let_others_park();
  EXPECT_FALSE(first.ready());
  EXPECT_FALSE(second.ready());
  EXPECT_EQ(3, ::send(b[1], "two", 3, 0));
  EXPECT_TRUE(second.join_for(patience));
  EXPECT_FALSE(first.ready());
  EXPECT_EQ(3, ::__send(a[1], "one", 3, 0));
  EXPECT_TRUE(first.join_for(patience));
  EXPECT_EQ("one", got_a);
  EXPECT_EQ("two", got_b);
}

TEST(SocketHooks, SendOfMoreThanFitsParksUntilAllIsSent) {
  socket_pair pair;
  std::vector<char> sent(4 << 20);
  for (std::size_t i = 0; i < sent.size(); ++i) sent[i] = static_cast<char>(i * 31 >> 3);
  std::vector<char> got;
  auto reader = coir::spawn([&] {
    std::vector<char> piece(70'000);
    for (ssize_t n; (n = ::recv(pair[1], piece.data(), piece.size(), 0)) > 0;) {
      got.insert(got.end(), piece.begin(), piece.begin() + n);
    }
  });
  EXPECT_EQ(static_cast<ssize_t>(sent.size()), ::send(pair[0], sent.data(), sent.size(), 0));
  EXPECT_EQ(0, ::shutdown(pair[0], SHUT_WR));
  ASSERT_TRUE(reader.join_for(patience));
  EXPECT_EQ(sent, got);
}

TEST(SocketHooks, AcceptAndConnectMeetInOneThread) {
  listener server;
  std::string got;
  sockaddr_in peer{};
  auto acceptor = coir::spawn([&] {
    socklen_t size = sizeof peer;
    descriptor accepted(::accept(server.fd, generic(peer), &size));
    char data[8];
    const ssize_t n = ::recv(accepted.fd, data, sizeof data, MSG_WAITALL);
    got.assign(data, static_cast<std::size_t>(std::max<ssize_t>(n, 0)));
    EXPECT_EQ(4, ::send(accepted.fd, "back", 4, 0));
  });
  let_others_park();
  EXPECT_FALSE(acceptor.ready());
  descriptor client(::socket(AF_INET, SOCK_STREAM, 0));
  ASSERT_EQ(0, ::connect(client.fd, generic(server.address), sizeof server.address));
  ASSERT_EQ(4, ::send(client.fd, "half", 4, 0));
  let_others_park();
  ASSERT_EQ(4, ::send(client.fd, "half", 4, 0));
  char data[8];
  EXPECT_EQ(4, ::recv(client.fd, data, sizeof data, 0));
  ASSERT_TRUE(acceptor.join_for(patience));
  EXPECT_EQ("halfhalf", got);
  EXPECT_EQ(htonl(INADDR_LOOPBACK), peer.sin_addr.s_addr);
}

TEST(SocketHooks, Accept4AppliesItsFlagsAndWorksOnUnixSockets) {
  descriptor server(::socket(AF_UNIX, SOCK_STREAM, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;  // without a path the kernel picks an abstract name
  auto* generic_address = reinterpret_cast<sockaddr*>(&address);
  ASSERT_EQ(0, ::bind(server.fd, generic_address, sizeof(sa_family_t)));
  socklen_t size = sizeof address;
  ASSERT_EQ(0, ::getsockname(server.fd, generic_address, &size));
  ASSERT_EQ(0, ::listen(server.fd, 4));
  auto acceptor = coir::spawn([&] {
    descriptor accepted(::accept4(server.fd, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    EXPECT_TRUE(::fcntl(accepted.fd, F_GETFL) & O_NONBLOCK);
    EXPECT_TRUE(::fcntl(accepted.fd, F_GETFD) & FD_CLOEXEC);
    char byte;
    return call([&] { return ::recv(accepted.fd, &byte, 1, 0); });
  });
  let_others_park();
  descriptor client(::socket(AF_UNIX, SOCK_STREAM, 0));
  ASSERT_EQ(0, ::__connect(client.fd, generic_address, size));
  const outcome seen = acceptor.get_for(patience);
  EXPECT_EQ(-1, seen.result);
  EXPECT_EQ(EAGAIN, seen.error);
}

TEST(SocketHooks, ConnectReportsRefusalAndNonBlockingProgress) {
  sockaddr_in nobody;
  { nobody = bound_socket(SOCK_STREAM).address; }
  descriptor blocking(::socket(AF_INET, SOCK_STREAM, 0));
  const outcome refused =
      call([&] { return ::connect(blocking.fd, generic(nobody), sizeof nobody); });
  EXPECT_EQ(-1, refused.result);
  EXPECT_EQ(ECONNREFUSED, refused.error);

  listener server;
  descriptor eager(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
  const outcome begun =
      call([&] { return ::connect(eager.fd, generic(server.address), sizeof server.address); });
  if (begun.result < 0) {
    EXPECT_EQ(EINPROGRESS, begun.error);
  }
}

TEST(SocketHooks, DatagramsCarryTheirSender) {
  bound_socket a(SOCK_DGRAM), b(SOCK_DGRAM);
  sockaddr_in from{};
  auto receiver = coir::spawn([&] {
    char data[16];
    socklen_t size = sizeof from;
    const ssize_t n = ::recvfrom(b.fd, data, sizeof data, 0, generic(from), &size);
    return std::string(data, static_cast<std::size_t>(std::max<ssize_t>(n, 0)));
  });
  let_others_park();
  EXPECT_FALSE(receiver.ready());
  EXPECT_EQ(5, ::sendto(a.fd, "hello", 5, 0, generic(b.address), sizeof b.address));
  EXPECT_EQ("hello", receiver.get_for(patience));
  EXPECT_EQ(a.address.sin_port, from.sin_port);
}

TEST(SocketHooks, MessagesGatherAndScatter) {
  socket_pair pair(SOCK_SEQPACKET);
  char head[2], tail[8];
  auto receiver = coir::spawn([&] {
    iovec parts[] = {{head, sizeof head}, {tail, sizeof tail}};
    msghdr message{};
    message.msg_iov = parts;
    message.msg_iovlen = 2;
    return ::recvmsg(pair[0], &message, 0);
  });
  let_others_park();
  char one[] = "abc", two[] = "de";
  iovec parts[] = {{one, 3}, {two, 2}};
  msghdr message{};
  message.msg_iov = parts;
  message.msg_iovlen = 2;
  EXPECT_EQ(5, ::sendmsg(pair[1], &message, 0));
  EXPECT_EQ(5, receiver.get_for(patience));
  EXPECT_EQ("ab", std::string(head, 2));
  EXPECT_EQ("cde", std::string(tail, 3));
}

/// `Count` messages of one buffer each.
template <int Count>
struct message_batch {
  message_batch() {
    for (int i = 0; i < Count; ++i) {
      parts[i] = {buffers[i], sizeof buffers[i]};
      messages[i].msg_hdr.msg_iov = &parts[i];
      messages[i].msg_hdr.msg_iovlen = 1;
    }
  }
  std::string text(int i) const { return {buffers[i], messages[i].msg_len}; }
  char buffers[Count][8]{};
  iovec parts[Count];
  mmsghdr messages[Count]{};
};

TEST(SocketHooks, ManyMessagesAreReceivedUntilTheCountIsReached) {
  socket_pair pair(SOCK_DGRAM);
  message_batch<3> in;
  auto receiver = coir::spawn([&] { return ::recvmmsg(pair[0], in.messages, 3, 0, nullptr); });
  let_others_park();
  message_batch<2> out;
  std::memcpy(out.buffers[0], "first", 5);
  std::memcpy(out.buffers[1], "second", 6);
  out.parts[0].iov_len = 5;
  out.parts[1].iov_len = 6;
  EXPECT_EQ(2, ::sendmmsg(pair[1], out.messages, 2, 0));
  EXPECT_EQ(6U, out.messages[1].msg_len);
  let_others_park();
  EXPECT_FALSE(receiver.ready());
  EXPECT_EQ(5, ::send(pair[1], "third", 5, 0));
  EXPECT_EQ(3, receiver.get_for(patience));
  EXPECT_EQ("first", in.text(0));
  EXPECT_EQ("second", in.text(1));
  EXPECT_EQ("third", in.text(2));
}

TEST(SocketHooks, WaitForOneReturnsWithWhatIsThere) {
  socket_pair pair(SOCK_DGRAM);
  message_batch<3> in;
  auto receiver =
      coir::spawn([&] { return ::recvmmsg(pair[0], in.messages, 3, MSG_WAITFORONE, nullptr); });
  let_others_park();
  EXPECT_FALSE(receiver.ready());
  EXPECT_EQ(3, ::send(pair[1], "one", 3, 0));
  EXPECT_EQ(1, receiver.get_for(patience));
  EXPECT_EQ("one", in.text(0));

  const timespec bad{0, -1};
  timespec limit = bad;
  const outcome refused = call([&] { return ::recvmmsg(pair[0], in.messages, 1, 0, &limit); });
  EXPECT_EQ(-1, refused.result);
  EXPECT_EQ(EINVAL, refused.error);
}

TEST(SocketHooks, ANonBlockingSocketStaysOneAndSaysAgain) {
  socket_pair pair(SOCK_STREAM | SOCK_NONBLOCK);
  const int flags = ::fcntl(pair[0], F_GETFL);
  char byte;
  const outcome seen = call([&] { return ::recv(pair[0], &byte, 1, 0); });
  EXPECT_EQ(-1, seen.result);
  EXPECT_EQ(EAGAIN, seen.error);
  EXPECT_EQ(flags, ::fcntl(pair[0], F_GETFL));

  listener server;
  ASSERT_EQ(0, ::fcntl(server.fd, F_SETFL, O_NONBLOCK));
  const outcome accepted = call([&] { return ::accept(server.fd, nullptr, nullptr); });
  EXPECT_EQ(-1, accepted.result);
  EXPECT_EQ(EAGAIN, accepted.error);
}

TEST(SocketHooks, ABlockingSocketStaysBlocking) {
  socket_pair pair;
  const int flags = ::fcntl(pair[0], F_GETFL);
  ASSERT_FALSE(flags & O_NONBLOCK);
  auto receiver = coir::spawn([&] {
    char byte;
    return ::recv(pair[0], &byte, 1, 0);
  });
  let_others_park();
  EXPECT_EQ(flags, ::fcntl(pair[0], F_GETFL)) << "while a fiber waits";
  EXPECT_EQ(1, ::send(pair[1], "x", 1, 0));
  EXPECT_EQ(1, receiver.get_for(patience));
  EXPECT_EQ(flags, ::fcntl(pair[0], F_GETFL));
}

TEST(SocketHooks, DontWaitDoesNotPark) {
  socket_pair pair;
  char byte;
  const outcome seen = call([&] { return ::recv(pair[0], &byte, 1, MSG_DONTWAIT); });
  EXPECT_EQ(-1, seen.result);
  EXPECT_EQ(EAGAIN, seen.error);
}

TEST(SocketHooks, TheReceiveTimeoutOfASocketIsKeptWhileOthersRun) {
  socket_pair pair;
  set_receive_timeout(pair[0], 50ms);
  bystander other;
  stopwatch watch;
  char byte;
  const outcome seen = call([&] { return ::recv(pair[0], &byte, 1, 0); });
  EXPECT_EQ(-1, seen.result);
  EXPECT_EQ(EAGAIN, seen.error);
  EXPECT_GE(watch.elapsed(), 49ms);
  EXPECT_LT(watch.elapsed(), patience);
  EXPECT_GT(other.turns(), 5);

  listener server;
  set_receive_timeout(server.fd, 20ms);
  const outcome accepted = call([&] { return ::accept(server.fd, nullptr, nullptr); });
  EXPECT_EQ(-1, accepted.result);
  EXPECT_EQ(EAGAIN, accepted.error);
}

TEST(SocketHooks, ErrnoIsUntouchedBySuccessAndByOtherFibers) {
  socket_pair pair;
  constexpr int marker = 4711;
  auto receiver = coir::spawn([&] {
    char byte;
    errno = marker;
    const ssize_t n = ::recv(pair[0], &byte, 1, 0);
    const int after = errno;
    EXPECT_EQ(1, n);
    return after;
  });
  let_others_park();
  char byte;
  const outcome failed = call([&] { return ::recv(-1, &byte, 1, 0); });
  EXPECT_EQ(EBADF, failed.error);
  EXPECT_EQ(1, ::send(pair[1], "x", 1, 0));
  EXPECT_EQ(marker, receiver.get_for(patience)) << "errno is the fiber's own over a park";
}

}  // namespace
