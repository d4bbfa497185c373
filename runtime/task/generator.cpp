// A generator is a stack that is lent: the fiber that asks for a value goes on with it and comes
// back at the yield, and is the same fiber all the time. So kills, time limits, locks and
// fiber_local values are those of the fiber, as they are in Python.
//
// The stack comes from the worker's fiber pool, together with a control block that holds whatever
// side is not in use: at a yield the place in the body, while the body runs the place of its
// caller. See switch_stack().
//
//   control block   stands for
//   suspended       the body is at a yield (or about to be entered for the first time)
//   running         the body is in use; its fiber may be parked meanwhile
//   ready, then any the body is being unwound as a fiber of its own: see kill_generator()
//   parked          the body was abandoned
//   ended           the body has been left for good
//
// Rejected: generators as contexts (a next would change the fiber: a lock taken outside would
// belong to somebody else inside, and a kill or time limit of the caller would not reach a wait in
// the body).
#include <coir/generator.hpp>

#include "runtime/fiber/lent_stack.hpp"
#include "runtime/kernel/report.hpp"
#include "runtime/sched/worker.hpp"
#include "runtime/task/current_values.hpp"
#include "runtime/task/fiber_start.hpp"
#include "runtime/task/generator_stack.hpp"
#include "runtime/task/lost_error.hpp"

#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <utility>

namespace coir::detail {
namespace {

// How often a body that is to end may yield instead
constexpr int ends_max = 100;

[[noreturn]] void refuse(const char* why) {
  throw std::logic_error(std::string("coir::generator: ") + why);
}

}  // namespace

/// The verbs of a generator.
struct generator_life {
  static const control_block* stack_of(const generator_state& g) noexcept { return g.stack_; }

  // On the generator's own stack.

  static void enter(control_block& lender) {
    auto& g = *static_cast<generator_state*>(lender.record->argument);
    live(g);
    worker& w = worker::of(lender);
    if (w.running == &lender) {
      end_as_fiber(g);
      w.end_running();
    }
    w.running->record->generator = g.outer_;
    lender.state = fiber_state::ended;
    switch_stack(*w.running, lender);
  }

  [[gnu::noinline]] static void live(generator_state& g) noexcept {
    try {
      g.run();
    } catch (...) {
      g.error_ = std::current_exception();
    }
    g.drop_body();
  }

  /// At a yield that the scheduler has resumed.
  [[noreturn]] static void unwind_as_fiber(generator_state& g, worker& w) {
    *w.exceptions = g.stack_->exceptions;  // which switch_stack has left there
    g.is_fiber_ = true;
    throw_if_interrupted();
    throw fiber_exit();
  }

  [[gnu::noinline]] static void end_as_fiber(generator_state& g) noexcept {
    end_values(g.stack_->record->values);
    g.stack_->record->name = "ended generator";  // the state, which owns the name, may go now
    g.stack_ = nullptr;
    if (g.error_ && !is_fiber_exit(g.error_))
      report_lost_error("a generator that nobody asks for values", g.error_);
    if (g.joiner_) worker::wake(*g.joiner_);
    g.is_done_.store(true, std::memory_order_release);
    g.release();
  }

  // On the caller's stack.

  static void begin(generator_state& g, worker& w) {
    control_block& lender =
        w.make_fiber(stack_bytes_or_default(g.how_.stack_bytes), enter, &g, fiber_kind::generator);
    lender.record->id = next_fiber_id();
    lender.record->name = g.how_.name.empty() ? "generator" : g.how_.name.c_str();
    lender.record->spawn_site = nullptr;
    lender.record->generator = nullptr;
    g.stack_ = &lender;
    g.home_ = &w;
    g.retain();  // the body's own reference
  }

  static void end_fresh(generator_state& g) noexcept {
    g.is_done_.store(true, std::memory_order_release);
    g.drop_body();
  }

  /// Before a resume that is not plain: false when there is nothing to go on with.
  [[gnu::noinline]] static bool prepare(generator_state& g, worker& w) {
    if (g.is_done()) return false;
    if (!g.home_) {
      begin(g, w);
      return true;
    }
    check_is_here(g, w);
    refuse("it is running already");
  }
  static void check_is_here(const generator_state& g, const worker& w) {
    if (g.home_ != &w) refuse("it belongs to another thread");
  }

  /// After the body has been left for good; may delete `g`.
  [[gnu::noinline]] static void finish(generator_state& g, std::exception_ptr& error) noexcept {
    g.home_->release_stack(*std::exchange(g.stack_, nullptr));
    error = std::exchange(g.error_, nullptr);
    if (g.is_orphan_ && is_fiber_exit(error)) error = nullptr;
    g.is_done_.store(true, std::memory_order_release);  // pairs with the acquire in is_done()
    g.release();
  }

  /// Throws fiber_exit at the yield. True when the body has ended; `error` then is what it threw in
  /// place of that.
  static bool end_at_yield(generator_state& g, std::exception_ptr& error) {
    const std::exception_ptr exit = std::make_exception_ptr(fiber_exit());
    g.thrown_in_ = exit;
    if (g.run_to_yield(error)) return false;
    if (error == exit) error = nullptr;
    return true;
  }

  /// The owner goes, on the generator's thread, while the body is at a yield.
  static void end_for_owner(generator_state& g, worker& w) noexcept {
    fiber_record& own = *w.running->record;
    interruption* const before = std::exchange(own.raised, nullptr);
    std::exception_ptr error;
    const bool has_ended = end_at_yield(g, error);
    interruption* const meanwhile = std::exchange(own.raised, before);
    if (!has_ended || !error) return;
    if (meanwhile) {
      keep_for_caller(w, *meanwhile, std::move(error));
    } else if (!is_fiber_exit(error)) {
      report_lost_error("a generator that was destroyed", error);
    }
  }

  /// Makes the kill or time limit of the calling fiber pending again that has left the body as
  /// `error`: a destructor can throw neither.
  static void keep_for_caller(worker& w, interruption& in, std::exception_ptr error) noexcept {
    control_block& self = *w.running;
    if (&in != &self.record->kill.in) return w.interrupt(self, in);
    w.kill(self, is_fiber_exit(error) ? nullptr : std::move(error));
  }

  static void await_end_of_fiber(generator_state& g, worker& w) noexcept {
    g.joiner_ = w.running;
    while (!g.is_done()) w.park(wait_reason::context, never, interruptible::no);
    g.joiner_ = nullptr;
  }

  /// On its way to the thread of the generator.
  struct end_call final : remote_call {
    explicit end_call(generator_state& g) noexcept : target(&g) {
      g.retain();
      invoke = [](remote_call& call) noexcept {
        const std::unique_ptr<end_call> self(static_cast<end_call*>(&call));
        generator_state& ended = *self->target.get();
        if (ended.is_done()) return;
        ended.is_orphan_ = true;
        ended.home_->kill_generator(*ended.stack_);
      };
    }
    task_ref<generator_state> target;
  };
  static void end_elsewhere(generator_state& g) noexcept {
    kernel::report("a generator was destroyed on another thread than its own, which will end it");
    auto* const call = new (std::nothrow) end_call(g);
    if (call) g.home_->post(*call);
  }
};

generator_state::~generator_state() = default;

const control_block* innermost_generator(const control_block& f) noexcept {
  const auto* const g = static_cast<const generator_state*>(f.record->generator);
  return g ? generator_life::stack_of(*g) : nullptr;
}

void* generator_state::run_to_yield(std::exception_ptr& error) {
  worker& w = worker::current();
  const bool is_plain = stack_ && stack_->home == &w && stack_->state == fiber_state::suspended;
  if (!is_plain && !generator_life::prepare(*this, w)) return nullptr;
  control_block& self = *w.running;
  control_block& stack = *stack_;
  outer_ = self.record->generator;
  self.record->generator = this;
  stack.state = fiber_state::running;
  switch_stack(self, stack);
  if (stack.state == fiber_state::ended) {
    generator_life::finish(*this, error);
    return nullptr;
  }
  return value_;
}

void generator_state::yield(void* value) {
  worker* const w = worker::current_or_null();
  if (!w || w->running->record->generator != this) refuse("a yield outside of its body");
  if (is_orphan_) throw fiber_exit();
  control_block& self = *w->running;
  value_ = value;
  self.record->generator = outer_;
  stack_->state = fiber_state::suspended;
  switch_stack(self, *stack_);
  if (w->running == stack_) [[unlikely]]
    generator_life::unwind_as_fiber(*this, *w);
  if (thrown_in_) [[unlikely]]
    std::rethrow_exception(std::exchange(thrown_in_, nullptr));
}

void generator_state::check_can_send() const {
  if (is_done()) return;
  if (!home_) refuse("nothing can be sent to one that has not begun: call next first");
  generator_life::check_is_here(*this, worker::current());
  if (stack_->state != fiber_state::suspended) refuse("it is running already");
}

void* generator_state::throw_in(std::exception_ptr error) {
  if (!error) throw std::invalid_argument("coir::generator: no exception to throw in");
  if (home_) {
    check_can_send();
  } else if (!is_done()) {
    generator_life::end_fresh(*this);
  }
  if (is_done()) std::rethrow_exception(std::move(error));
  thrown_in_ = std::move(error);
  return resume();
}

void generator_state::close() {
  if (is_done()) return;
  if (!home_) return generator_life::end_fresh(*this);
  check_can_send();
  std::exception_ptr error;
  if (!generator_life::end_at_yield(*this, error)) refuse("its body yields on after a close");
  if (error) std::rethrow_exception(std::move(error));
}

void generator_state::end() noexcept {
  for (int times = 0; !is_done(); ++times) {
    if (!home_) return generator_life::end_fresh(*this);
    worker* const w = worker::current_or_null();
    if (w != home_) return generator_life::end_elsewhere(*this);
    if (stack_->state == fiber_state::ready || (is_fiber_ && w->running != stack_)) {
      generator_life::await_end_of_fiber(*this, *w);
    } else if (stack_->state != fiber_state::suspended) {
      is_orphan_ = true;
      return kernel::report("a generator was destroyed while it runs; its next yield will end it");
    } else if (times < ends_max) {
      generator_life::end_for_owner(*this, *w);
    } else {
      stack_->state = fiber_state::parked;  // nobody will go on with it
      return kernel::report("a generator did not end when it was destroyed; it is abandoned");
    }
  }
}

}  // namespace coir::detail
