// A raw context is a fiber that the scheduler does not resume while it is suspended: only a switch
// does. Values travel by address, in the mailbox that a suspended fiber leaves in its control
// block.
#include <coir/context.hpp>

#include "runtime/sched/worker.hpp"

#include <stdexcept>

namespace coir::detail {
namespace {

constexpr std::size_t context_stack_bytes = 256 * 1024;

/// On the stack of a fiber suspended in a switch: what the next switch to it brings.
struct mailbox {
  void* value = nullptr;
  std::exception_ptr error;
};

mailbox& mailbox_of(control_block& f) noexcept { return *static_cast<mailbox*>(f.record->mailbox); }

/// Suspends the running fiber in favour of `target` (of the scheduler when null) and returns what
/// comes back.
mailbox suspend_for(worker& w, control_block* target) noexcept {
  mailbox arrived;
  control_block& self = *w.running;
  self.record->mailbox = &arrived;
  w.suspend(target);
  self.record->mailbox = nullptr;
  return arrived;
}

}  // namespace

struct context_entry {
  static raw_context& context_of(control_block& f) noexcept {
    return *static_cast<raw_context*>(f.record->argument);
  }

  static void run(control_block& f) {
    raw_context& c = context_of(f);
    std::exception_ptr error;
    void* const result = c.run(c.first_value_, error);
    c.stage_ = raw_context::stage::dead;
    c.fiber_ = nullptr;
    control_block* parent = c.parent_;
    if (parent && parent->state == fiber_state::suspended && parent->record->mailbox) {
      mailbox_of(*parent) = {result, std::move(error)};
    } else {
      parent = nullptr;  // it has gone on by itself since: there is nobody to tell
    }
    error = nullptr;  // this frame is never unwound
    worker::of(f).end_running(parent);
  }
};

raw_context::~raw_context() = default;

void raw_context::begin() {
  worker& w = worker::current();
  fiber_ = &w.make_fiber(context_stack_bytes, context_entry::run, this);
  fiber_->record->name = "context";
  parent_ = w.running;
}

void raw_context::check_can_switch() const {
  if (stage_ == stage::dead) throw std::logic_error("coir::context: switched to after its end");
  if (stage_ == stage::fresh) return;
  const worker* w = worker::current_or_null();
  if (fiber_->home != w) throw std::logic_error("coir::context: belongs to another thread");
  if (fiber_ == w->running) throw std::logic_error("coir::context: switched to itself");
  if (fiber_->state != fiber_state::suspended) {
    throw std::logic_error("coir::context: waits for something else than a switch");
  }
}

void* raw_context::switch_here(void* value) {
  check_can_switch();
  if (stage_ == stage::fresh) {
    begin();
    first_value_ = value;
    stage_ = stage::begun;
  } else {
    mailbox_of(*fiber_).value = value;
  }
  mailbox arrived = suspend_for(worker::current(), fiber_);
  if (arrived.error) std::rethrow_exception(std::move(arrived.error));
  return arrived.value;
}

void raw_context::end() noexcept {
  if (stage_ != stage::begun) return;
  worker& w = worker::current();
  parent_ = w.running;
  if (fiber_->state == fiber_state::suspended) {
    mailbox_of(*fiber_).error = std::make_exception_ptr(fiber_exit());
    suspend_for(w, fiber_);
  } else {
    w.kill(*fiber_, nullptr);
    suspend_for(w, nullptr);
  }
}

}  // namespace coir::detail
