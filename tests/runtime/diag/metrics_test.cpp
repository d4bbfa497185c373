#include "tests/runtime/support.hpp"

#include <algorithm>
#include <cstdio>
#include <sstream>
#include <thread>

#include <sys/wait.h>

namespace coir::test {
namespace {

using metrics_test = runtime_test;
using fork_metrics_test = fresh_process_test;

/// The part of the calling worker.
worker_metrics own_part() {
  const int id = ::gettid();
  for (const worker_metrics& m : metrics().workers) {
    if (m.thread_id == id) return m;
  }
  ADD_FAILURE() << "the calling worker is not there";
  return {};
}

/// The part of each worker of `set`, in the order of their numbers.
std::vector<worker_metrics> parts_of(const workers& set) {
  std::vector<worker_metrics> found;
  for (const worker_metrics& m : metrics().workers) {
    if (m.set == &set) found.push_back(m);
  }
  return found;
}

TEST_F(metrics_test, turns_switches_and_fibers_of_a_worker_are_counted_exactly) {
  const worker_metrics before = own_part();
  EXPECT_EQ(own_part().turns_given, before.turns_given) << "reading changes nothing";
  fiber<> one = spawn([] { yield(); });
  fiber<> other = spawn([] { yield(); });
  const worker_metrics begun = own_part();
  EXPECT_EQ(begun.fibers_begun, before.fibers_begun + 2);
  EXPECT_EQ(begun.fibers_alive(), before.fibers_alive() + 2);
  one.join();
  other.join();
  const worker_metrics after = own_part();
  EXPECT_EQ(after.fibers_alive(), before.fibers_alive());
  // Each yields once and ends; main waits for both, or finds the second one ended
  const std::uint64_t turns = after.turns_given - before.turns_given;
  EXPECT_GE(turns, 5U);
  EXPECT_LE(turns, 6U);
  EXPECT_GE(turns, after.switches - before.switches);
  EXPECT_GE(after.switches - before.switches, 5U);
  EXPECT_EQ(after.thread_id, ::gettid());
  EXPECT_EQ(after.number, -1);
  EXPECT_FALSE(after.is_asleep);
}

TEST_F(metrics_test, a_worker_that_sleeps_is_asleep_and_one_that_computes_is_busy) {
  const worker_metrics before = own_part();
  sleep(50ms);
  const worker_metrics slept = own_part();
  EXPECT_GE(slept.asleep - before.asleep, 40ms);
  EXPECT_GE(slept.sleeps, before.sleeps + 1);
  EXPECT_GE(slept.polls, before.polls + 1);
  const stopwatch watch;
  while (watch.elapsed() < 20ms) {
  }
  const worker_metrics worked = own_part();
  EXPECT_EQ(worked.asleep, slept.asleep);
  EXPECT_GE(worked.busy - slept.busy, 20ms);
}

TEST_F(metrics_test, the_present_sleep_of_another_worker_is_counted) {
  workers set(1);
  ASSERT_TRUE(eventually([&] { return parts_of(set).at(0).is_asleep; }));
  const auto first = parts_of(set).at(0);
  sleep(20ms);
  const auto second = parts_of(set).at(0);
  EXPECT_EQ(second.sleeps, first.sleeps) << "it has not woken in between";
  EXPECT_GE(second.asleep - first.asleep, 19ms);
}

TEST_F(metrics_test, workers_of_a_set_are_named_and_their_work_adds_up) {
  constexpr std::uint64_t fibers = 200;
  workers set({.count = 2, .name = "metric"});
  for (std::uint64_t i = 0; i < fibers; ++i) set.spawn([] { yield(); });
  set.join();
  const auto parts = parts_of(set);
  ASSERT_EQ(parts.size(), 2U);
  std::uint64_t begun = 0;
  for (int i = 0; i < 2; ++i) {
    const worker_metrics& m = parts[static_cast<std::size_t>(i)];
    EXPECT_EQ(m.number, i);
    EXPECT_EQ(m.set_name, "metric");
    EXPECT_EQ(m.thread_name, "metric-" + std::to_string(i));
    EXPECT_NE(m.thread_id, ::gettid());
    EXPECT_EQ(m.fibers_alive(), 0U);
    EXPECT_EQ(m.fibers_waiting, 0U);
    begun += m.fibers_begun;
  }
  EXPECT_EQ(begun, fibers);
}

TEST_F(metrics_test, fibers_that_no_worker_has_begun_are_waiting) {
  workers set(1);
  std::atomic<bool> may_end{false};
  std::atomic<bool> has_spawned{false};
  set.spawn([&] {
    for (int i = 0; i < 7; ++i) set.spawn([] {});
    has_spawned = true;
    while (!may_end) std::this_thread::yield();  // keeps its worker
  });
  ASSERT_TRUE(eventually([&] { return has_spawned.load(); }));
  EXPECT_EQ(parts_of(set).at(0).fibers_waiting, 7U);
  EXPECT_EQ(parts_of(set).at(0).fibers_alive(), 1U);
  const std::uint64_t waiting = metrics().total.fibers_waiting;
  for (int i = 0; i < 3; ++i) set.spawn([] {});
  EXPECT_EQ(metrics().total.fibers_waiting, waiting + 3) << "the queue that the set shares";
  may_end = true;
  set.join();
  EXPECT_EQ(parts_of(set).at(0).fibers_waiting, 0U);
}

TEST_F(metrics_test, wakes_between_workers_are_counted_on_both_sides) {
  workers set(1);
  event e;
  fiber<> waiting = set.spawn([&] { e.wait(); });
  ASSERT_TRUE(eventually([&] {
    const auto part = parts_of(set).at(0);
    return part.fibers_begun == 1 && part.is_asleep;
  }));
  const std::uint64_t sent = own_part().wakes_sent;
  const std::uint64_t received = parts_of(set).at(0).wakes_received;
  e.set();
  waiting.join();
  EXPECT_EQ(own_part().wakes_sent, sent + 1);
  EXPECT_EQ(parts_of(set).at(0).wakes_received, received + 1);
}

TEST_F(metrics_test, totals_keep_what_ended_workers_counted_and_a_taken_over_one_starts_at_zero) {
  const auto use_worker_on_a_thread = [](int rounds) {
    worker_metrics seen;
    std::thread([&] {
      for (int i = 0; i < rounds; ++i) spawn([] {}).join();
      seen = own_part();
    }).join();
    return seen;
  };
  const runtime_metrics before = metrics();
  EXPECT_EQ(use_worker_on_a_thread(30).fibers_begun, 30U);
  const runtime_metrics after = metrics();
  EXPECT_EQ(after.workers.size(), before.workers.size());
  EXPECT_EQ(after.workers_ended, before.workers_ended + 1);
  EXPECT_EQ(after.ended.fibers_begun, before.ended.fibers_begun + 30);
  EXPECT_EQ(after.total.fibers_begun, before.total.fibers_begun + 30);
  EXPECT_GT(after.total.busy, before.total.busy);
  EXPECT_EQ(use_worker_on_a_thread(2).fibers_begun, 2U) << "the same worker, a new life";
}

TEST_F(metrics_test, a_thread_that_is_no_worker_can_read_them_and_stays_none) {
  runtime_metrics seen;
  std::thread([&] {
    seen = metrics();
    seen = metrics();
    const int id = ::gettid();
    for (const worker_metrics& m : seen.workers) EXPECT_NE(m.thread_id, id);
  }).join();
  EXPECT_FALSE(seen.workers.empty());
}

TEST_F(metrics_test, reading_goes_on_while_workers_come_work_and_go) {
  std::atomic<bool> is_over{false};
  std::thread reader([&] {
    std::uint64_t last = 0;
    while (!is_over) {
      const runtime_metrics now = metrics();
      EXPECT_GE(now.total.fibers_begun, last) << "totals never go down";
      last = now.total.fibers_begun;
      for (const worker_metrics& m : now.workers) {
        EXPECT_GE(m.fibers_begun, m.fibers_ended);
        EXPECT_GE(m.turns_given, m.switches);
        EXPECT_GE(m.asleep.count(), 0);
      }
    }
  });
  for (int round = 0; round < scaled(20); ++round) {
    workers set(2);
    for (int i = 0; i < 50; ++i) set.spawn([] { sleep(microseconds(10)); });
    set.join();
  }
  is_over = true;
  reader.join();
}

TEST_F(metrics_test, the_text_has_a_line_for_each_worker_and_one_for_the_process) {
  workers set({.count = 2, .name = "lines"});
  const runtime_metrics now = metrics();
  const std::string text = now.text();
  EXPECT_EQ(count_of(text, "\n"), static_cast<int>(now.workers.size()) + 1) << text;
  EXPECT_TRUE(
      contains_all({"worker lines-0 (thread ", ", number 1 of set lines, ", " turns given, ",
                    " switches; wakes ", " steals; ", "process (", " workers, "})
          .MatchAndExplain(text))
      << text;
  std::ostringstream out;
  out << now;
  EXPECT_EQ(out.str(), text);
}

TEST_F(metrics_test, the_form_for_scrapers_has_samples_whose_values_are_those_of_the_snapshot) {
  workers set({.count = 1, .name = "scraped \"set\""});
  set.spawn([] {});
  set.join();
  const runtime_metrics now = metrics();
  const std::string text = now.prometheus();
  const auto part = std::find_if(now.workers.begin(), now.workers.end(),
                                 [&](const worker_metrics& m) { return m.set == &set; });
  ASSERT_NE(part, now.workers.end());
  const std::string labels = "{thread=\"scraped \\\"set\\\"-0\",id=\"" +
                             std::to_string(part->thread_id) +
                             "\",set=\"scraped \\\"set\\\"\",number=\"0\"} ";
  EXPECT_EQ(count_of(text, "coir_fibers_begun_total" + labels + "1\n"), 1) << text;
  EXPECT_EQ(count_of(text, "coir_fibers_alive" + labels + "0\n"), 1) << text;
  EXPECT_EQ(count_of(text, "# TYPE coir_switches_total counter\n"), 1);
  EXPECT_EQ(count_of(text, "# TYPE coir_fibers_waiting gauge\n"), 1);
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("# ")) continue;
    EXPECT_TRUE(line.starts_with("coir_")) << line;
    EXPECT_FALSE(line.substr(line.rfind(' ') + 1).empty()) << line;
  }
}

TEST_F(fork_metrics_test, the_child_of_a_fork_starts_from_zero_and_has_the_forking_worker_only) {
  EXPECT_EXIT(
      {
        workers set(1);
        for (int i = 0; i < 10; ++i) spawn([] { yield(); }).join();
        const pid_t pid = ::fork();
        if (pid == 0) {
          const runtime_metrics now = metrics();
          const bool is_right = now.workers.size() == 1 && now.workers_ended == 0 &&
                                now.workers[0].thread_id == ::gettid() &&
                                now.total.fibers_begun == 0 && now.total.turns_given == 0;
          if (!is_right) std::fprintf(stderr, "%s", now.text().c_str());
          _exit(is_right ? 0 : 1);
        }
        int status = -1;
        ::waitpid(pid, &status, 0);
        _exit(status == 0 ? 0 : 1);
      },
      testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace coir::test
