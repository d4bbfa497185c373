/// The verbs of raw contexts, in two halves: context.cpp begins and ends them, context_switch.cpp
/// goes from one to the other.
///
///   mailbox   on the stack of each fiber that waits in a switch: what it waits for, what arrived
///   message   what a switch brings: a value by its address, or an exception
///   strand    a plain fiber that waits in a switch, together with the context that runs for it
///   parents   where the end of a context leads: up the tree, past all that are dead or wait for
///             something else than a switch, and at last to the plain fiber of the strand
///
/// A context is a fiber of its own to the scheduler. While it waits in a switch it is parked like
/// any other, so that a kill ends that wait too, and wakes without a cause are tolerated. Only it
/// is not left to the scheduler to go on with it: the switch puts a message into its mailbox and
/// goes there directly.
///
/// Invariants
///   1 A value in a message lies in the frame that switches, which waits until it is taken: such a
///     message is put only where the switch leads directly. A value of a context that has ended
///     lies in its state, which the message owns.
///   2 A strand is founded by a plain fiber that switches to a context, and goes along with each
///     switch from context to context: mailbox::active and context_state::strand_ point at each
///     other. It ends when somebody switches back to the plain fiber, or that is killed. A context
///     that runs on without a strand, after such a kill, can still end: its value is dropped then.
///   3 A context that waits in a switch has no strand.
///
/// Rejected: the first switcher as parent (it may be gone or wait elsewhere by the time of the
/// end); a fiber state of its own for those that wait in a switch (kills would not reach them).
#pragma once

#include <coir/detail/context_state.hpp>

#include "runtime/sched/worker.hpp"

#include <exception>
#include <utility>

namespace coir::detail {

struct context_mailbox {
  context_mailbox(control_block& f, const std::type_info* type) noexcept : owner(f), expects(type) {
    owner.record->mailbox = this;
  }
  context_mailbox(const context_mailbox&) = delete;
  context_mailbox& operator=(const context_mailbox&) = delete;
  ~context_mailbox() { owner.record->mailbox = nullptr; }

  control_block& owner;
  const std::type_info* expects;    ///< the type of the value it waits for; null: anything
  context_state* active = nullptr;  ///< of a plain fiber: the context that runs for it
  bool has_arrived = false;
  context_message message;
};

/// Throws std::logic_error.
[[noreturn]] void refuse_switch(const char* why);

struct context_life {
  using stage = context_state::stage;

  static stage stage_of(const context_state& c) noexcept {
    return c.stage_.load(std::memory_order_relaxed);
  }
  /// The context whose fiber `f` is, or null.
  static context_state* context_of(const control_block& f) noexcept {
    return f.record->kind == fiber_kind::context ? static_cast<context_state*>(f.record->argument)
                                                 : nullptr;
  }

  /// The fiber of the context that runs while `f`, a plain fiber, waits in a switch; else null.
  static const control_block* runs_for(const control_block& f) noexcept {
    const auto* const box = static_cast<const context_mailbox*>(f.record->mailbox);
    return box && box->active ? box->active->fiber_ : nullptr;
  }

  // Life, in context.cpp.

  /// Gives a fresh context its fiber. Throws std::system_error, and std::logic_error when it
  /// belongs to another thread.
  static void begin(context_state& c, worker& w);
  /// Ends a fresh context, which then never runs.
  static void end_fresh(context_state& c) noexcept;
  /// The entry of a context's fiber.
  static void run(control_block& f);
  /// The whole life of a begun context, in a frame that is left before the fiber ends. Returns
  /// whom to go on with, null for the next ready fiber.
  static control_block* live(context_state& c) noexcept;
  /// Calls the body; what is left of it.
  static context_message result_of(context_state& c) noexcept;
  /// Gives what is left to whom it belongs; returns as live().
  static control_block* hand_up(context_state& c, worker& w, context_message last) noexcept;
  /// The owner goes, on the context's thread, where it waits in a switch: throws fiber_exit there.
  static void end_in_switch(context_state& c, worker& w) noexcept;
  /// The same where it waits in the scheduler. Returns when it has ended, or comes to a switch.
  static void end_in_scheduler(context_state& c, worker& w) noexcept;
  /// True when `f` is in the middle of ending `c`, maybe null, or what waits for the end of `c`.
  static bool waits_for_end_of(const control_block& f, const context_state* c) noexcept;
  /// The owner goes, on another thread.
  static void end_elsewhere(context_state& c) noexcept;
  struct end_call;

  // Switching, in context_switch.cpp.

  /// The mailbox of a fiber that waits in a switch for something to arrive; else null.
  static context_mailbox* open_mailbox(const control_block& f) noexcept;
  /// True when a fiber that waits for a value of type `expected`, null for any, can take `m`.
  static bool is_acceptable(const context_message& m, const std::type_info* expected) noexcept {
    return !m.value || !expected || *m.type == *expected;
  }
  /// `f` when a switch may lead there directly, null when it is queued and gets its turn anyway.
  static control_block* direct(control_block& f) noexcept {
    return f.state == fiber_state::ready ? nullptr : &f;
  }

  /// Who is next above: a fiber that can take something, or a context that has not begun.
  struct receiver {
    control_block* fiber = nullptr;
    context_state* fresh = nullptr;
  };
  /// Looks from `ancestor` upwards, and at last at the plain fiber of `strand`. An error ends the
  /// fresh contexts that it passes. May find the running fiber, or nobody.
  static receiver above(context_state* ancestor, const worker& w, const context_mailbox* strand,
                        bool is_error) noexcept;
  /// above(), and begins a fresh one; an error that comes of it goes further up in place of `m`.
  static control_block* receiver_above(context_state* ancestor, worker& w,
                                       const context_mailbox* strand, context_message& m) noexcept;

  /// Throws what keeps the running fiber from waiting in a switch: its kill, or that nobody can
  /// switch to it any more.
  static void check_may_wait(const worker& w);
  /// Throws when `f` cannot take `m`.
  static void check_takes(const control_block& f, const context_message& m);
  /// Leaves `m` where `to` finds it: in its mailbox, or for the begin of its body.
  static void put(control_block& to, context_message m) noexcept;
  static void move_strand(context_mailbox* strand, const control_block& to) noexcept;
  /// Brings `m` to `to`, and waits until something is brought here.
  static context_message exchange(worker& w, control_block& to, context_message m,
                                  const std::type_info* expected, interruptible kind);
  /// exchange() for a switch by a body; `find` returns where it leads, and is asked again when that
  /// has to have its turn first.
  template <class Find>
  static context_message switch_to(worker& w, context_message m, const std::type_info& expected,
                                   Find find) {
    check_may_wait(w);
    control_block* to = &find(m);
    while (!direct(*to)) {
      w.yield();
      check_may_wait(w);
      to = &find(m);
    }
    return opened(exchange(w, *to, std::move(m), &expected, interruptible::yes));
  }
  /// Throws what was brought as an error.
  static context_message opened(context_message m) {
    if (m.error) std::rethrow_exception(std::exchange(m.error, nullptr));
    return m;
  }
};

}  // namespace coir::detail
