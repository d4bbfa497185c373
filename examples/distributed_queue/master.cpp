// Gives tasks to workers on any machines and gathers their results: counts the prime numbers below
// a limit, in pieces. See task_queue.hpp for the promises, worker.cpp for those who work.

#include "examples/common/command_line.hpp"
#include "examples/distributed_queue/task_queue.hpp"

#include <coir/coir.hpp>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

#include <signal.h>

namespace {

using namespace std::chrono_literals;

constexpr char usage[] =
    "usage: queue_master SERVER NAME [--limit N] [--tasks N] [--timeout S] [--discard]\n"
    "Counts the prime numbers below N (1000000) in N (100) tasks, which it gives to the workers "
    "of\n"
    "the queue NAME on a Redis server, and gives up after S (600) seconds. SERVER is HOST:PORT or\n"
    "the path of a socket; REDIS_PASSWORD may hold a password. --discard drops what another "
    "master\n"
    "has left in the queue.\n";

constexpr auto look_interval = 1s;  // a blocked read is asked again so often

struct options {
  std::string server;
  std::string name;
  long limit = 1'000'000;
  long tasks = 100;
  std::chrono::milliseconds timeout = 600s;
  bool is_discarding = false;
};

options parse(int argc, char** argv) {
  options result;
  example::command_line line;
  line.number("limit", result.limit, 1, 1'000'000'000).number("tasks", result.tasks, 1, 100'000);
  line.seconds("timeout", result.timeout).flag("discard", result.is_discarding);
  const std::vector<std::string> where = line.arguments(argc, argv);
  if (where.size() != 2) throw example::usage_error("a server and a queue must be given");
  result.server = where[0];
  result.name = where[1];
  return result;
}

/// What has come back.
class summary {
 public:
  explicit summary(std::size_t tasks) : is_done_(tasks) {}

  void add(const example::result& r) {
    if (r.number >= is_done_.size()) throw std::runtime_error("a result of no task of ours");
    if (is_done_[r.number]) {
      ++repeated_;
      return;
    }
    is_done_[r.number] = true;
    ++done_;
    primes_ += r.primes;
    taken_over_ += r.is_taken_over;
    ++by_worker_[r.worker];
  }

  std::size_t done() const { return done_; }
  bool is_complete() const { return done_ == is_done_.size(); }

  void print(long limit) const {
    std::printf("%zu tasks, %zu results, %zu results repeated, %zu tasks taken over\n",
                is_done_.size(), done_, repeated_, taken_over_);
    for (const auto& [worker, count] : by_worker_) {
      std::printf("worker %s: %zu tasks\n", worker.c_str(), count);
    }
    std::printf("%llu primes below %ld\n", static_cast<unsigned long long>(primes_), limit);
  }

 private:
  std::vector<bool> is_done_;
  std::size_t done_ = 0;
  std::size_t repeated_ = 0;
  std::size_t taken_over_ = 0;
  std::uint64_t primes_ = 0;
  std::map<std::string, std::size_t> by_worker_;
};

void put_tasks(example::task_queue& queue, const options& how) {
  for (long i = 0; i < how.tasks; ++i) {
    example::task t;
    t.number = static_cast<std::uint64_t>(i);
    t.from = static_cast<std::uint64_t>(how.limit * i / how.tasks);
    t.to = static_cast<std::uint64_t>(how.limit * (i + 1) / how.tasks);
    queue.put(t);
  }
}

/// Drops the queue at the end, so that workers end and nothing is left on the server. When that
/// fails the master has failed already.
struct closing {
  example::task_queue& queue;
  ~closing() {
    try {
      queue.close();
    } catch (const std::exception& error) {
      std::fprintf(stderr, "queue_master: the queue is left on the server: %s\n", error.what());
    }
  }
};

int run(const options& how) {
  example::require_hooks();
  signal(SIGPIPE, SIG_IGN);
  example::task_queue queue(how.server, how.name);
  if (how.is_discarding) queue.close();
  if (const auto left = queue.size(); left > 0) {
    throw std::runtime_error("the queue " + how.name + " holds " + std::to_string(left) +
                             " entries of another master: wait for it, or use --discard");
  }
  const closing at_end{queue};
  put_tasks(queue, how);
  std::printf("%ld tasks are in the queue %s\n", how.tasks, how.name.c_str());
  std::fflush(stdout);

  summary found(static_cast<std::size_t>(how.tasks));
  std::string last = "0";
  const auto until = std::chrono::steady_clock::now() + how.timeout;
  while (!found.is_complete()) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        until - std::chrono::steady_clock::now());
    if (left <= 0ms) {
      throw std::runtime_error("only " + std::to_string(found.done()) + " of " +
                               std::to_string(how.tasks) +
                               " results came in time; are there workers?");
    }
    for (const example::result& r :
         queue.results_after(last, std::min<std::chrono::milliseconds>(left, look_interval))) {
      found.add(r);
      last = r.id;
    }
  }
  found.print(how.limit);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  return example::run_main("queue_master", usage, [&] { return run(parse(argc, argv)); });
}
