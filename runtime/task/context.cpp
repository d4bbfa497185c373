// How raw contexts begin and end: see context_life.hpp.
#include <coir/context.hpp>

#include "runtime/kernel/report.hpp"
#include "runtime/task/context_life.hpp"
#include "runtime/task/current_values.hpp"
#include "runtime/task/fiber_start.hpp"
#include "runtime/task/lost_error.hpp"

#include <memory>
#include <new>
#include <stdexcept>

namespace coir::detail {
namespace {

// How often a body that is to end may switch instead
constexpr int ends_max = 100;

}  // namespace

void context_life::begin(context_state& c, worker& w) {
  for (const context_state* p = c.parent(); p; p = p->parent()) {
    if (p->home_ && p->home_ != &w) refuse_switch("it belongs to the thread of its parent");
  }
  control_block& f =
      w.make_fiber(stack_bytes_or_default(c.how_.stack_bytes), run, &c, fiber_kind::context);
  f.record->id = next_fiber_id();
  f.record->name = c.how_.name.empty() ? "context" : c.how_.name.c_str();
  f.record->spawn_site = nullptr;
  f.record->mailbox = nullptr;
  give_inherited(c.inherited_.detach(), f.record->values);
  c.fiber_ = &f;
  c.home_ = &w;
  c.has_begun_.store(true, std::memory_order_relaxed);
  c.stage_.store(stage::begun, std::memory_order_relaxed);
  c.retain();  // the fiber's own reference
}

void context_life::end_fresh(context_state& c) noexcept {
  c.stage_.store(stage::dead, std::memory_order_release);
  c.inherited_ = {};
  c.drop_body();
}

void context_life::run(control_block& f) {
  control_block* const next = live(*context_of(f));
  worker::of(f).end_running(next);
}

[[gnu::noinline]] control_block* context_life::live(context_state& c) noexcept {
  context_message last = result_of(c);
  c.drop_body();
  end_values(c.fiber_->record->values);
  c.fiber_->record->name = "ended context";  // the state, which owns the name, may go now
  worker& w = worker::of(*c.fiber_);
  const task_ref<context_state> own(&c);  // the fiber's reference
  c.fiber_ = nullptr;
  c.stage_.store(stage::dead, std::memory_order_release);  // pairs with the acquire in is_dead()
  while (c.parent_ && c.parent_->is_dead()) c.parent_ = c.parent_->parent_;  // chains stay short
  if (c.joiner_) worker::wake(*c.joiner_);
  return hand_up(c, w, std::move(last));
}

context_message context_life::result_of(context_state& c) noexcept {
  context_message last;
  try {
    context_message first = std::move(c.first_);
    last.value = c.run(first);
    last.type = c.out_;
    c.retain();
    last.ended = task_ref<context_state>(&c);
  } catch (const fiber_exit&) {
  } catch (...) {
    last.error = std::current_exception();
  }
  return last;
}

control_block* context_life::hand_up(context_state& c, worker& w, context_message last) noexcept {
  control_block* to = c.ender_;
  if (!to) {
    to = receiver_above(c.parent(), w, c.strand_, last);
  } else if (!open_mailbox(*to)) {
    to = nullptr;  // something else has reached it first; it will see that this one has ended
  }
  context_mailbox* const strand = std::exchange(c.strand_, nullptr);
  if (!to) {
    if (strand) strand->active = nullptr;
    if (last.error) report_lost_error("a context that nobody waits for", last.error);
    return nullptr;
  }
  if (context_mailbox* box = open_mailbox(*to); box && !is_acceptable(last, box->expects)) {
    last = {};
    last.error = std::make_exception_ptr(std::logic_error(
        "coir::context: one has ended with a value of another type than its parent waits for"));
  }
  put(*to, std::move(last));
  move_strand(strand, *to);
  return direct(*to);
}

void context_life::end_in_switch(context_state& c, worker& w) noexcept {
  context_state* const own = context_of(*w.running);
  c.ender_ = w.running;
  const context_message last =
      exchange(w, *c.fiber_, {nullptr, nullptr, std::make_exception_ptr(fiber_exit()), {}}, nullptr,
               interruptible::no);
  c.ender_ = nullptr;
  if (!last.error) return;
  if (stage_of(c) == stage::begun && own && own->ender_) {
    own->is_orphan_ = true;  // the caller is to end as well
  } else {
    report_lost_error("a context that was destroyed", last.error);
  }
}

void context_life::end_in_scheduler(context_state& c, worker& w) noexcept {
  w.kill(*c.fiber_, nullptr);
  c.joiner_ = w.running;
  while (stage_of(c) == stage::begun && !open_mailbox(*c.fiber_))
    w.park(wait_reason::context, never, interruptible::no);
  c.joiner_ = nullptr;
}

/// On its way to the thread of the context.
struct context_life::end_call final : remote_call {
  explicit end_call(context_state& c) noexcept : target(&c) {
    c.retain();
    invoke = [](remote_call& call) noexcept {
      const std::unique_ptr<end_call> self(static_cast<end_call*>(&call));
      context_state& ended = *self->target.get();
      if (stage_of(ended) != stage::begun) return;
      ended.is_orphan_ = true;
      ended.home_->kill(*ended.fiber_, nullptr);
    };
  }
  task_ref<context_state> target;
};

void context_life::end_elsewhere(context_state& c) noexcept {
  kernel::report("a context was destroyed on another thread than its own, which will end it");
  auto* const call = new (std::nothrow) end_call(c);
  if (call) c.home_->post(*call);
}

bool context_life::waits_for_end_of(const control_block& f, const context_state* c) noexcept {
  while (c) {
    const control_block* const waiting = c->ender_ ? c->ender_ : c->joiner_;
    if (waiting == &f) return true;
    c = waiting ? context_of(*waiting) : nullptr;
  }
  return false;
}

context_state::context_state(const attributes& how, const std::type_info& in,
                             const std::type_info& out)
    : inherited_(inherited_snapshot::of_caller()), how_(how), in_(&in), out_(&out) {
  if (context_state* const maker = current()) {
    maker->retain();
    parent_ = task_ref<context_state>(maker);
  }
}

context_state::~context_state() = default;

context_state* context_state::current() noexcept {
  const worker* const w = worker::current_or_null();
  return w ? context_life::context_of(*w->running) : nullptr;
}

void context_state::set_parent(context_state* parent) {
  for (const context_state* each = parent; each; each = each->parent()) {
    if (each == this)
      throw std::invalid_argument("coir::context: it would be among its own parents");
    if (home_ && each->home_ && home_ != each->home_)
      throw std::invalid_argument("coir::context: the parent is on another thread");
  }
  if (parent) parent->retain();
  parent_ = task_ref<context_state>(parent);
}

void context_state::end() noexcept {
  if (context_life::stage_of(*this) == stage::fresh) return context_life::end_fresh(*this);
  for (int times = 0; !is_dead(); ++times) {
    worker* const w = worker::current_or_null();
    if (home_ != w) return context_life::end_elsewhere(*this);
    const control_block& self = *w->running;
    if (fiber_ == &self ||
        context_life::waits_for_end_of(*fiber_, context_life::context_of(self))) {
      is_orphan_ = true;
      return kernel::report("a context was destroyed while it runs; its next switch will end it");
    }
    if (!context_life::open_mailbox(*fiber_)) {
      context_life::end_in_scheduler(*this, *w);
    } else if (times < ends_max) {
      context_life::end_in_switch(*this, *w);
    } else {
      is_orphan_ = true;
      return kernel::report("a context did not end when it was destroyed; it is abandoned");
    }
  }
}

}  // namespace coir::detail
