// Datagrams to a socket that takes no more: readiness is announced, and false.
#include "runtime/io/io.hpp"
#include "tests/runtime/support.hpp"

#include <sys/un.h>
#include <time.h>

namespace coir::test {
namespace {

using full_receiver_test = runtime_test;
using detail::deadline_after;

/// A unix datagram socket whose queue is full. One who is not connected to it is told that he may
/// write, and then fails with EAGAIN.
class full_receiver {
 public:
  full_receiver() {
    size_ = sizeof(sa_family_t);  // the kernel chooses a name
    EXPECT_EQ(::bind(socket_.get(), peer(), size_), 0);
    size_ = sizeof address_;
    EXPECT_EQ(::getsockname(socket_.get(), reinterpret_cast<sockaddr*>(&address_), &size_), 0);
    // A filler ends at its own limit or at the queue's; who cannot send at all met the queue's.
    for (int i = 0; i < 64 && fill_from_one() > 0; ++i) {
    }
  }

  int fd() const { return socket_.get(); }
  const sockaddr* peer() const { return reinterpret_cast<const sockaddr*>(&address_); }
  socklen_t size() const { return size_; }
  long send_from(int fd, io::wait_mode mode) const {
    return io::sendto(fd, "x", 1, 0, peer(), size_, mode);
  }
  void drain() const {
    char byte;
    while (::recv(fd(), &byte, 1, MSG_DONTWAIT) > 0) {
    }
  }

 private:
  int fill_from_one() {
    fillers_.emplace_back(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    int sent = 0;
    while (::sendto(fillers_.back().get(), "x", 1, MSG_DONTWAIT, peer(), size_) == 1) ++sent;
    return sent;
  }

  descriptor socket_{::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
  sockaddr_un address_{.sun_family = AF_UNIX, .sun_path = {}};
  socklen_t size_ = 0;
  std::vector<descriptor> fillers_;
};

std::chrono::nanoseconds processor_time() {
  timespec used{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
  return std::chrono::seconds(used.tv_sec) + std::chrono::nanoseconds(used.tv_nsec);
}

TEST_F(full_receiver_test, a_datagram_waits_for_its_deadline_without_burning_the_processor) {
  const full_receiver receiver;
  const descriptor sender(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  const stopwatch watch;
  const auto before = processor_time();
  EXPECT_EQ(receiver.send_from(sender.get(), {deadline_after(500ms)}), -ETIMEDOUT);
  expect_took(watch, 500ms);
  EXPECT_LT(processor_time() - before, 100ms);
}

TEST_F(full_receiver_test, a_datagram_goes_out_once_there_is_room) {
  const full_receiver receiver;
  const descriptor sender(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  fiber<long> f = spawn([&] { return receiver.send_from(sender.get(), {deadline_after(10s)}); });
  sleep(30ms);  // long enough for it to have stopped believing in readiness
  EXPECT_FALSE(f.ready());
  receiver.drain();
  EXPECT_EQ(f.get(), 1);
}

TEST_F(full_receiver_test, a_datagram_ends_with_a_kill_or_a_close) {
  const full_receiver receiver;
  for (const bool is_closed : {false, true}) {
    descriptor sender(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    long result = 0;
    fiber<> f = spawn([&] { passed(result = receiver.send_from(sender.get(), {})); });
    sleep(30ms);
    EXPECT_FALSE(f.ready());
    if (is_closed) {
      EXPECT_EQ(io::close(sender.release()), 0);
    } else {
      f.kill(false);
    }
    EXPECT_TRUE(f.join_for(10s));
    EXPECT_EQ(result, is_closed ? -EBADF : -ECANCELED);
  }
}

}  // namespace
}  // namespace coir::test
