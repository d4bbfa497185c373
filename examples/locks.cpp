// Many fibers add to one counter, with a pause between reading and writing it.
//
// Fibers of one thread never run at the same time, so ++counter needs no lock. A lock is needed
// where a wait lies between looking and acting, as here: without one most of the additions are
// lost.

#include "common/command_line.hpp"

#include <coir/coir.hpp>

#include <cstdio>
#include <functional>
#include <mutex>
#include <vector>

namespace {

constexpr char usage[] =
    "usage: locks [--fibers N] [--rounds N]\n"
    "N fibers (10) add 1 to a counter N times (100) each: without a lock, with a mutex, and with "
    "a\n"
    "recursive mutex that a function takes again which is called with the lock held.\n";

struct options {
  int fibers = 10;
  int rounds = 100;
};

options parse(int argc, char** argv) {
  options result;
  example::command_line line;
  line.number("fibers", result.fibers, 2, 10'000).number("rounds", result.rounds, 1, 10'000);
  line.parse(argc, argv);
  return result;
}

/// A counter whose every addition waits in the middle, as one in a database would.
class slow_counter {
 public:
  void add_one() {
    const int seen = value_;
    coir::yield();
    value_ = seen + 1;
  }
  int value() const { return value_; }

 private:
  int value_ = 0;
};

/// A counter that may be used with its lock held or not.
class shared_counter {
 public:
  void add_two() {
    std::lock_guard guard(lock_);
    add_one();
    add_one();
  }
  void add_one() {
    std::lock_guard guard(lock_);
    counter_.add_one();
  }
  int value() const { return counter_.value(); }

 private:
  coir::recursive_mutex lock_;
  slow_counter counter_;
};

/// Calls `add` so often from so many fibers.
void add_from_all(const options& how, const std::function<void()>& add) {
  std::vector<coir::fiber<>> fibers;
  for (int i = 0; i < how.fibers; ++i) {
    fibers.push_back(coir::spawn([&] {
      for (int round = 0; round < how.rounds; ++round) add();
    }));
  }
  coir::joinall(fibers);
  for (auto& each : fibers) each.get();
}

int run(const options& how) {
  const int expected = how.fibers * how.rounds;

  slow_counter unlocked;
  add_from_all(how, [&] { unlocked.add_one(); });
  std::printf("without a lock:     %d of %d\n", unlocked.value(), expected);

  slow_counter locked;
  coir::mutex lock;
  add_from_all(how, [&] {
    std::lock_guard guard(lock);
    locked.add_one();
  });
  std::printf("mutex:              %d of %d\n", locked.value(), expected);

  shared_counter nested;
  add_from_all(how, [&] { nested.add_two(); });
  std::printf("recursive mutex:    %d of %d\n", nested.value(), 2 * expected);
  return unlocked.value() < expected && locked.value() == expected && nested.value() == 2 * expected
             ? 0
             : 1;
}

}  // namespace

int main(int argc, char** argv) {
  return example::run_main("locks", usage, [&] { return run(parse(argc, argv)); });
}
