// The publication of parked fibers and the hand-over of tokens, in every interleaving of small
// programs; and the same with one mistake each, every one of which must be found.
//
// Prints how many states were visited, and for each mistake the shortest way to its effect.
#include "tests/model/explorer.hpp"
#include "tests/model/judge.hpp"
#include "tests/preload/model/carriers_model.hpp"
#include "tests/preload/model/parking_model.hpp"

#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

namespace {

using namespace coir::model;

constexpr std::size_t states_max = 4'000'000;  // what fits into a gigabyte

judge all;

template <class Model>
void must_hold(const char* name, const Model& model) {
  all.must_hold(name, explorer<Model>(model, states_max).run());
}

template <class Model>
void must_fail(const char* name, const Model& model) {
  all.must_fail(name, explorer<Model>(model, states_max).run());
}

void check_parking() {
  must_hold("a fiber and a native thread", parking_model{.native_returns = true});
  must_hold("a fiber with a time limit", parking_model{.has_timers = true, .native_returns = true});
  must_hold("two fibers", parking_model{.fibers = 2});
  must_hold("two fibers and a native thread that returns",
            parking_model{.fibers = 2, .native_returns = true});
  must_hold("two fibers with time limits", parking_model{.fibers = 2, .has_timers = true});
  using enum parking_mutant;
  must_fail("no second try of the lock after linking", parking_model{.mutant = no_retest});
  must_fail("a waker enqueues a fiber that is PARKING",
            parking_model{.mutant = enqueue_while_parking});
  must_fail("the carrier stores PARKED without looking",
            parking_model{.mutant = plain_store_of_parked});
  must_fail("a second waker enqueues a NOTIFIED fiber",
            parking_model{.has_timers = true, .native_returns = true, .mutant = wake_twice});
}

constexpr instruction enqueue(std::uint8_t f) { return {op::enqueue, f}; }
constexpr instruction set(std::uint8_t flag) { return {op::set, flag}; }
constexpr instruction foreign(std::uint8_t flag) { return {op::foreign, flag}; }
constexpr instruction region(std::uint8_t flag) { return {op::region, flag}; }
constexpr instruction spin(std::uint8_t flag) { return {op::spin, flag}; }
constexpr instruction sleep_once{op::sleep, 0}, await_fd{op::await, 0},
    make_ready{op::make_ready, 0};

/// Fibers that are made ready from outside and by each other.
carriers_model wakes(int tokens, carriers_mutant mutant = carriers_mutant::none) {
  return {.tokens = tokens,
          .carriers = 2,
          .fibers = {{enqueue(1)}, {}, {}},
          .native = {enqueue(2)},
          .mutant = mutant};
}
/// A sleep, a wait for a descriptor, and others that pass by.
carriers_model waits(int tokens, carriers_mutant mutant = carriers_mutant::none) {
  return {.tokens = tokens,
          .carriers = 2,
          .fibers = {{enqueue(1), await_fd}, {sleep_once}},
          .native = {make_ready},
          .mutant = mutant};
}
/// A fiber sleeps while one that foreign code holds keeps its carrier.
carriers_model sleeps(int tokens, carriers_mutant mutant = carriers_mutant::none) {
  return {.tokens = tokens,
          .carriers = 2,
          .fibers = {{sleep_once, sleep_once}, {}},
          .native = {enqueue(1)},
          .mutant = mutant};
}
/// Foreign code waits for a flag that a fiber of the same carrier sets; another fiber is busy.
carriers_model rescue(std::uint8_t false_alarms, carriers_mutant mutant = carriers_mutant::none) {
  return {.tokens = 1,
          .carriers = 2,
          .has_monitor = true,
          .false_alarms = false_alarms,
          .fibers = {{enqueue(1), foreign(0)}, {set(0)}, {spin(0)}},
          .native = {enqueue(2)},
          .mutant = mutant};
}
/// The same with two tokens, and both of their carriers stuck.
carriers_model both_stuck() {
  return {.tokens = 2,
          .carriers = 3,
          .has_monitor = true,
          .fibers = {{enqueue(1), enqueue(2), foreign(0)}, {foreign(0)}, {set(0)}}};
}
/// The monitor takes a carrier for stuck that is not, at whatever moment; it rejoins.
carriers_model false_alarm(int tokens) {
  return {.tokens = tokens,
          .carriers = tokens + 1,
          .has_monitor = true,
          .false_alarms = 1,
          .fibers = {{enqueue(1), sleep_once}, {}}};
}
/// A call that is known to block gives its token away.
carriers_model regions(int tokens, carriers_mutant mutant = carriers_mutant::none) {
  return {.tokens = tokens,
          .carriers = tokens == 1 ? 3 : 2,
          .fibers = {{enqueue(1), region(0)}, {set(0)}, {}},
          .native = {enqueue(2)},
          .mutant = mutant};
}
/// A fiber blocks twice, so that its token is free while another carrier polls already.
carriers_model regions_again(carriers_mutant mutant = carriers_mutant::none) {
  return {.tokens = 1,
          .carriers = 2,
          .fibers = {{region(0), region(1)}, {set(0)}, {set(1)}},
          .native = {enqueue(1), enqueue(2)},
          .mutant = mutant};
}
/// A carrier goes idle, beside one that polls already, when the last fiber is made ready.
carriers_model last_wake(carriers_mutant mutant = carriers_mutant::none) {
  return {.tokens = 1,
          .carriers = 2,
          .fibers = {{region(0)}, {set(0)}, {}},
          .native = {enqueue(1), enqueue(2)},
          .mutant = mutant};
}

void check_carriers() {
  must_hold("1 token: wakes from outside", wakes(1));
  must_hold("2 tokens: wakes from outside", wakes(2));
  must_hold("1 token: a timer and a descriptor", waits(1));
  must_hold("2 tokens: a timer and a descriptor", waits(2));
  must_hold("1 token: timers and a wake", sleeps(1));
  must_hold("2 tokens: timers and a wake", sleeps(2));
  must_hold("1 token: stuck in foreign code", rescue(0));
  must_hold("1 token: stuck in foreign code, false alarm", rescue(1));
  must_hold("2 tokens: both stuck in foreign code", both_stuck());
  must_hold("1 token: a false alarm beside a timer", false_alarm(1));
  must_hold("2 tokens: a false alarm beside a timer", false_alarm(2));
  must_hold("1 token: a call known to block", regions(1));
  must_hold("2 tokens: a call known to block", regions(2));
  must_hold("1 token: calls known to block, one after the other", regions_again());
  must_hold("1 token: a wake while a carrier goes idle", last_wake());
}

void check_carriers_mutants() {
  using enum carriers_mutant;
  must_fail("a wake that finds no token leaves `waking` at 1",
            regions_again(waking_left_by_notify));
  must_fail("a poll that does not block eats the kick", waits(2, kick_eaten));
  must_fail("the queue of a stuck carrier is not drained", rescue(0, no_drain));
  must_fail("no second look at the ready count", last_wake(no_second_look));
  must_fail("no kick for a new first timer", waits(2, no_kick_for_timer));
  must_fail("the poller polls longer than it told", sleeps(2, polls_past_its_word));
}

}  // namespace

int main() {
  check_parking();
  check_carriers();
  check_carriers_mutants();
  return all.sum_up();
}
