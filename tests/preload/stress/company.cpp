/// Operations that a worker performs with threads that it makes for the purpose.
#include "board.hpp"
#include "operations.hpp"
#include "times.hpp"

#include <cerrno>

#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

namespace stress {
namespace {

void join_all(std::vector<started>& threads) {
  doing("joins", threads.size());
  for (started& one : threads) finish_well(one);
}

/// Many wait for one condition, in vain or with success; each broadcast reaches all.
void wake_a_crowd(worker& me) {
  struct {
    pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
    int generation = 0;
    int waiting = 0;
  } shared;
  const int size = me.random.between(2, 8);
  const int rounds = me.random.between(1, 4);
  std::vector<started> crowd;
  for (int i = 0; i < size; ++i)
    crowd.push_back(start(some_making(me.random), "one of a crowd", i, [&shared, rounds] {
      ::pthread_mutex_lock(&shared.lock);
      for (int wanted = 1; wanted <= rounds; ++wanted) {
        doing("waits for generation", static_cast<std::uint64_t>(wanted));
        ++shared.waiting;
        while (shared.generation < wanted)
          STRESS_CHECK(::pthread_cond_wait(&shared.changed, &shared.lock) == 0);
        STRESS_CHECK(shared.generation == wanted);
      }
      ::pthread_mutex_unlock(&shared.lock);
    }));
  for (int round = 1; round <= rounds; ++round) {
    doing("awaits a crowd in generation", static_cast<std::uint64_t>(round));
    for (bool is_complete = false; !is_complete;) {
      ::pthread_mutex_lock(&shared.lock);
      is_complete = shared.waiting == size;
      if (is_complete) {
        shared.waiting = 0;
        shared.generation = round;
        ::pthread_cond_broadcast(&shared.changed);
      }
      ::pthread_mutex_unlock(&shared.lock);
      if (!is_complete) nap(20'000);
    }
  }
  join_all(crowd);
  ::pthread_cond_destroy(&shared.changed);
}

/// A condition that nobody signals.
void wait_in_vain(worker& me) {
  pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
  pthread_cond_t never = PTHREAD_COND_INITIALIZER;
  doing("waits in vain for a condition");
  const timespec until = time_in(CLOCK_REALTIME, me.random.between(0, 3'000'000));
  ::pthread_mutex_lock(&lock);
  int error = 0;
  while (error == 0) error = ::pthread_cond_timedwait(&never, &lock, &until);
  STRESS_CHECK(error == ETIMEDOUT && is_past(CLOCK_REALTIME, until));
  STRESS_CHECK(::pthread_mutex_trylock(&lock) == EBUSY);
  ::pthread_mutex_unlock(&lock);
}

void meet_at_barrier(worker& me) {
  const int size = me.random.between(2, 6);
  const int rounds = me.random.between(1, 8);
  pthread_barrier_t barrier;
  STRESS_CHECK(::pthread_barrier_init(&barrier, nullptr, static_cast<unsigned>(size)) == 0);
  std::atomic<int> arrivals{};
  std::atomic<int> serial{};
  const auto meet = [&barrier, &arrivals, &serial, size, rounds] {
    for (int round = 1; round <= rounds; ++round) {
      doing("waits at a barrier, round", static_cast<std::uint64_t>(round));
      arrivals.fetch_add(1);
      const int result = ::pthread_barrier_wait(&barrier);
      STRESS_CHECK(result == 0 || result == PTHREAD_BARRIER_SERIAL_THREAD);
      if (result != 0) serial.fetch_add(1);
      STRESS_CHECK(arrivals.load() >= round * size);
    }
  };
  std::vector<started> others;
  for (int i = 1; i < size; ++i)
    others.push_back(start(some_making(me.random), "at a barrier", i, meet));
  meet();
  join_all(others);
  STRESS_CHECK(arrivals.load() == rounds * size && serial.load() == rounds);
  STRESS_CHECK(::pthread_barrier_destroy(&barrier) == 0);
}

void make_and_join(worker& me) {
  std::atomic<int> done{};
  std::vector<started> threads;
  const int size = me.random.between(1, 6);
  for (int i = 0; i < size; ++i) {
    const int manner = me.random.below(4);
    threads.push_back(start(some_making(me.random), "to be joined", i, [&done, manner] {
      done.fetch_add(1);
      if (manner == 1) nap(100'000);
      if (manner == 2) ::sched_yield();
      if (manner == 3) {
        doing("calls pthread_exit");
        ::pthread_exit(nullptr);
      }
    }));
  }
  if (me.random.one_in(2)) nap(me.random.between(1, 200'000));
  join_all(threads);
  STRESS_CHECK(done.load() == size);
}

void make_detached(worker& me) {
  doing("makes a detached thread");
  world& shared = me.shared;
  shared.detached.fetch_add(1);
  const std::int64_t ns = me.random.between(0, 1'000'000);
  start_detached(some_making(me.random), "detached", 0, [&shared, ns] {
    if (ns > 500'000) nap(ns);
    shared.detached.fetch_sub(1);
  });
}

/// Bytes come from several descriptors in any order; poll says from which.
void poll_several(worker& me) {
  constexpr int count = 4;
  int ends[count][2];
  std::vector<started> writers;
  const int bytes = me.random.between(1, 6);
  for (int i = 0; i < count; ++i) {
    if (i % 2 == 0) {
      STRESS_CHECK(::pipe2(ends[i], O_CLOEXEC) == 0);
    } else {
      STRESS_CHECK(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends[i]) == 0);
    }
    const int fd = ends[i][1];
    const std::int64_t pause = me.random.between(1, 300'000);
    writers.push_back(start(some_making(me.random), "writer", i, [fd, i, bytes, pause] {
      for (int sent = 0; sent < bytes; ++sent) {
        if (sent % 2 == 0) nap(pause);
        doing("writes byte", static_cast<std::uint64_t>(sent));
        const char byte = static_cast<char>(i * 16 + sent);
        STRESS_CHECK(::write(fd, &byte, 1) == 1);
      }
      ::close(fd);
    }));
  }
  doing("polls several");
  pollfd waits[count];
  int got[count] = {};
  for (int i = 0; i < count; ++i) waits[i] = {ends[i][0], POLLIN, 0};
  for (int open = count; open > 0;) {
    const int limit_ms = me.random.between(-1, 3);
    const std::int64_t start = now_ns();
    const int ready = ::poll(waits, count, limit_ms);
    if (ready == 0) {
      STRESS_CHECK(limit_ms >= 0 && now_ns() - start >= limit_ms * 1'000'000);
      continue;
    }
    STRESS_CHECK(ready > 0);
    for (int i = 0; i < count; ++i) {
      if (waits[i].revents == 0) continue;
      char byte = 0;
      const ssize_t size = ::read(waits[i].fd, &byte, 1);
      if (size == 0) {
        waits[i].fd = -1;
        --open;
        continue;
      }
      STRESS_CHECK(size == 1 && byte == static_cast<char>(i * 16 + got[i]));
      ++got[i];
    }
  }
  join_all(writers);
  for (int i = 0; i < count; ++i) {
    STRESS_CHECK(got[i] == bytes);
    ::close(ends[i][0]);
  }
}

/// Threads that wait where nothing can see it, for a word that the worker changes.
void wait_out_of_sight(worker& me) {
  std::atomic<int> word{};
  std::vector<started> waiters;
  const int size = me.random.between(1, 5);
  for (int i = 0; i < size; ++i)
    waiters.push_back(start(some_making(me.random), "out of sight", i, [&word] {
      doing("waits with a futex of its own");
      while (word.load() == 0) raw_futex(&word, FUTEX_WAIT_PRIVATE, 0);
    }));
  nap(me.random.between(1, 500'000));
  word.store(1);
  raw_futex(&word, FUTEX_WAKE_PRIVATE, 1 << 30);
  join_all(waiters);
}

/// Waits for the progress of another thread without any call.
void spin_for_another(worker& me) {
  std::atomic<int> progress{};
  const int steps = me.random.between(1, 4);
  started other = start(some_making(me.random), "makes progress", 0, [&progress, steps] {
    for (int i = 0; i < steps; ++i) {
      ::sched_yield();
      progress.fetch_add(1);
    }
  });
  doing("spins for another's progress");
  while (progress.load(std::memory_order_acquire) < steps) __builtin_ia32_pause();
  finish_well(other);
}

void race_for_once(worker& me) {
  static std::atomic<int>* calls;  // pthread_once gives no argument
  static pthread_mutex_t one_race_at_a_time = PTHREAD_MUTEX_INITIALIZER;
  doing("waits for its race for once");
  ::pthread_mutex_lock(&one_race_at_a_time);
  std::atomic<int> count{};
  calls = &count;
  pthread_once_t once = PTHREAD_ONCE_INIT;
  std::vector<started> racers;
  for (int i = me.random.between(2, 5); i > 0; --i)
    racers.push_back(start(some_making(me.random), "races for once", i, [&once, &count] {
      ::pthread_once(&once, [] {
        nap(50'000);
        calls->fetch_add(1);
      });
      STRESS_CHECK(count.load() == 1);
    }));
  join_all(racers);
  ::pthread_mutex_unlock(&one_race_at_a_time);
  STRESS_CHECK(count.load() == 1);
}

constexpr operation all[] = {
    {"crowd", 2, wake_a_crowd},          {"in vain", 2, wait_in_vain},
    {"barrier", 2, meet_at_barrier},     {"join", 4, make_and_join},
    {"detach", 3, make_detached},        {"poll", 2, poll_several},
    {"raw futex", 1, wait_out_of_sight}, {"spin", 1, spin_for_another},
    {"once", 1, race_for_once},
};

}  // namespace

std::span<const operation> company_operations() { return all; }

}  // namespace stress
