// The lock-free parts by which workers reach each other, the real code, in every interleaving of
// small programs: the inbox with its mark of sleep, the deque that others take from, and the
// hand-shake of those who add work with those who go to sleep. And the same with one mistake each,
// made in the text of the sources, every one of which must be found.
//
// Prints how many states were visited, and for each mistake the shortest way to its effect.
// tests/model/machine.hpp says what is modelled of memory, and what is not.
#include "runtime/base/idle_set.hpp"
#include "runtime/base/inbox.hpp"
#include "runtime/base/work_deque.hpp"
#include "runtime/sched/common_queue.hpp"
#include "runtime/sched/hand_shake.hpp"
#include "tests/model/judge.hpp"
#include "tests/model/program_model.hpp"
#include "tests/runtime/model/crew_program.hpp"
#include "tests/runtime/model/deque_program.hpp"
#include "tests/runtime/model/inbox_program.hpp"

#include "crew_mutants.hpp"  // made by make_mutants.py

#include <cstdio>
#include <string>

namespace {

using namespace coir::model;

constexpr std::size_t states_max = 3'000'000;  // what fits into a gigabyte
constexpr memory sequential = memory::sequential;
constexpr memory store_buffers = memory::store_buffers;
constexpr memory weak_stores = memory::weak_stores;

judge all;

/// Coir's own.
struct original {
  using inbox = coir::detail::basic_inbox<atomic>;
  using deque = coir::detail::basic_work_deque<atomic, 2>;
  using idle_set = coir::detail::basic_idle_set<atomic>;
  using common_queue = coir::detail::basic_common_queue<short_lock, atomic>;
  template <class... T>
  static bool sleep_behind(T&&... with) {
    return coir::detail::sleep_behind(std::forward<T>(with)...);
  }
  template <class... T>
  static bool enter_idle(T&&... with) {
    return coir::detail::enter_idle(std::forward<T>(with)...);
  }
  template <class... T>
  static void wake_one(T&&... with) {
    coir::detail::wake_one(std::forward<T>(with)...);
  }
};

template <class Kit>
using inbox_with = typename inbox_program<Kit>::parameters;
template <class Kit>
using deque_with = typename deque_program<Kit>::parameters;
template <class Kit>
using crew_with = typename crew_program<Kit>::parameters;

template <class Program>
void must_hold(const char* name, const typename Program::parameters& with) {
  all.must_hold(name, explore<Program>(with, states_max));
}

/// In all models of memory.
template <class Program>
void must_hold_anyhow(const char* name, typename Program::parameters with) {
  for (const memory model : {sequential, store_buffers, weak_stores}) {
    static constexpr const char* tails[] = {"", ", store buffers", ", weak stores"};
    with.model = model;
    must_hold<Program>((std::string(name) + tails[static_cast<int>(model)]).c_str(), with);
  }
}

template <class Program>
void must_fail(const char* name, const typename Program::parameters& with) {
  all.must_fail(name, explore<Program>(with, states_max));
}

/// All stores into an inbox are read-modify-writes, so that buffers change nothing.
void check_inbox() {
  using program = inbox_program<original>;
  must_hold<program>("inbox: a producer that pushes twice", {.pushes = 2, .excuses = 2});
  must_hold<program>("inbox: one who pushes and one who rouses",
                     {.has_rouser = true, .excuses = 2});
  must_hold<program>("inbox: two producers", {.producers = 2, .excuses = 1});
  must_hold<program>("inbox: two producers and one who rouses",
                     {.producers = 2, .has_rouser = true, .excuses = 0});
  must_hold<program>("inbox: two producers that push twice",
                     {.follows_orders = false, .producers = 2, .pushes = 2, .excuses = 0});
}

template <class Kit>
void check_inbox_mutant(const char* name, bool has_rouser = false) {
  must_fail<inbox_program<Kit>>(name, {.producers = 2, .has_rouser = has_rouser});
}

void check_inbox_mutants() {
  check_inbox_mutant<mark_without_compare>("the mark is set without a compare");
  check_inbox_mutant<push_hides_mark>("a push does not say that it took the mark");
  check_inbox_mutant<push_keeps_mark>("a push leaves the mark in the list");
  check_inbox_mutant<push_relaxed>("a push does not release");
  check_inbox_mutant<take_all_relaxed>("the consumer does not acquire");
  check_inbox_mutant<take_all_in_two_steps>("the consumer takes by a load and a store");
  check_inbox_mutant<rouse_takes_calls>("who rouses does not compare", true);
  check_inbox_mutant<sleep_counts_no_wakes>("a worker retires without waiting for its wake-ups");
  check_inbox_mutant<sleep_keeps_mark>("a sleeper does not take its mark away");
}

void check_deque() {
  using program = deque_program<original>;
  must_hold_anyhow<program>("deque: the last entry, one thief", {.script = "+-", .steals = 2});
  must_hold_anyhow<program>("deque: the last entry, two thieves", {.script = "+-", .thieves = 2});
  must_hold_anyhow<program>("deque: two entries, two thieves", {.script = "++--", .thieves = 2});
  must_hold_anyhow<program>("deque: a place is used anew", {.script = "+-++-+", .steals = 2});
  must_hold_anyhow<program>("deque: it grows, one thief", {.script = "+++-", .steals = 2});
  must_hold_anyhow<program>("deque: it grows, two thieves", {.script = "+++", .thieves = 2});
  must_hold_anyhow<program>("deque: the owner takes the oldest, too",
                            {.script = "++s-+", .steals = 2});
  must_hold_anyhow<program>("deque: it grows twice", {.script = "+++++-", .steals = 2});
}

template <class Kit>
void check_deque_mutant(const char* name, const deque_with<Kit>& with) {
  must_fail<deque_program<Kit>>(name, with);
}

void check_deque_mutants() {
  check_deque_mutant<pop_without_compare>("the owner takes the last entry without a compare",
                                          {.script = "+-"});
  check_deque_mutant<pop_bottom_release>("the owner's claim of an entry is only a release",
                                         {.model = store_buffers, .script = "++-", .steals = 2});
  check_deque_mutant<pop_leaves_bottom>("the owner that lost an entry leaves bottom below top",
                                        {.script = "+-+"});
  check_deque_mutant<push_bottom_relaxed>("a push does not release", {.script = "++", .steals = 2});
  check_deque_mutant<push_publishes_first>("a push publishes a place before it writes it",
                                           {.script = "+"});
  check_deque_mutant<push_overwrites>("a full ring does not grow", {.script = "+++"});
  check_deque_mutant<steal_reads_late>("a thief reads an entry after taking it",
                                       {.script = "+++", .steals = 2});
  check_deque_mutant<steal_without_compare>("a thief takes without a compare",
                                            {.script = "+", .thieves = 2});
  check_deque_mutant<steal_looks_at_bottom_first>("a thief looks at bottom before top",
                                                  {.script = "++-", .thieves = 2});
  check_deque_mutant<grow_wipes_old_ring>("an outgrown ring is wiped", {.script = "+++"});
  check_deque_mutant<grow_forgets_oldest>("growing forgets the oldest entry", {.script = "+++"});
}

void check_crew() {
  using program = crew_program<original>;
  must_hold_anyhow<program>("crew: one member, one call, a wait that ends early",
                            {.members = 1, .script = "c", .excuses = 2});
  must_hold_anyhow<program>("crew: one member, calls and posts", {.members = 1, .script = "cp"});
  must_hold<program>("crew: two members, one call, with orders", {.script = "c"});
  must_hold_anyhow<program>("crew: two members, one call",
                            {.follows_orders = false, .script = "c"});
  must_hold<program>("crew: two members, two calls", {.follows_orders = false, .script = "cc"});
  must_hold_anyhow<program>("crew: two members, a call that adds one",
                            {.follows_orders = false, .script = "p", .children = 1});
}

template <class Kit>
void check_crew_mutant(const char* name, const crew_with<Kit>& with) {
  must_fail<crew_program<Kit>>(name, with);
}

void check_crew_mutants() {
  check_crew_mutant<rest_before_mark>("the idle set is entered before the mark is set",
                                      {.members = 1});
  check_crew_mutant<no_second_look>("no second look for work in the idle set", {.members = 1});
  check_crew_mutant<look_before_idle>("the second look comes before the idle set", {.members = 1});
  check_crew_mutant<wake_of_nobody>("who adds work wakes nobody", {.members = 1});
}

}  // namespace

int main(int argc, char** argv) {
  const std::string only = argc > 1 ? argv[1] : "";
  if (only.empty() || only == "inbox") {
    check_inbox();
    check_inbox_mutants();
  }
  if (only.empty() || only == "deque") {
    check_deque();
    check_deque_mutants();
  }
  if (only.empty() || only == "crew") {
    check_crew();
    check_crew_mutants();
  }
  return all.sum_up();
}
