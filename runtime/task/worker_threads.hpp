/// The threads of a set of workers, from their start to their end.
#pragma once

#include <coir/detail/wait_queue.hpp>
#include <coir/worker_options.hpp>

#include "runtime/sched/crew.hpp"
#include "runtime/sched/replay.hpp"

#include <atomic>
#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <string>

#include <pthread.h>

namespace coir {
class workers;

namespace detail {

class worker_threads final : public crew {
 public:
  /// Starts them, and parks until all run; throws as the constructor of `workers` does.
  worker_threads(workers& owner, const worker_options& how);
  /// Ends them; their fibers have ended.
  ~worker_threads();

  workers& owner() const noexcept { return owner_; }
  /// What its threads are called, without their numbers.
  const std::string& name() const noexcept { return name_; }
  /// True in the child of a fork, where the threads are not.
  bool is_left_behind() const noexcept;

  /// Parks until all that was handed over, and all fibers of the members, have ended.
  wait_status wait_quiet(deadline until, interruptible kind);
  /// Kills all of those, soon. One that is being killed by this already gets no second kill.
  void kill_all() noexcept;

 private:
  struct thread {
    worker_threads* all = nullptr;
    std::size_t number = 0;
    std::size_t replay_place = 0;
    std::optional<int> cpu;  ///< to be bound to
    pthread_t handle{};
    bool is_started = false;
    control_block* main = nullptr;  ///< its main fiber; null when it could not become a worker
    std::exception_ptr error;       ///< why it could not become a worker; set before it counts down
    remote_call kill;
    std::atomic<bool> is_kill_posted{false};
  };

  int start(const worker_options& how);
  int start(thread& t);
  void count_start() noexcept;
  void end_threads() noexcept;
  static void* serve(void* argument) noexcept;
  static void serve_crew(thread& self);
  static void kill_here(remote_call& call) noexcept;
  static void tell_joiners(void* self) noexcept;

  workers& owner_;
  replay* const replay_;  ///< in which the maker takes part, and so do the threads; or null
  const std::string name_;
  const std::unique_ptr<thread[]> threads_;
  const std::uint32_t fork_generation_;
  std::atomic<bool> is_over_{false};
  short_lock lock_;
  wait_queue joiners_;       ///< guarded by lock_
  std::size_t starting_;     ///< guarded by lock_: threads that are not workers yet
  std::size_t waiting_ = 0;  ///< guarded by lock_: who waits or is about to
};

}  // namespace detail
}  // namespace coir
