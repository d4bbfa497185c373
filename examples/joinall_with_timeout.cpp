// Waits for several fibers, but not for ever: who is not done by then is killed.

#include "common/command_line.hpp"

#include <coir/coir.hpp>

#include <chrono>
#include <cstdio>
#include <string_view>
#include <vector>

namespace {

using std::chrono::milliseconds;

constexpr char usage[] =
    "usage: joinall_with_timeout LIMIT LENGTH...\n"
    "Starts a fiber for each LENGTH, which works for so many seconds, and waits for all of them,\n"
    "LIMIT seconds at most. Says what has come of each, and kills those that still work.\n";

struct work {
  milliseconds limit;
  std::vector<milliseconds> lengths;
};

work parse(int argc, char** argv) {
  if (argc < 3) throw example::usage_error("LIMIT and at least one LENGTH are needed");
  work result{example::seconds("LIMIT", argv[1]), {}};
  for (int i = 2; i < argc; ++i) result.lengths.push_back(example::seconds("LENGTH", argv[i]));
  return result;
}

double in_seconds(milliseconds length) { return std::chrono::duration<double>(length).count(); }

int run(const work& todo) {
  std::vector<coir::fiber<double>> fibers;
  for (const milliseconds length : todo.lengths) {
    fibers.push_back(coir::spawn([length] {
      coir::sleep(length);
      return in_seconds(length);
    }));
  }
  const std::size_t done = coir::joinall(fibers, todo.limit);
  std::printf("%zu of %zu were done after %g s\n", done, fibers.size(), in_seconds(todo.limit));

  std::vector<coir::fiber<double>> late;
  for (auto& each : fibers) {
    if (each.ready()) {
      std::printf("done: %g\n", each.get());
    } else {
      std::printf("late\n");
      late.push_back(each);
    }
  }
  coir::killall(late);
  std::size_t ended = 0;
  for (const auto& each : fibers) ended += each.ready();
  std::printf("%zu of %zu have ended\n", ended, fibers.size());
  return ended == fibers.size() ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  return example::run_main("joinall_with_timeout", usage, [&] {
    const bool is_help = argc == 2 && std::string_view(argv[1]) == "--help";
    return is_help ? example::show_help(usage) : run(parse(argc, argv));
  });
}
