// Takes tasks from a queue, several at a time on one thread, until the master closes the queue. See
// task_queue.hpp for the promises; master.cpp says what the tasks are.
//
// Each of its fibers has a connection by hiredis, whose waits are coir's hooks. One more fiber
// renews the holds on what they work at, so that a lease may be much shorter than a task.

#include "examples/common/command_line.hpp"
#include "examples/common/stop_signal.hpp"
#include "examples/distributed_queue/task_queue.hpp"

#include <coir/coir.hpp>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include <signal.h>
#include <unistd.h>

namespace {

using namespace std::chrono_literals;

constexpr char usage[] =
    "usage: queue_worker SERVER NAME [--fibers N] [--lease S] [--pause S] [--as WORKER]\n"
    "Works at N (4) tasks of the queue NAME at a time, until its master closes it or SIGINT or\n"
    "SIGTERM comes; then ends what it has begun. A task whose worker was not heard of for S (5)\n"
    "seconds is taken over. --pause makes each task wait for S (0) seconds, as if for a slow\n"
    "device. WORKER is its name in the master's report, its host and process by default. SERVER "
    "is\n"
    "HOST:PORT or the path of a socket; REDIS_PASSWORD may hold a password.\n";

constexpr auto look_interval = 200ms;          // for tasks to take over, and whether to stop
constexpr int renewals_per_lease = 4;          // some may come late
constexpr std::uint64_t numbers_a_turn = 500;  // between turns for other fibers

struct options {
  std::string server;
  std::string name;
  std::string worker;
  long fibers = 4;
  std::chrono::milliseconds lease = 5s;
  std::chrono::milliseconds pause = 0ms;
};

std::string own_name() {
  char host[256] = "worker";
  gethostname(host, sizeof host - 1);
  return std::string(host) + "-" + std::to_string(getpid());
}

options parse(int argc, char** argv) {
  options result;
  result.worker = own_name();
  example::command_line line;
  line.number("fibers", result.fibers, 1, 1000).seconds("lease", result.lease);
  line.seconds("pause", result.pause).text("as", result.worker);
  const std::vector<std::string> where = line.arguments(argc, argv);
  if (result.lease < 100ms) throw example::usage_error("--lease must be 0.1 at least");
  if (where.size() != 2) throw example::usage_error("a server and a queue must be given");
  result.server = where[0];
  result.name = where[1];
  return result;
}

bool is_prime(std::uint64_t n) {
  if (n < 2) return false;
  for (std::uint64_t divisor = 2; divisor * divisor <= n; ++divisor) {
    if (n % divisor == 0) return false;
  }
  return true;
}

std::uint64_t count_primes(std::uint64_t from, std::uint64_t to) {
  std::uint64_t count = 0;
  for (std::uint64_t n = from; n < to; ++n) {
    count += is_prime(n);
    if (n % numbers_a_turn == 0) coir::yield();
  }
  return count;
}

/// What the fibers of this worker share; all are of one thread.
class worker {
 public:
  explicit worker(const options& how) : how_(how) {}
  worker(const worker&) = delete;
  worker& operator=(const worker&) = delete;

  /// Parks until the queue has been closed, or stop() called; throws when the server is lost.
  void run();
  /// Makes run() return once the tasks that were begun are finished. Never parks.
  void stop() { is_stopping_ = true; }
  void print() const { std::printf("%zu tasks done, %zu dropped\n", done_, dropped_); }

 private:
  void work();
  void do_task(example::task_queue& queue, const example::task& t);
  void renew_holds();

  const options& how_;
  std::set<std::string> begun_;  ///< ids of tasks
  bool is_stopping_ = false;
  std::size_t done_ = 0;
  std::size_t dropped_ = 0;
};

void worker::run() {
  {
    example::task_queue queue(how_.server, how_.name);
    queue.open();
  }
  std::printf("worker %s waits for tasks (%s)\n", how_.worker.c_str(), coir::backend());
  std::fflush(stdout);
  coir::scope fibers(coir::on_failure::kill_others);
  coir::fiber<> renewing = fibers.spawn([this] { renew_holds(); });
  std::vector<coir::fiber<>> working;
  for (long i = 0; i < how_.fibers; ++i) working.push_back(fibers.spawn([this] { work(); }));
  coir::joinall(working);
  renewing.kill();
}

void worker::work() {
  example::task_queue queue(how_.server, how_.name, how_.worker);
  try {
    while (!is_stopping_) {
      std::optional<example::task> found = queue.take(look_interval);
      if (!found) found = queue.take_over(how_.lease);
      if (found) do_task(queue, *found);
    }
  } catch (const example::queue_closed&) {
    return;
  }
}

void worker::do_task(example::task_queue& queue, const example::task& t) {
  begun_.insert(t.id);
  std::printf("task %llu begun\n", static_cast<unsigned long long>(t.number));
  std::fflush(stdout);
  if (how_.pause > 0ms) coir::sleep(how_.pause);
  const bool counts = queue.finish(t, count_primes(t.from, t.to));
  begun_.erase(t.id);
  ++(counts ? done_ : dropped_);
  if (!counts) {
    std::printf("task %llu dropped: another worker was faster\n",
                static_cast<unsigned long long>(t.number));
    std::fflush(stdout);
  }
}

void worker::renew_holds() {
  example::task_queue queue(how_.server, how_.name, how_.worker);
  try {
    for (;;) {
      coir::sleep(how_.lease / renewals_per_lease);
      if (!begun_.empty()) queue.renew({begun_.begin(), begun_.end()});
    }
  } catch (const example::queue_closed&) {
    return;
  }
}

int run(const options& how) {
  example::require_hooks();
  signal(SIGPIPE, SIG_IGN);
  worker self(how);
  example::stop_signal on_signal([&] { self.stop(); });
  self.run();
  self.print();
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  return example::run_main("queue_worker", usage, [&] { return run(parse(argc, argv)); });
}
