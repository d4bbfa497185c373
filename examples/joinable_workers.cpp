// Workers take tasks out of a queue; the program goes on when the last task has been done, not when
// it has been taken.

#include "common/command_line.hpp"

#include <coir/coir.hpp>

#include <chrono>
#include <cstddef>
#include <cstdio>
#include <string>
#include <vector>

namespace {

using namespace std::chrono_literals;
using std::chrono::steady_clock;

constexpr std::size_t queue_places = 8;

constexpr char usage[] =
    "usage: joinable_workers [--workers N] [--tasks N] [--work SECONDS]\n"
    "N workers (4) share the tasks 1 to N (20), each of which takes SECONDS (0.02). At most 8\n"
    "tasks wait in the queue; whoever hands them out waits for room.\n";

struct options {
  int workers = 4;
  int tasks = 20;
  std::chrono::milliseconds work = 20ms;
};

options parse(int argc, char** argv) {
  options result;
  example::command_line line;
  line.number("workers", result.workers, 1, 10'000).number("tasks", result.tasks, 0, 1'000'000);
  line.seconds("work", result.work).parse(argc, argv);
  return result;
}

/// Reports a task as done when it goes, also when the work fails: else join would wait for ever.
class task_report {
 public:
  explicit task_report(coir::queue<int>& tasks) : tasks_(tasks) {}
  task_report(const task_report&) = delete;
  task_report& operator=(const task_report&) = delete;
  ~task_report() { tasks_.task_done(); }

 private:
  coir::queue<int>& tasks_;
};

/// Takes tasks until the queue is shut down; returns how many it did.
int work(coir::queue<int>& tasks, int number, std::chrono::milliseconds length) {
  int done = 0;
  for (const int task : tasks) {
    const task_report report(tasks);
    coir::this_fiber::sleep_for(length);
    std::printf("worker %d did task %d\n", number, task);
    ++done;
  }
  return done;
}

int run(const options& how) {
  const auto begin = steady_clock::now();
  coir::queue<int> tasks(queue_places);
  std::vector<coir::fiber<int>> workers;
  for (int number = 1; number <= how.workers; ++number) {
    workers.push_back(coir::spawn({.name = "worker " + std::to_string(number)},
                                  [&, number] { return work(tasks, number, how.work); }));
  }
  for (int task = 1; task <= how.tasks; ++task) tasks.put(task);
  tasks.join();
  const std::chrono::duration<double> time = steady_clock::now() - begin;
  std::printf("%d tasks done in %.3f s\n", how.tasks, time.count());

  tasks.shutdown();  // the workers wait for more
  int done = 0;
  for (auto& worker : workers) done += worker.get();
  return done == how.tasks ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  return example::run_main("joinable_workers", usage, [&] { return run(parse(argc, argv)); });
}
