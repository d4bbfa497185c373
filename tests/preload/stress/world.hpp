/// What the threads of one round share, and what must hold of it in the end.
#pragma once

#include "lanes.hpp"
#include "random.hpp"
#include "threads.hpp"

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include <pthread.h>
#include <semaphore.h>

namespace stress {

/// Two numbers that are equal whenever nobody is inside, under a lock of some kind.
struct guarded {
  pthread_mutex_t lock;
  int type = 0;  ///< PTHREAD_MUTEX_...
  volatile std::uint64_t first = 0;
  volatile std::uint64_t second = 0;
  std::atomic<std::uint64_t> entries{};  ///< what both must be in the end

  guarded(int mutex_type);
  ~guarded();
};

struct guarded_by_readers {
  pthread_rwlock_t lock;
  volatile std::uint64_t first = 0;
  volatile std::uint64_t second = 0;
  std::atomic<std::uint64_t> entries{};
  std::atomic<int> readers{};

  guarded_by_readers();
  ~guarded_by_readers();
};

/// No more than `count` threads at a time.
struct permits {
  sem_t free;
  const int count;
  std::atomic<int> inside{};

  explicit permits(int count);
  ~permits();
};

/// A queue of limited length between all workers and its own consumers.
class bounded_queue {
 public:
  bounded_queue(std::size_t length, making how, int consumers, int number);
  void put(std::uint64_t number);
  void finish_and_check();

 private:
  void consume();

  const std::size_t length_;
  pthread_mutex_t lock_ = PTHREAD_MUTEX_INITIALIZER;
  pthread_cond_t has_room_ = PTHREAD_COND_INITIALIZER;
  pthread_cond_t has_some_ = PTHREAD_COND_INITIALIZER;
  std::deque<std::uint64_t> numbers_;
  bool is_closed_ = false;
  std::atomic<std::uint64_t> sum_put_{};
  std::atomic<std::uint64_t> sum_taken_{};
  std::vector<started> consumers_;
};

/// A thread that answers questions, one at a time.
class answerer {
 public:
  answerer(random_numbers& random, making how, int number);
  /// Checks the answer.
  void ask(std::uint64_t number);
  void finish_and_check();

 private:
  void serve();

  pthread_mutex_t turn_ = PTHREAD_MUTEX_INITIALIZER;
  std::unique_ptr<lane> questions_;
  std::unique_ptr<lane> answers_;
  std::uint64_t asked_ = 0;
  std::uint64_t answered_ = 0;
  started thread_;
};

struct world {
  std::vector<std::unique_ptr<guarded>> locks;
  std::vector<std::unique_ptr<guarded_by_readers>> tables;
  std::vector<std::unique_ptr<permits>> gates;
  std::vector<std::unique_ptr<bounded_queue>> queues;
  std::vector<std::unique_ptr<answerer>> answerers;
  std::atomic<long> detached{};  ///< detached threads that have still to say that they are through
  std::atomic<long> operations{};

  explicit world(random_numbers& random);
  /// After all workers have been joined.
  void finish_and_check();
};

/// One thread that performs operations.
struct worker {
  world& shared;
  random_numbers random;
  making how;
};

/// Most threads are ordinary.
inline making some_making(random_numbers& random) {
  return random.one_in(6) ? making::native : making::ordinary;
}

}  // namespace stress
