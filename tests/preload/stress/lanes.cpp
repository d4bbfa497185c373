#include "lanes.hpp"

#include "board.hpp"
#include "times.hpp"

#include <atomic>
#include <cerrno>

#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

namespace stress {
namespace {

/// One place with a flag, under a lock, with a condition.
class condition_lane : public lane {
 public:
  condition_lane(bool broadcasts, bool has_limit) : broadcasts_(broadcasts), has_limit_(has_limit) {
    pthread_condattr_t attributes;
    ::pthread_condattr_init(&attributes);
    ::pthread_condattr_setclock(&attributes, has_limit ? CLOCK_MONOTONIC : CLOCK_REALTIME);
    STRESS_CHECK(::pthread_cond_init(&changed_, &attributes) == 0);
    ::pthread_condattr_destroy(&attributes);
  }
  ~condition_lane() override {
    STRESS_CHECK(::pthread_cond_destroy(&changed_) == 0);
    STRESS_CHECK(::pthread_mutex_destroy(&lock_) == 0);
  }
  void put(std::uint64_t number) override {
    ::pthread_mutex_lock(&lock_);
    while (is_full_) wait();
    number_ = number;
    is_full_ = true;
    tell_and_unlock();
  }
  std::uint64_t take() override {
    ::pthread_mutex_lock(&lock_);
    while (!is_full_) wait();
    const std::uint64_t number = number_;
    is_full_ = false;
    tell_and_unlock();
    return number;
  }

 private:
  void wait() {
    if (!has_limit_) {
      STRESS_CHECK(::pthread_cond_wait(&changed_, &lock_) == 0);
      return;
    }
    const timespec until = time_in(CLOCK_MONOTONIC, 3'000'000);
    const int error = ::pthread_cond_timedwait(&changed_, &lock_, &until);
    STRESS_CHECK(error == 0 || error == ETIMEDOUT);
    if (error == ETIMEDOUT) STRESS_CHECK(is_past(CLOCK_MONOTONIC, until));
  }
  void tell_and_unlock() {
    if (!broadcasts_) ::pthread_cond_signal(&changed_);
    ::pthread_mutex_unlock(&lock_);
    // After the unlock only where the other side cannot destroy the condition meanwhile: it is
    // destroyed when both have ended.
    if (broadcasts_) ::pthread_cond_broadcast(&changed_);
  }

  pthread_mutex_t lock_ = PTHREAD_MUTEX_INITIALIZER;
  pthread_cond_t changed_;
  const bool broadcasts_;
  const bool has_limit_;
  bool is_full_ = false;
  std::uint64_t number_ = 0;
};

class semaphore_lane : public lane {
 public:
  explicit semaphore_lane(bool has_limit) : has_limit_(has_limit) {
    STRESS_CHECK(::sem_init(&free_, 0, 2) == 0 && ::sem_init(&full_, 0, 0) == 0);
  }
  ~semaphore_lane() override {
    ::sem_destroy(&free_);
    ::sem_destroy(&full_);
  }
  void put(std::uint64_t number) override {
    await(free_);
    places_[written_++ % 2] = number;
    STRESS_CHECK(::sem_post(&full_) == 0);
  }
  std::uint64_t take() override {
    await(full_);
    const std::uint64_t number = places_[read_++ % 2];
    STRESS_CHECK(::sem_post(&free_) == 0);
    return number;
  }

 private:
  void await(sem_t& semaphore) const {
    for (;;) {
      if (!has_limit_) {
        if (::sem_wait(&semaphore) == 0) return;
      } else {
        const timespec until = time_in(CLOCK_REALTIME, 2'000'000);
        if (::sem_timedwait(&semaphore, &until) == 0) return;
        if (errno == ETIMEDOUT) {
          STRESS_CHECK(is_past(CLOCK_REALTIME, until));
          continue;
        }
      }
      STRESS_CHECK(errno == EINTR);
    }
  }

  sem_t free_;
  sem_t full_;
  const bool has_limit_;
  std::uint64_t places_[2] = {};
  unsigned written_ = 0;
  unsigned read_ = 0;
};

/// Bytes that are checked: each number goes with what it must be, in pieces.
struct parcel {
  std::uint64_t number;
  unsigned char padding[9];

  void fill(std::uint64_t value) {
    number = value;
    for (unsigned i = 0; i < sizeof padding; ++i)
      padding[i] = static_cast<unsigned char>(value * 31 + i);
  }
  void check() const {
    parcel expected;
    expected.fill(number);
    for (unsigned i = 0; i < sizeof padding; ++i) STRESS_CHECK(padding[i] == expected.padding[i]);
  }
};

class stream_lane : public lane {
 public:
  enum class manner { plain, in_pieces, after_poll, after_epoll, vectors };

  stream_lane(bool is_socket, manner how) : how_(how) {
    if (is_socket) {
      STRESS_CHECK(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends_) == 0);
    } else {
      STRESS_CHECK(::pipe2(ends_, O_CLOEXEC) == 0);
    }
    if (how == manner::after_epoll) {
      epoll_ = ::epoll_create1(EPOLL_CLOEXEC);
      epoll_event wanted{};
      wanted.events = EPOLLIN;
      STRESS_CHECK(epoll_ >= 0 && ::epoll_ctl(epoll_, EPOLL_CTL_ADD, ends_[0], &wanted) == 0);
    }
  }
  ~stream_lane() override {
    ::close(ends_[0]);
    ::close(ends_[1]);
    if (epoll_ >= 0) ::close(epoll_);
  }
  void put(std::uint64_t number) override {
    parcel one;
    one.fill(number);
    const auto bytes = reinterpret_cast<const char*>(&one);
    const std::size_t piece = how_ == manner::in_pieces ? 5 : sizeof one;
    for (std::size_t sent = 0; sent < sizeof one;) {
      const std::size_t wanted = piece < sizeof one - sent ? piece : sizeof one - sent;
      const ssize_t count = ::write(ends_[1], bytes + sent, wanted);
      if (count < 0 && errno == EINTR) continue;
      STRESS_CHECK(count > 0);
      sent += static_cast<std::size_t>(count);
    }
  }
  std::uint64_t take() override {
    parcel one;
    auto const bytes = reinterpret_cast<char*>(&one);
    for (std::size_t got = 0; got < sizeof one;) {
      await();
      const ssize_t count = read_some(bytes + got, sizeof one - got);
      if (count < 0 && errno == EINTR) continue;
      STRESS_CHECK(count > 0);
      got += static_cast<std::size_t>(count);
    }
    one.check();
    return one.number;
  }

 private:
  void await() const {
    if (how_ == manner::after_poll) {
      pollfd waits[3] = {{-1, POLLIN, 0}, {ends_[0], POLLIN, 0}, {-1, POLLOUT, 0}};
      while (::poll(waits, 3, 2) <= 0) continue;
      STRESS_CHECK(waits[1].revents == POLLIN && waits[0].revents == 0);
    } else if (how_ == manner::after_epoll) {
      epoll_event event{};
      while (::epoll_wait(epoll_, &event, 1, -1) <= 0) STRESS_CHECK(errno == EINTR || errno == 0);
      STRESS_CHECK(event.events == EPOLLIN);
    }
  }
  ssize_t read_some(char* bytes, std::size_t count) const {
    if (how_ != manner::vectors) return ::read(ends_[0], bytes, count);
    const iovec parts[2] = {{bytes, count / 2}, {bytes + count / 2, count - count / 2}};
    return ::readv(ends_[0], parts, 2);
  }

  const manner how_;
  int ends_[2];
  int epoll_ = -1;
};

class eventfd_lane : public lane {
 public:
  eventfd_lane() : fd_(::eventfd(0, EFD_CLOEXEC)) { STRESS_CHECK(fd_ >= 0); }
  ~eventfd_lane() override { ::close(fd_); }
  void put(std::uint64_t number) override {
    // The counter adds up: the place must be empty, which the other side says.
    while (!is_empty_.load()) ::sched_yield();
    is_empty_.store(false);
    const std::uint64_t value = number + 1;
    STRESS_CHECK(::write(fd_, &value, sizeof value) == sizeof value);
  }
  std::uint64_t take() override {
    std::uint64_t value = 0;
    while (::read(fd_, &value, sizeof value) < 0) STRESS_CHECK(errno == EINTR);
    is_empty_.store(true);
    return value - 1;
  }

 private:
  const int fd_;
  std::atomic<bool> is_empty_{true};
};

/// One place with a word that says whether it is full; how to wait for the word differs.
class word_lane : public lane {
 public:
  enum class manner { raw_futex, spin, spin_with_yield };

  explicit word_lane(manner how) : how_(how) {}
  void put(std::uint64_t number) override {
    await(0);
    number_ = number;
    change(1);
  }
  std::uint64_t take() override {
    await(1);
    const std::uint64_t number = number_;
    change(0);
    return number;
  }

 private:
  void await(int value) {
    while (is_full_.load(std::memory_order_acquire) != value) {
      if (how_ == manner::raw_futex) {
        raw_futex(&is_full_, FUTEX_WAIT_PRIVATE, 1 - value);
      } else if (how_ == manner::spin_with_yield) {
        ::sched_yield();
      } else {
        __builtin_ia32_pause();
      }
    }
  }
  void change(int value) {
    is_full_.store(value, std::memory_order_release);
    if (how_ == manner::raw_futex) raw_futex(&is_full_, FUTEX_WAKE_PRIVATE, 1 << 30);
  }

  const manner how_;
  std::atomic<int> is_full_{};
  std::uint64_t number_ = 0;
};

}  // namespace

std::unique_ptr<lane> make_lane(random_numbers& random, bool may_spin) {
  using stream = stream_lane::manner;
  switch (random.below(may_spin ? 16 : 13)) {
    case 0:
      return std::make_unique<condition_lane>(false, false);
    case 1:
      return std::make_unique<condition_lane>(true, false);
    case 2:
      return std::make_unique<condition_lane>(false, true);
    case 3:
      return std::make_unique<condition_lane>(true, true);
    case 4:
      return std::make_unique<semaphore_lane>(false);
    case 5:
      return std::make_unique<semaphore_lane>(true);
    case 6:
      return std::make_unique<stream_lane>(false, stream::plain);
    case 7:
      return std::make_unique<stream_lane>(true, stream::in_pieces);
    case 8:
      return std::make_unique<stream_lane>(true, stream::after_poll);
    case 9:
      return std::make_unique<stream_lane>(false, stream::after_epoll);
    case 10:
      return std::make_unique<stream_lane>(true, stream::vectors);
    case 11:
      return std::make_unique<word_lane>(word_lane::manner::raw_futex);
    case 12:
      return std::make_unique<eventfd_lane>();
    case 13:
      return std::make_unique<word_lane>(word_lane::manner::spin);
    case 14:
      return std::make_unique<word_lane>(word_lane::manner::spin_with_yield);
    default:
      return std::make_unique<stream_lane>(false, stream::in_pieces);
  }
}

// Not through libc's syscall(), which somebody may have replaced.
long raw_futex(void* address, int operation, int value) {
  long result;
  register long timeout asm("r10") = 0;
  asm volatile("syscall"
               : "=a"(result)
               : "0"(static_cast<long>(SYS_futex)), "D"(address), "S"(static_cast<long>(operation)),
                 "d"(static_cast<long>(value)), "r"(timeout)
               : "rcx", "r11", "memory");
  return result;
}

}  // namespace stress
