// The mix of workers_test.cpp, without what comes from outside, under seeds that pick the schedule:
// the same seed gives the same run, in one process and in another.
#include "tests/stress/workers_mix.hpp"

#include <coir/replay.hpp>

#include <array>
#include <string>

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

namespace coir::test {
namespace {

using workers_replay_test = runtime_test;

/// What can be seen of one run.
struct outcome {
  replay_report report;
  std::array<long, 6> books{};
  bool operator==(const outcome&) const = default;
};

/// Some fibers act for so long of virtual time, and are killed now and then.
void act_for(const workers_mix& mix, dice d, milliseconds length) {
  std::vector<fiber<>> actors(4);
  const auto begin = [&] {
    return mix.spawn_somewhere(d, [mix, seed = d.fork()] { mix.live(dice(seed)); });
  };
  for (auto& actor : actors) actor = begin();
  const auto end = clock::now() + length;
  while (clock::now() < end) {
    sleep(d.short_time(2000));
    fiber<>& victim = actors[static_cast<std::size_t>(d.roll(static_cast<int>(actors.size())))];
    if (d.roll(20) == 0) mix.w.set.kill(false);
    victim.kill();
    ++mix.w.kills;
    victim = begin();
  }
  mix.w.is_over = true;
  EXPECT_EQ(joinall(actors, 1h), actors.size()) << "a fiber hangs";
}

outcome run_of(std::uint32_t seed) {
  outcome seen;
  seen.report = replay({.seed = seed}, [&] {
    dice d(seed);
    workers_world w(static_cast<std::size_t>(2 + d.roll(7)));
    act_for({w, act_inside}, dice(d.fork()), 5ms);
    EXPECT_TRUE(w.set.join_for(1h)) << "a fiber of the set hangs";
    while (fiber_count() > 0) sleep(1ms);
    expect_balance(w);
    seen.books = {w.actions, w.spawned, w.kills, w.limits, w.put, w.sent};
  });
  return seen;
}

TEST_F(workers_replay_test, the_same_seed_gives_the_same_run_and_books_balance_under_all_seeds) {
  const std::uint32_t first = stress_seed() % 1'000'000;
  const stopwatch watch;
  int runs = 0;
  std::uint64_t steps = 0;
  for (std::uint32_t seed = first; runs < scaled(300) && watch.elapsed() < 2 * stress_length();
       ++seed, ++runs) {
    const outcome one = run_of(seed);
    ASSERT_EQ(one.report, run_of(seed).report) << "seed " << seed;
    ASSERT_EQ(one.books, run_of(seed).books) << "seed " << seed;
    ASSERT_FALSE(HasFailure()) << "seed " << seed;
    steps += one.report.steps;
  }
  EXPECT_GT(runs, 0);
  EXPECT_GT(steps, 100u);
  std::printf("%d seeds, %llu steps\n", runs, static_cast<unsigned long long>(steps));
}

/// The path of this program.
std::string own_path() {
  char path[4096];
  const ssize_t size = ::readlink("/proc/self/exe", path, sizeof path);
  return std::string(path, size > 0 ? static_cast<std::size_t>(size) : 0);
}

/// What a fresh process prints that runs the test below with that seed.
std::string run_in_a_process(std::uint32_t seed) {
  pipe_ends out = make_pipe();
  const std::string program = own_path();
  const std::string wanted = std::to_string(seed);
  const pid_t child = ::fork();
  if (child == 0) {
    ::setenv("COIR_STRESS_SEED", wanted.c_str(), 1);
    ::setenv("COIR_TEST_PRINTS_ITS_RUN", "1", 1);
    ::dup2(out.writer.get(), STDOUT_FILENO);
    ::execl(program.c_str(), program.c_str(), "--gtest_filter=workers_replay_test.prints_its_run",
            static_cast<char*>(nullptr));
    ::_exit(127);
  }
  out.writer.reset();
  std::string text;
  char part[4096];
  for (ssize_t size; (size = ::read(out.reader.get(), part, sizeof part)) > 0;)
    text.append(part, static_cast<std::size_t>(size));
  int status = -1;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << text;
  const auto at = text.find("run: ");
  return at == text.npos ? "nothing" : text.substr(at, text.find('\n', at) - at);
}

TEST_F(workers_replay_test, prints_its_run) {
  if (!std::getenv("COIR_TEST_PRINTS_ITS_RUN")) GTEST_SKIP() << "for the test below";
  const outcome seen = run_of(stress_seed());
  std::printf("run: %llu steps, trace %llx", static_cast<unsigned long long>(seen.report.steps),
              static_cast<unsigned long long>(seen.report.trace));
  for (const long each : seen.books) std::printf(", %ld", each);
  std::printf("\n");
}

TEST_F(workers_replay_test, the_same_seed_gives_the_same_run_in_two_processes) {
  for (std::uint32_t seed = 1; seed <= 5; ++seed) {
    const std::string one = run_in_a_process(seed);
    EXPECT_EQ(one.find("run: "), 0u) << one;
    EXPECT_EQ(one, run_in_a_process(seed)) << "seed " << seed;
  }
}

}  // namespace
}  // namespace coir::test
