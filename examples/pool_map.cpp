// A pool of two maps a function over a list: two calls run at a time, the third waits for a place.

#include "common/command_line.hpp"

#include <coir/coir.hpp>

#include <chrono>
#include <cstdio>
#include <vector>

namespace {

using namespace std::chrono_literals;
using std::chrono::steady_clock;

constexpr std::size_t pool_size = 2;
constexpr auto work_time = 100ms;

constexpr char usage[] =
    "usage: pool_map [NUMBER...]\n"
    "Squares each number (1 2 3 4 5 when none is given) in a pool of 2 fibers. Each square takes\n"
    "0.1 s, so that one sees who waits for whom.\n";

class slow_squares {
 public:
  /// Squares `item` in work_time, and prints when that began and ended.
  long operator()(long item) {
    say("start", item);
    coir::this_fiber::sleep_for(work_time);
    say("end", item);
    return item * item;
  }

 private:
  void say(const char* what, long item) const {
    const std::chrono::duration<double> time = steady_clock::now() - begin_;
    std::printf("%.3f s  %-5s %ld\n", time.count(), what, item);
  }

  steady_clock::time_point begin_ = steady_clock::now();
};

std::vector<long> parse(int argc, char** argv) {
  constexpr long limit = 1'000'000'000;  // its square fits
  std::vector<long> items;
  for (int i = 1; i < argc; ++i) items.push_back(example::number("NUMBER", argv[i], -limit, limit));
  return items.empty() ? std::vector<long>{1, 2, 3, 4, 5} : items;
}

int run(const std::vector<long>& items) {
  coir::pool workers(pool_size);
  const std::vector<long> squares = workers.map(slow_squares(), items);
  std::printf("squares:");
  for (long square : squares) std::printf(" %ld", square);
  std::printf("\n");
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  return example::run_main("pool_map", usage, [&] {
    const bool is_help = argc == 2 && std::string_view(argv[1]) == "--help";
    return is_help ? example::show_help(usage) : run(parse(argc, argv));
  });
}
