// The child of a fork has one thread and, by default, one fiber: the one that called fork. It gets
// a new reactor, because a ring and an epoll set are shared with the parent. All other fibers are
// abandoned: their stacks stay as they are and are never resumed, so that nothing of the parent's
// goes on twice; their timers expire without effect. When the caller was a spawned fiber and its
// function returns, the child ends as if main had returned.
#include "runtime/kernel/report.hpp"
#include "runtime/sched/monitor_bell.hpp"
#include "runtime/sched/replay.hpp"
#include "runtime/sched/worker.hpp"

#include <cstdlib>
#include <exception>
#include <memory>

#include <pthread.h>

namespace coir::detail {

constinit std::atomic<std::uint32_t> fork_generation{0};

struct fork_handlers {
  static void in_child() noexcept {
    unlock_worker_registry();
    fork_generation.fetch_add(1, std::memory_order_relaxed);
    worker* const self = worker::current_or_null();
    for (worker* w = first_worker(); w; w = w->next_worker_) {
      w->is_in_use_ = true;  // its thread is not here: never to be reused
      std::construct_at(&w->inbox_);
      w->thread_id_ = 0;
    }
    std::construct_at(&workers_ended());
    monitor_waits.store(1, std::memory_order_seq_cst);
    if (self) restart(*self);
  }

  /// Whether the control block of a generator stands for no fiber of its own.
  static bool is_lent_or_at_yield(const control_block& lender) noexcept {
    return lender.state == fiber_state::running || lender.state == fiber_state::suspended;
  }

  static void restart(worker& w) noexcept {
    control_block& self = *w.running;
    const std::uint32_t generation = fork_generation.load(std::memory_order_relaxed);
    self.record->fork_generation = generation;
    std::size_t generators = 0;
    w.pool_.for_each_live([&](control_block& f) {
      if (&f == &self) return;
      const bool is_generator = f.record->kind == fiber_kind::generator;
      if (is_generator && is_lent_or_at_yield(f)) {
        f.record->fork_generation = generation;  // the one fiber may go on with it
        ++generators;
      } else {
        f.state = is_generator ? fiber_state::parked : fiber_state::suspended;
      }
    });
    const bool is_spawned = &self != &w.main_;
    if (is_spawned) {
      w.main_.state = fiber_state::suspended;
      w.last_after_fork_ = &self;
    }
    w.pool_.abandon_all_but((is_spawned ? 1 : 0) + generators);
    w.unspawned_ = generators + (self.record->kind != fiber_kind::spawned ? 1 : 0);
    w.run_queue_ = fiber_list{};
    self.record->wake_is_posted.store(false);
    w.begin_counting();
    if (is_spawned) w.count_.fibers_begun.add();
    w.sit(nullptr);  // the others of its crew are not here
    w.wakes_due_ = 0;
    w.sleeps_in_foreign_loop_ = false;
    if (w.replay_) w.replay_->keep_only(w.replay_place_);
    w.reactor_.reset();
    try {
      w.reactor_ = make_reactor();
    } catch (const std::exception& e) {
      kernel::report("in the child of a fork: %s", e.what());
      std::abort();
    }
  }
};

void worker::install_fork_handlers() noexcept {
  static const int installed =
      pthread_atfork(lock_worker_registry, unlock_worker_registry, fork_handlers::in_child);
  (void)installed;
}

}  // namespace coir::detail
