#include <coir/dump.hpp>

#include "runtime/diag/wait_graph.hpp"
#include "runtime/task/context_life.hpp"
#include "runtime/task/generator_stack.hpp"

#include <coir/detail/task.hpp>
#include <coir/mutex.hpp>

#include <cstdint>
#include <cstdio>
#include <mutex>
#include <ostream>

namespace coir {
namespace detail {
namespace {

/// What a fiber waits for, when nothing more is known than the kind of wait.
const char* words_for(wait_reason why) noexcept {
  switch (why) {
    case wait_reason::none:
      return "waits";
    case wait_reason::io:
      return "waits for a descriptor";
    case wait_reason::sleep:
      return "sleeps";
    case wait_reason::mutex:
      return "waits for mutex";
    case wait_reason::condition:
      return "waits for condition variable";
    case wait_reason::semaphore:
      return "waits for a unit of semaphore";
    case wait_reason::event:
      return "waits for event";
    case wait_reason::queue:
      return "waits at queue";
    case wait_reason::join:
      return "waits for the end of";
    case wait_reason::offload:
      return "waits for a thread that does blocking work";
    case wait_reason::context:
      return "waits for a switch";
    case wait_reason::channel:
      return "waits at channel";
    case wait_reason::select:
      return "waits in a select";
    case wait_reason::several:
      return "waits for one of several objects";
    case wait_reason::shared_mutex:
      return "waits for shared mutex";
    case wait_reason::latch:
      return "waits for latch";
    case wait_reason::barrier:
      return "waits for barrier";
    case wait_reason::once:
      return "waits for a call_once by another";
    case wait_reason::wait_group:
      return "waits for wait group";
    case wait_reason::future:
      return "waits for a future's promise";
    case wait_reason::place:
      return "waits for a place in pool";
    case wait_reason::serve:
      return "serves the fibers of its worker";
  }
  return "waits";
}

std::string address_of(const void* object) {
  char text[32];
  std::snprintf(text, sizeof text, " at %p", object);
  return text;
}

const char* kind_of(const control_block& f) noexcept {
  switch (f.record->kind) {
    case fiber_kind::spawned:
      return "fiber";
    case fiber_kind::context:
      return "context";
    case fiber_kind::generator:
      return "generator";
  }
  return "fiber";
}

std::string age(std::uint32_t ms) {
  char text[48];
  std::snprintf(text, sizeof text, ", for %u.%03u s", ms / 1000, ms % 1000);
  return text;
}

}  // namespace

std::string wait_graph::name_of(const control_block& f) {
  return std::string(kind_of(f)) + " \"" + f.record->name + "\" (#" + std::to_string(f.record->id) +
         ')';
}

/// ", held by ..." for a mutex.
std::string wait_graph::holder_of(const waiter& w) {
  mutex& wanted = *static_cast<mutex*>(w.payload);
  const std::lock_guard guard(wanted.lock_);
  std::string holder = address_of(&wanted);
  if (wanted.owner_) holder += ", held by " + name_of(*wanted.owner_);
  return holder;
}

std::string wait_graph::joined_by(const waiter& w) {
  const task* joined = static_cast<const task*>(w.payload);
  if (!joined) return " the fibers of a pool";
  return " fiber \"" + joined->name() + "\" (#" + std::to_string(joined->id()) + ')';
}

/// " back from ..." for a plain fiber that waits in a switch.
std::string wait_graph::switch_of(const control_block& f) {
  const control_block* const runs = context_life::runs_for(f);
  return runs ? " back from " + name_of(*runs) : "";
}

std::string wait_graph::wait_of(const control_block& f) {
  std::string text = words_for(f.why);
  if (f.why == wait_reason::context) return text + switch_of(f);
  if (!is_for_fibers(f.why) || !f.waits_in || f.why == wait_reason::several) return text;
  const waiter& w = *f.waits_in;
  if (f.why == wait_reason::mutex) return text + holder_of(w);
  if (f.why == wait_reason::join) return text + joined_by(w);
  return text + address_of(w.queue);
}

std::string wait_graph::state_of(const control_block& f, std::uint32_t now_ms) {
  switch (f.state) {
    case fiber_state::parked:
      return wait_of(f) + age(now_ms - f.since_ms);
    case fiber_state::suspended:
      return f.record->kind == fiber_kind::generator ? "stands at its yield"
                                                     : "is suspended until somebody switches to it";
    case fiber_state::ready:
      return "is ready to run";
    case fiber_state::running:
      return "runs";
    case fiber_state::ended:
    case fiber_state::free:
      break;
  }
  return "has ended";
}

std::string wait_graph::describe(const control_block& f, std::uint32_t now_ms) {
  std::string text = name_of(f) + ' ' + state_of(f, now_ms);
  if (const control_block* body = innermost_generator(f)) text += ", in " + name_of(*body);
  return text;
}

std::string wait_graph::describe_all(worker& w) {
  std::string text;
  w.for_each_fiber([&](const control_block& f) {
    if (f.state != fiber_state::free && !is_lent(f)) text += "  " + describe(f, w.now_ms()) + '\n';
  });
  return text;
}

}  // namespace detail

std::string dump() { return detail::wait_graph::describe_all(detail::worker::current()); }

void dump(std::ostream& out) { out << dump(); }

}  // namespace coir
