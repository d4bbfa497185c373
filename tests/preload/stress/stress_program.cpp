/// A threaded program that knows nothing of coir and proves itself right: rounds of random
/// operations by many threads, whose totals must be exact in the end. What each thread does is a
/// function of the seed, the number of the round and the number of the thread.
///
///   stress_program --seed N [--seconds S | --rounds N] [--from ROUND] [--only OPERATION]
///                  [--except OPERATION] [--threads N] [--board FILE]
#include "board.hpp"
#include "interruptions.hpp"
#include "operations.hpp"
#include "times.hpp"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

namespace stress {
namespace {

struct options {
  std::uint64_t seed = 1;
  long seconds = 5;
  int rounds = 0;  ///< 0: as many as there is time for
  int from = 0;
  int threads = 0;  ///< 0: by the seed
  std::vector<std::string> only;
  std::vector<std::string> except;
};

class choice {
 public:
  explicit choice(const options& wanted) {
    for (const auto family :
         {lock_operations(), company_operations(), interruption_operations(), process_operations()})
      for (const operation& one : family)
        if (is_wanted(wanted, one)) weighted_.insert(weighted_.end(), one.weight, &one);
    if (!weighted_.empty()) return;
    std::fputs("no operation is called so\n", stderr);
    std::exit(2);
  }
  const operation& some(random_numbers& random) const {
    return *weighted_[static_cast<std::size_t>(random.below(static_cast<int>(weighted_.size())))];
  }

 private:
  static bool is_in(const std::vector<std::string>& names, const operation& one) {
    for (const std::string& name : names)
      if (name == one.name) return true;
    return false;
  }
  static bool is_wanted(const options& wanted, const operation& one) {
    return (wanted.only.empty() || is_in(wanted.only, one)) && !is_in(wanted.except, one);
  }

  std::vector<const operation*> weighted_;
};

constexpr int operations_of_a_round = 3000;

void work(worker& me, const choice& operations, int count) {
  for (int i = 0; i < count; ++i) {
    const operation& next = operations.some(me.random);
    next.perform(me);
    check_identity();
    me.shared.operations.fetch_add(1);
  }
}

void run_round(const options& wanted, const choice& operations, int round) {
  set_round(wanted.seed, round);
  const std::int64_t began = now_ns();
  const long started_before = threads_started();
  random_numbers random(wanted.seed, static_cast<std::uint64_t>(round) << 32);
  const int size = wanted.threads > 0 ? wanted.threads : random.between(50, 200);
  const int count = operations_of_a_round / size;
  world shared(random);
  std::vector<started> workers;
  for (int i = 0; i < size; ++i) {
    const making how = some_making(random);
    const std::uint64_t part = (static_cast<std::uint64_t>(round) << 32) + 1 + i;
    workers.push_back(start(how, "worker", i, [&shared, &operations, &wanted, how, part, count] {
      worker me{shared, random_numbers(wanted.seed, part), how};
      work(me, operations, count);
    }));
  }
  doing("joins the workers");
  for (started& one : workers) finish_well(one);
  shared.finish_and_check();
  STRESS_CHECK(shared.operations.load() == static_cast<long>(size) * count);
  check_signals();
  std::printf("round %d: %d workers, %ld threads, %ld operations, %lld ms\n", round, size,
              threads_started() - started_before, shared.operations.load(),
              static_cast<long long>((now_ns() - began) / 1'000'000));
  std::fflush(stdout);
}

options read_options(int count, char** arguments) {
  options wanted;
  for (int i = 1; i + 1 < count; i += 2) {
    const std::string name = arguments[i];
    const char* const value = arguments[i + 1];
    if (name == "--seed")
      wanted.seed = std::strtoull(value, nullptr, 10);
    else if (name == "--seconds")
      wanted.seconds = std::atol(value);
    else if (name == "--rounds")
      wanted.rounds = std::atoi(value);
    else if (name == "--from")
      wanted.from = std::atoi(value);
    else if (name == "--threads")
      wanted.threads = std::atoi(value);
    else if (name == "--only")
      wanted.only.emplace_back(value);
    else if (name == "--except")
      wanted.except.emplace_back(value);
    else if (name == "--board")
      open_board(value);
    else
      std::fprintf(stderr, "unknown: %s\n", arguments[i]), std::exit(2);
  }
  return wanted;
}

}  // namespace
}  // namespace stress

int main(int count, char** arguments) {
  using namespace stress;
  const options wanted = read_options(count, arguments);
  std::printf("seed %llu\n", static_cast<unsigned long long>(wanted.seed));
  std::fflush(stdout);
  enter_board("main", 0, false);
  install_handlers();
  const choice operations(wanted);
  const std::int64_t end = now_ns() + wanted.seconds * 1'000'000'000;
  int round = wanted.from;
  do {
    run_round(wanted, operations, round);
    ++round;
  } while (wanted.rounds > 0 ? round < wanted.from + wanted.rounds : now_ns() < end);
  std::puts("all totals are exact");
  return 0;
}
