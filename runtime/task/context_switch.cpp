// The way from one context to another: see context_life.hpp.
#include "runtime/task/context_life.hpp"

#include "runtime/task/lost_error.hpp"

#include <coir/exceptions.hpp>

#include <stdexcept>
#include <string>

namespace coir::detail {

void refuse_switch(const char* why) {
  throw std::logic_error(std::string("coir::context: ") + why);
}

context_mailbox* context_life::open_mailbox(const control_block& f) noexcept {
  auto* const box = static_cast<context_mailbox*>(f.record->mailbox);
  if (!box || box->has_arrived) return nullptr;
  return f.state == fiber_state::parked || f.state == fiber_state::ready ? box : nullptr;
}

context_life::receiver context_life::above(context_state* ancestor, const worker& w,
                                           const context_mailbox* strand, bool is_error) noexcept {
  for (context_state* p = ancestor; p; p = p->parent()) {
    if (stage_of(*p) == stage::fresh) {
      if (!is_error) return {nullptr, p};
      end_fresh(*p);
    } else if (p->fiber_ && p->home_ == &w) {
      if (p->fiber_ == w.running || open_mailbox(*p->fiber_)) return {p->fiber_, nullptr};
    }
  }
  if (strand && open_mailbox(strand->owner)) return {&strand->owner, nullptr};
  return {};
}

control_block* context_life::receiver_above(context_state* ancestor, worker& w,
                                            const context_mailbox* strand,
                                            context_message& m) noexcept {
  for (;;) {
    const receiver found = above(ancestor, w, strand, m.error != nullptr);
    if (!found.fresh) return found.fiber;
    try {
      if (!is_acceptable(m, found.fresh->in_))
        refuse_switch("a child ended with a value of another type than its parent takes");
      begin(*found.fresh, w);
      return found.fresh->fiber_;
    } catch (...) {
      m = {};
      m.error = std::current_exception();
    }
  }
}

void context_life::check_may_wait(const worker& w) {
  throw_if_interrupted();
  const context_state* const self = context_of(*w.running);
  if (self && self->is_orphan_) throw fiber_exit();
}

void context_life::check_takes(const control_block& f, const context_message& m) {
  const context_mailbox* const box = open_mailbox(f);
  if (!box) refuse_switch("it waits for something else than a switch");
  if (!is_acceptable(m, box->expects)) refuse_switch("it waits for a value of another type");
}

void context_life::put(control_block& to, context_message m) noexcept {
  if (context_mailbox* const box = open_mailbox(to)) {
    box->message = std::move(m);
    box->has_arrived = true;
  } else {
    context_of(to)->first_ = std::move(m);
  }
}

/// Along with control. It ends where its plain fiber goes on.
void context_life::move_strand(context_mailbox* strand, const control_block& to) noexcept {
  context_state* const now = context_of(to);
  if (strand) strand->active = now;
  if (now) now->strand_ = strand;
}

context_message context_life::exchange(worker& w, control_block& to, context_message m,
                                       const std::type_info* expected, interruptible kind) {
  control_block& self = *w.running;
  context_mailbox box(self, expected);
  put(to, std::move(m));
  context_state* const own = context_of(self);
  move_strand(own ? std::exchange(own->strand_, nullptr) : &box, to);
  if (own && own->joiner_) worker::wake(*own->joiner_);
  wait_status how = w.park_for(direct(to), wait_reason::context, kind);
  while (!box.has_arrived && how == wait_status::woken)  // without a cause
    how = w.park(wait_reason::context, never, kind);
  if (box.active && box.active->strand_ == &box) box.active->strand_ = nullptr;
  if (!box.has_arrived) throw_if_interrupted();
  return std::move(box.message);
}

context_message context_state::switch_here(void* value, const std::type_info& sent,
                                           const std::type_info& expected) {
  worker& w = worker::current();
  const auto find = [&](const context_message& m) -> control_block& {
    if (is_dead()) refuse_switch("switched to after its end");
    if (context_life::stage_of(*this) == stage::fresh) {
      context_life::begin(*this, w);
      return *fiber_;
    }
    if (home_ != &w) refuse_switch("it belongs to another thread");
    if (fiber_ == w.running) refuse_switch("switched to itself");
    context_life::check_takes(*fiber_, m);
    return *fiber_;
  };
  return context_life::switch_to(w, {value, &sent, nullptr, {}}, expected, find);
}

context_message context_state::throw_here(std::exception_ptr error,
                                          const std::type_info& expected) {
  if (!error) throw std::invalid_argument("coir::context: no exception to throw into it");
  worker& w = worker::current();
  if (fiber_ && fiber_ == w.running) std::rethrow_exception(error);
  context_message m{nullptr, nullptr, std::move(error), {}};
  if (context_life::stage_of(*this) != stage::begun) return throw_above(w, std::move(m), expected);
  const auto find = [&](const context_message& brought) -> control_block& {
    if (is_dead()) refuse_switch("it has ended meanwhile");
    if (home_ != &w) refuse_switch("it belongs to another thread");
    context_life::check_takes(*fiber_, brought);
    return *fiber_;
  };
  return context_life::switch_to(w, std::move(m), expected, find);
}

context_message context_state::throw_above(worker& w, context_message m,
                                           const std::type_info& expected) {
  context_life::check_may_wait(w);
  if (!is_dead()) context_life::end_fresh(*this);
  if (is_fiber_exit(m.error)) m = {};  // no error: it ends what it was thrown into, and that is all
  context_state* const own = current();
  control_block* to = context_life::receiver_above(parent(), w, own ? own->strand_ : nullptr, m);
  if (!to && own) refuse_switch("nobody waits for it");
  if (!to || to == w.running) return context_life::opened(std::move(m));
  return context_life::opened(
      context_life::exchange(w, *to, std::move(m), &expected, interruptible::yes));
}

context_message context_state::switch_up(void* value, const std::type_info& sent,
                                         const std::type_info& expected) {
  context_state* const own = current();
  if (!own) refuse_switch("there is no running context whose parent could be switched to");
  worker& w = worker::of(*own->fiber_);
  const auto find = [&](const context_message& m) -> control_block& {
    const auto found = context_life::above(own->parent(), w, own->strand_, false);
    if (found.fresh) {
      if (!context_life::is_acceptable(m, found.fresh->in_))
        refuse_switch("the parent takes a value of another type");
      context_life::begin(*found.fresh, w);
      return *found.fresh->fiber_;
    }
    if (!found.fiber) refuse_switch("neither a parent nor a plain fiber waits for it");
    context_life::check_takes(*found.fiber, m);
    return *found.fiber;
  };
  return context_life::switch_to(w, {value, &sent, nullptr, {}}, expected, find);
}

context_message context_state::switch_to_main(void* value, const std::type_info& sent,
                                              const std::type_info& expected) {
  context_state* const own = current();
  if (!own) refuse_switch("there is no running context to leave");
  const auto find = [&](const context_message& m) -> control_block& {
    if (!own->strand_) refuse_switch("the plain fiber beneath waits for it no more");
    context_life::check_takes(own->strand_->owner, m);
    return own->strand_->owner;
  };
  return context_life::switch_to(worker::of(*own->fiber_), {value, &sent, nullptr, {}}, expected,
                                 find);
}

}  // namespace coir::detail
