#include "tests/model/machine.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <new>
#include <utility>

namespace coir::model {
namespace {

namespace ctx = boost::context::detail;

constexpr std::size_t stack_bytes = 64 * 1024;
constexpr std::size_t arena_bytes = 64 * 1024;

// One for each thread, and one for the objects made before them: so addresses depend on what a
// thread did, and not on what the others did meanwhile.
struct arena {
  alignas(64) char memory[arena_bytes];
  std::size_t used = 0;
};
arena arenas[threads_max + 1];
alignas(64) char stacks[threads_max][stack_bytes];

[[noreturn]] void give_up(const char* why) {
  std::fprintf(stderr, "model: %s\n", why);
  std::abort();
}

/// Spreads its argument over all bits (the finalizer of splitmix64).
std::uint64_t spread(std::uint64_t x) noexcept {
  x += 0x9e3779b97f4a7c15;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

std::uint64_t mix(std::uint64_t a, std::uint64_t b) noexcept { return spread(spread(a) ^ b); }

std::uint64_t print_of(const vector_clock& c) noexcept {
  std::uint64_t bits = 0;
  for (const std::uint8_t n : c) bits = bits << 8 | n;
  return bits;
}

std::uint64_t print_of(const location& l) noexcept {
  return mix(mix(reinterpret_cast<std::uintptr_t>(&l), l.value), print_of(l.released));
}

void join(vector_clock& to, const vector_clock& other) noexcept {
  for (std::size_t t = 0; t < to.size(); ++t) to[t] = std::max(to[t], other[t]);
}

bool acquires(std::memory_order order) noexcept {
  return order != std::memory_order_relaxed && order != std::memory_order_release;
}

bool releases(std::memory_order order) noexcept {
  return order == std::memory_order_release || order == std::memory_order_acq_rel ||
         order == std::memory_order_seq_cst;
}

}  // namespace

location::location(std::uint64_t bits) noexcept : value(bits), number(0) {
  machine::current()->add_location(*this);
}

location::~location() {
  is_dead = true;
  if (machine* const m = machine::current()) m->remove_location(*this);
}

machine::machine(memory model, int excuses, bool follows_orders)
    : model_(model), excuses_max_(excuses), follows_orders_(follows_orders) {
  for (thread& t : threads_) t.buffer.reserve(buffered_max);
}

void machine::add_location(location& l) noexcept {
  l.number = locations_++;
  memory_print_ += print_of(l);
}

void machine::remove_location(location& l) noexcept { memory_print_ -= print_of(l); }

void* machine::allocate(std::size_t bytes) {
  arena& a = arenas[current_->running_ + 1];
  const std::size_t rounded = (bytes + 63) / 64 * 64;
  if (a.used + rounded > sizeof a.memory) give_up("the arena is full");
  return a.memory + std::exchange(a.used, a.used + rounded);
}

bool machine::owns(const void* memory) noexcept {
  const auto at = reinterpret_cast<std::uintptr_t>(memory);
  const auto from = reinterpret_cast<std::uintptr_t>(&arenas[0]);
  return at - from < sizeof arenas;
}

void machine::clear() {
  current_ = nullptr;
  for (arena& a : arenas) a.used = 0;
  excuses_left_ = excuses_max_;
  running_ = -1;
  fault_ = nullptr;
  memory_print_ = 0;
  locations_ = 0;
  for (thread& t : threads_) {
    t.next = {};
    t.last = {};
    t.history = 0;
    t.clock = {};
    t.is_over = true;
    t.buffer.clear();
  }
}

void machine::start(int threads) {
  threads_count_ = threads;
  for (int t = 0; t < threads; ++t) {
    threads_[t].is_over = false;
    threads_[t].clock[static_cast<std::size_t>(t)] = follows_orders_;
    threads_[t].context = ctx::make_fcontext(stacks[t] + stack_bytes, stack_bytes, enter);
  }
  for (int t = 0; t < threads; ++t) resume(t);
}

void machine::enter(ctx::transfer_t from) {
  machine& m = *static_cast<machine*>(from.data);
  m.scheduler_ = from.fctx;
  m.run_(m.argument_, m.running_);
  m.threads_[m.running_].is_over = true;
  ctx::jump_fcontext(m.scheduler_, nullptr);
}

void machine::resume(int t) {
  running_ = t;
  const ctx::transfer_t back = ctx::jump_fcontext(threads_[t].context, this);
  threads_[t].context = back.fctx;
  running_ = -1;
}

outcome machine::perform(const operation& op) {
  if (op.at->is_dead) fail("an atomic is used after it was destroyed");
  if (running_ < 0) {
    outcome out;
    execute_directly(op, out);
    return out;
  }
  thread& self = threads_[running_];
  self.next = op;
  const ctx::transfer_t back = ctx::jump_fcontext(scheduler_, nullptr);
  scheduler_ = back.fctx;
  return self.last;
}

void machine::fail(const char* fault) {
  if (!fault_) fault_ = fault;
  if (running_ < 0) return;
  thread& self = threads_[running_];
  self.is_over = true;
  ctx::jump_fcontext(scheduler_, nullptr);
}

void machine::settle(int place, std::uint64_t summary) {
  if (follows_orders_) return;
  const auto where = static_cast<std::uint64_t>(place);
  threads_[running_].history = mix(mix(summary, where), arenas[running_ + 1].used);
}

// --- what may happen -----------------------------------------------------------------------------

std::vector<choice> machine::choices() const {
  std::vector<choice> found;
  if (fault_) return found;
  for (int i = 0; i < threads_count_; ++i) {
    const thread& t = threads_[i];
    const auto number = static_cast<std::uint8_t>(i);
    if (!t.is_over && is_possible(t)) found.push_back({number, choice::step, 0});
    const bool has_excuse = t.next.is_weak || t.next.may_give_up;
    if (!t.is_over && has_excuse && excuses_left_ > 0 && t.buffer.empty())
      found.push_back({number, choice::fail, 0});
    for (std::size_t place = 0; place < t.buffer.size(); ++place) {
      if (may_flush(t, place))
        found.push_back({number, choice::flush, static_cast<std::uint8_t>(place)});
    }
  }
  return found;
}

bool machine::is_possible(const thread& t) const {
  const operation& op = t.next;
  if (op.what == operation::load) return true;
  if (op.what == operation::store && op.order != std::memory_order_seq_cst)
    return model_ == memory::sequential || t.buffer.size() < buffered_max;
  if (!t.buffer.empty()) return false;
  if (op.what == operation::await) return op.at->value >= op.expected;
  return op.what != operation::take || op.at->value == op.expected;
}

bool machine::may_flush(const thread& t, std::size_t place) const {
  if (place == 0) return true;
  if (model_ != memory::weak_stores || t.buffer[place].is_release) return false;
  for (std::size_t before = 0; before < place; ++before) {
    if (t.buffer[before].at == t.buffer[place].at) return false;
  }
  return true;
}

void machine::take(choice c) {
  thread& t = threads_[c.thread];
  if (c.what == choice::flush) {
    const buffered b = t.buffer[c.place];
    t.buffer.erase(t.buffer.begin() + c.place);
    write(*b.at, b.value, b.released, false);
    return;
  }
  if (c.what == choice::fail) --excuses_left_;
  execute(t, c.what == choice::fail);
  resume(c.thread);
}

// --- what it does --------------------------------------------------------------------------------

/// The youngest store of the thread that only itself can see; else null.
const machine::buffered* machine::own_store(const thread& t, const location& at) {
  for (std::size_t place = t.buffer.size(); place-- > 0;) {
    if (t.buffer[place].at == &at) return &t.buffer[place];
  }
  return nullptr;
}

void machine::write(location& at, std::uint64_t value, const vector_clock& released, bool is_rmw) {
  if (at.is_dead) return fail("an atomic is written after it was destroyed");
  memory_print_ -= print_of(at);
  at.value = value;
  if (is_rmw) {
    join(at.released, released);  // a release sequence goes on
  } else {
    at.released = released;
  }
  memory_print_ += print_of(at);
}

void machine::execute(thread& t, bool fails) {
  const operation& op = t.next;
  const auto self = static_cast<std::size_t>(&t - threads_.data());
  if (t.clock[self] == 255) give_up("a thread does more than it can count");
  outcome& out = t.last;
  const buffered* const own = own_store(t, *op.at);
  out = {own ? own->value : op.at->value, !fails};
  if (op.what == operation::compare && out.value != op.expected) out.is_swapped = false;
  const bool changes = op.what != operation::load && op.what != operation::await && !fails &&
                       (op.what != operation::compare || out.is_swapped);
  const std::memory_order order =
      op.what == operation::compare && !changes ? op.on_failure : op.order;
  const bool reads = op.what != operation::store;
  if (reads && !own && acquires(order)) join(t.clock, op.at->released);
  if (changes) {
    std::uint64_t value = op.operand;
    if (op.what == operation::add) value = out.value + op.operand;
    if (op.what == operation::bit_or) value = out.value | op.operand;
    if (op.what == operation::bit_and) value = out.value & op.operand;
    const vector_clock released = releases(order) ? t.clock : vector_clock{};
    const bool waits = op.what == operation::store && order != std::memory_order_seq_cst &&
                       model_ != memory::sequential;
    if (waits) {
      t.buffer.push_back({op.at, value, released, releases(order)});
    } else {
      write(*op.at, value, released, op.what != operation::store);
    }
  }
  if (follows_orders_) ++t.clock[self];  // what comes now is after what was released
  const std::uint64_t learned = reads ? mix(out.value, out.is_swapped) : 0;
  t.history = mix(mix(t.history, learned), print_of(t.clock));
}

/// Before the threads begin.
void machine::execute_directly(const operation& op, outcome& out) {
  out.value = op.at->value;
  if (op.what == operation::load) return;
  if (op.what != operation::store) give_up("only loads and stores may come before the threads");
  write(*op.at, op.operand, {}, false);
}

bool machine::is_over() const noexcept {
  for (const thread& t : threads_) {
    if (!t.is_over || !t.buffer.empty()) return false;
  }
  return !fault_;
}

std::uint64_t machine::fingerprint() const {
  std::uint64_t print = mix(memory_print_, static_cast<std::uint64_t>(excuses_left_));
  for (const thread& t : threads_) {
    print = mix(print, t.history);
    print = mix(print, t.is_over);
    for (const buffered& b : t.buffer) {
      print = mix(mix(print, reinterpret_cast<std::uintptr_t>(b.at)), b.value);
      print = mix(mix(print, print_of(b.released)), b.is_release);
    }
  }
  return mix(print, reinterpret_cast<std::uintptr_t>(fault_));
}

// --- in words ------------------------------------------------------------------------------------

std::string machine::describe(choice c, const std::vector<const char*>& names) const {
  static constexpr const char* verbs[] = {"loads",  "stores",   "exchanges", "adds to", "sets in",
                                          "clears", "compares", "waits for", "takes",   "begins"};
  const thread& t = threads_[c.thread];
  auto name_of = [&](const location& l) {
    return l.number < names.size() ? std::string(names[l.number])
                                   : "place " + std::to_string(l.number);
  };
  auto text_of = [](std::uint64_t value) {
    char text[32];
    std::snprintf(text, sizeof text, value < 4096 ? "%llu" : "%#llx",
                  static_cast<unsigned long long>(value));
    return std::string(text);
  };
  if (c.what == choice::flush) {
    const buffered& b = t.buffer[c.place];
    return "(its store of " + text_of(b.value) + " to " + name_of(*b.at) + " becomes visible)";
  }
  const operation& op = t.next;
  std::string text = std::string(verbs[op.what]) + " " + name_of(*op.at);
  if (c.what == choice::fail) return text + ", which ends without a cause";
  const buffered* const own = own_store(t, *op.at);
  const std::uint64_t seen = own ? own->value : op.at->value;
  if (op.what != operation::store) text += ", finds " + text_of(seen);
  if (op.what == operation::compare && seen != op.expected) return text + ", leaves it";
  if (op.what == operation::bit_and) return text + ", keeps " + text_of(op.operand);
  if (op.what != operation::load && op.what != operation::await)
    text += (op.what == operation::store ? " := " : ", puts ") + text_of(op.operand);
  return text;
}

}  // namespace coir::model

// What the threads of an execution allocate comes out of its arena, and goes with it.

void* operator new(std::size_t bytes) {
  const coir::model::machine* const m = coir::model::machine::current();
  if (m && m->is_allocating()) return coir::model::machine::allocate(bytes);
  if (void* const memory = std::malloc(bytes)) return memory;
  throw std::bad_alloc();
}

void operator delete(void* memory) noexcept {
  if (!coir::model::machine::owns(memory)) std::free(memory);
}

void operator delete(void* memory, std::size_t) noexcept { operator delete(memory); }
