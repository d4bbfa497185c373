// Ways to use a lock wrongly, and what coir says to each: an exception that names the mistake, at
// the place where it is made, instead of a program that hangs.

#include "common/command_line.hpp"

#include <coir/coir.hpp>

#include <cstdio>
#include <exception>
#include <functional>
#include <mutex>

namespace {

constexpr char usage[] =
    "usage: lock_misuse\n"
    "Makes four mistakes with locks and prints what is reported of each.\n";

/// Makes a mistake; true when it was reported.
template <class Mistake>
bool is_reported(const char* what, Mistake mistake) {
  std::printf("%s:\n", what);
  try {
    mistake();
  } catch (const std::exception& e) {
    std::printf("  %s\n", e.what());
    return true;
  }
  std::puts("  nothing was said");
  return false;
}

void unlock_what_another_holds() {
  coir::mutex lock;
  std::lock_guard guard(lock);
  coir::spawn([&] { lock.unlock(); }).get();
}

void lock_twice() {
  coir::mutex lock;
  std::lock_guard first(lock);
  std::lock_guard second(lock);
}

void release_too_often() {
  coir::bounded_semaphore one_place(1);
  one_place.release();
}

void lock_crosswise() {
  coir::mutex a;
  coir::mutex b;
  auto take_both = [](coir::mutex& first, coir::mutex& second) {
    std::lock_guard one(first);
    coir::yield();
    std::lock_guard other(second);
  };
  auto forwards = coir::spawn({.name = "forwards"}, take_both, std::ref(a), std::ref(b));
  auto backwards = coir::spawn({.name = "backwards"}, take_both, std::ref(b), std::ref(a));
  try {
    forwards.join();
  } catch (const coir::deadlock&) {
    backwards.kill();  // the locks must outlive those who wait for them
    forwards.join();
    throw;
  }
}

int run() {
  coir::backend();
  int reported = 0;
  reported += is_reported("unlocking what another fiber holds", unlock_what_another_holds);
  reported += is_reported("locking a mutex twice", lock_twice);
  reported += is_reported("releasing a bounded semaphore too often", release_too_often);
  reported += is_reported("taking two locks crosswise", lock_crosswise);
  std::printf("%d of 4 mistakes were reported\n", reported);
  return reported == 4 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  return example::run_main("lock_misuse", usage, [&] {
    example::command_line().parse(argc, argv);
    return run();
  });
}
