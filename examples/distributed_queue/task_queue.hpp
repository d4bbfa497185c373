/// Tasks and results between processes and machines, in two streams of Redis: what Python's
/// multiprocessing managers share by a pair of queues, but no task is lost with its worker.
///
/// Tasks are entries of a stream with a group of consumers. A worker that reads an entry holds it
/// until it acknowledges it. While it works it renews its hold now and then; an entry that was not
/// renewed for a lease, because its worker died, may be taken over by another.
///
/// Invariants:
///   1 A task is in the stream until its result is in the stream of results: one script does both
///     on the server, so that no death falls in between.
///   2 A task has one result. A worker that was only slow, and whose task another has taken over
///     and finished, finds the task gone when it acknowledges, and its result is dropped.
/// What is left when Redis itself dies is a matter of its settings (appendonly, appendfsync).
#pragma once

#include "examples/databases/redis.hpp"

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace example {

/// Count the prime numbers from `from` to below `to`.
struct task {
  std::string id;  ///< of the entry; chosen by the server
  std::uint64_t number = 0;
  std::uint64_t from = 0;
  std::uint64_t to = 0;
  bool is_taken_over = false;  ///< from a worker that held it before
};

struct result {
  std::string id;  ///< of the entry; chosen by the server
  std::uint64_t number = 0;
  std::uint64_t primes = 0;
  std::string worker;
  bool is_taken_over = false;
};

/// One process's or fiber's end of a queue: a connection of its own. All calls park, throw what
/// redis::command throws, and may be made by one fiber at a time.
class task_queue {
 public:
  /// Connects to the queue called `name` on `server` (see redis). `worker` is how its holds are
  /// marked; a master has none.
  task_queue(const std::string& server, const std::string& name, std::string worker = "");

  // For the master.
  /// How many tasks and results there are.
  std::uint64_t size();
  void put(const task& t);
  /// Results that came after the entry `last` ("0" is before all), waiting for a while.
  std::vector<result> results_after(const std::string& last, std::chrono::milliseconds patience);
  /// Drops the queue with all that is in it. Workers learn of it by their next call.
  void close();

  // For workers.
  /// Makes the queue unless the master or another worker has. Until this is called, and after
  /// close(), the calls below throw queue_closed.
  void open();
  /// A task that nobody has had yet, waiting for a while.
  std::optional<task> take(std::chrono::milliseconds patience);
  /// A task whose worker has not renewed its hold for `lease`.
  std::optional<task> take_over(std::chrono::milliseconds lease);
  /// Renews the holds on tasks.
  void renew(const std::vector<std::string>& ids);
  /// Puts the result and takes the task away; false when the task was gone, and the result dropped.
  bool finish(const task& t, std::uint64_t primes);

 private:
  redis_reply ask_workers_end(const std::vector<std::string>& words);

  redis connection_;
  std::string tasks_;  ///< keys
  std::string results_;
  std::string worker_;
};

/// The master has closed the queue.
struct queue_closed : std::runtime_error {
  queue_closed() : std::runtime_error("the queue has been closed") {}
};

}  // namespace example
