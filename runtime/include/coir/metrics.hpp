/// What the workers of the process have done so far, in numbers.
#pragma once

#include <coir/export.hpp>

#include <cstddef>
#include <cstdint>
#include <iosfwd>
#include <mutex>  // declares std::chrono's durations, without the calendars of <chrono>
#include <string>
#include <vector>

namespace coir {
class workers;

/// What is counted. The numbers of one snapshot are read one after the other while work goes on:
/// each is right, but `switches` may have seen a moment that `polls` has not.
struct worker_counts {
  std::uint64_t turns_given = 0;     ///< how often a fiber gave up its worker: waits, yields, ends
  std::uint64_t switches = 0;        ///< of those, when another fiber went on
  std::uint64_t wakes_sent = 0;      ///< to fibers of other workers
  std::uint64_t wakes_received = 0;  ///< from other threads
  std::uint64_t steals = 0;          ///< fibers begun here that were to begin on another worker
  std::uint64_t polls = 0;           ///< looks at the kernel for events
  std::uint64_t sleeps = 0;          ///< of those, when the worker slept until there was something
  std::uint64_t fibers_begun = 0;    ///< spawned fibers that got a stack
  std::uint64_t fibers_ended = 0;    ///< of those, the ones whose function has returned
  /// Spawned fibers that wait for a worker of their set to begin them.
  std::uint64_t fibers_waiting = 0;
  /// How long the workers slept, for want of fibers to run; the present sleep included.
  std::chrono::nanoseconds asleep{};
  /// The rest of the time since they began: fibers ran, the loop, or a search for work.
  std::chrono::nanoseconds busy{};

  /// Spawned fibers that have not ended.
  std::uint64_t fibers_alive() const noexcept { return fibers_begun - fibers_ended; }
};

/// What one worker has done since its thread became a worker; in the child of a fork, since then.
struct worker_metrics : worker_counts {
  int thread_id = 0;             ///< the kernel's number, as in top -H; where threads are fibers of
                                 ///< `coir run`: of the one on which it began
  std::string thread_name;       ///< empty when the thread has ended meanwhile
  const workers* set = nullptr;  ///< the one it belongs to, only to be compared; null: none
  std::string set_name;          ///< worker_options::name of that set
  int number = -1;               ///< its number in the set; -1: none
  bool is_asleep = false;        ///< it had nothing to run just now
};

/// What name look-ups have done: those of net, and of getaddrinfo in linked hooks. Calls that ask
/// the same at the same time share one.
struct look_up_counts {
  std::uint64_t begun = 0;      ///< questions to the system or to name servers
  std::uint64_t coalesced = 0;  ///< calls that shared the look-up of another
  std::uint64_t failed = 0;     ///< look-ups that ended with an error, "no such name" included
  std::uint64_t given_up = 0;   ///< calls that their deadline or a kill ended
  std::uint64_t waiting = 0;    ///< fibers that wait for one now
  /// How long look-ups waited for one of COIR_RESOLVER_THREADS, in all.
  std::chrono::nanoseconds queued{};
  std::chrono::nanoseconds queued_longest{};  ///< the longest of these waits
};

/// What all workers have done.
struct COIR_API runtime_metrics {
  /// Those whose thread lives. One that a thread took over from another that has ended starts from
  /// zero.
  std::vector<worker_metrics> workers;
  /// Of the process: these workers and those that have ended. Counts never go down. Here
  /// `fibers_waiting` has the queues that the workers of a set share, too.
  worker_counts total;
  /// What those counted whose threads have ended, and how many they are.
  worker_counts ended;
  std::uint64_t workers_ended = 0;  ///< see `ended`
  look_up_counts look_ups;          ///< of the process

  /// A line for each worker, one for the process, and one for look-ups if there were any; for
  /// people to read, the form may change.
  /// Any thread; never parks; throws std::bad_alloc.
  std::string text() const;
  /// The same in the text format that Prometheus scrapes, of version 0.0.4: a family for each
  /// count, with labels for thread, set and number; workers that have ended are one sample, with
  /// set="ended". Any thread; never parks; throws std::bad_alloc.
  std::string prometheus() const;
};

/// Reads what all workers of the process have counted; gevent has no such thing. It stops nobody,
/// takes a lock for a microsecond or so, and does not make the caller's thread a worker. Any
/// thread; never parks; throws std::bad_alloc.
COIR_API runtime_metrics metrics();

/// Writes metrics.text().
COIR_API std::ostream& operator<<(std::ostream& out, const runtime_metrics& metrics);

}  // namespace coir
