// Real threads on the inbox, the deque and the hand-shake as they are built into coir, with exact
// books: nothing is lost, nothing is had twice, and nobody sleeps beside work.
#include "runtime/base/idle_set.hpp"
#include "runtime/base/inbox.hpp"
#include "runtime/base/work_deque.hpp"
#include "runtime/sched/common_queue.hpp"
#include "runtime/sched/hand_shake.hpp"
#include "tests/stress/stress.hpp"

#include <array>
#include <atomic>
#include <memory>
#include <semaphore>
#include <thread>
#include <vector>

namespace coir::test {
namespace {

using detail::remote_call;

constexpr auto patience = 20s;  // far longer than any wake-up takes

/// What is handed over, and who wrote it.
struct parcel : remote_call {
  int from = 0;
  int number = 0;  // plain: published by whatever hands it over
  std::atomic<int> received{0};
};

/// A thread's place to sleep: what a reactor's eventfd is to a worker.
class bed {
 public:
  void wake() { count_.release(); }
  /// False when nobody woke it in time.
  bool wait() { return count_.try_acquire_for(patience); }

 private:
  std::counting_semaphore<> count_{0};
};

/// Spends a little time, so that the threads meet in other places each time.
void dawdle(dice& d) {
  for (int i = d.roll(d.roll(8) == 0 ? 200 : 20); i > 0; --i) asm volatile("");
  if (d.roll(64) == 0) std::this_thread::yield();
}

bool is_time_left(std::chrono::steady_clock::time_point end) {
  return std::chrono::steady_clock::now() < end;
}

/// A third of the whole for each of the tests.
std::chrono::steady_clock::time_point end_of_test() {
  return std::chrono::steady_clock::now() + stress_length() / 3;
}

// --- inbox ---------------------------------------------------------------------------------------

constexpr int producers = 3, per_producer = 300;

struct inbox_round {
  detail::inbox door;
  bed sleeper;
  std::atomic<int> owed{0};
  std::vector<parcel> parcels = std::vector<parcel>(producers * per_producer);

  void produce(int who, dice d) {
    for (int i = 0; i < per_producer; ++i) {
      parcel& p = parcels[static_cast<std::size_t>(who * per_producer + i)];
      p.from = who;
      p.number = i;
      wake_if(door.push(p));
      if (d.roll(16) == 0) wake_if(door.rouse());
      dawdle(d);
    }
  }

  void wake_if(bool is_owed) {
    if (!is_owed) return;
    ++owed;
    sleeper.wake();
  }

  void consume(dice d) {
    std::array<int, producers> next{};
    std::uint64_t due = 0;
    for (int left = producers * per_producer; left > 0; dawdle(d)) {
      for (remote_call *call = door.take_all(), *after; call; call = after, --left) {
        after = call->next;
        const auto& p = static_cast<parcel&>(*call);
        ASSERT_EQ(p.number, next[static_cast<std::size_t>(p.from)]++);
      }
      if (left == 0) break;
      bool is_lost = false;
      std::uint64_t mine = due;
      detail::sleep_behind(
          door, mine, [] { return true; },
          [&](bool may_wait) { is_lost = may_wait && !sleeper.wait(); }, [] {});
      ASSERT_FALSE(is_lost) << "nobody woke the consumer, " << left << " parcels are left";
      due = mine;
    }
    // The producers may be about to rouse it once more: none of them will find it asleep
    EXPECT_EQ(due, static_cast<std::uint64_t>(owed.load()));
  }
};

TEST(litmus_test, every_call_comes_once_and_in_order_and_no_wake_up_is_lost) {
  dice d(stress_seed());
  long rounds = 0;
  for (const auto end = end_of_test(); is_time_left(end) && !testing::Test::HasFailure();) {
    inbox_round round;
    std::vector<std::thread> threads;
    for (int who = 0; who < producers; ++who)
      threads.emplace_back([&round, who, seed = d.fork()] { round.produce(who, dice(seed)); });
    round.consume(dice(d.fork()));
    for (auto& t : threads) t.join();
    ++rounds;
  }
  EXPECT_GT(rounds, 0);
  std::printf("%ld rounds\n", rounds);
}

// --- deque ---------------------------------------------------------------------------------------

constexpr int thieves = 3, entries = 4000;

struct deque_round {
  // A small first ring, so that it grows under the hands of the thieves
  detail::basic_work_deque<std::atomic, 2> deque;
  std::vector<parcel> parcels = std::vector<parcel>(entries);
  std::atomic<int> left{entries};

  void receive(remote_call* call) {
    if (!call) return;
    auto& p = static_cast<parcel&>(*call);
    EXPECT_EQ(&p, &parcels[static_cast<std::size_t>(p.number)]);
    EXPECT_EQ(p.received.fetch_add(1), 0) << "taken twice: " << p.number;
    left.fetch_sub(1);
  }

  void own(dice d) {
    for (int i = 0; i < entries;) {
      for (int burst = d.roll(d.roll(16) ? 4 : 100); burst > 0 && i < entries; --burst, ++i) {
        parcel& p = parcels[static_cast<std::size_t>(i)];
        p.number = i;
        ASSERT_TRUE(deque.push(p));
      }
      for (int burst = d.roll(5); burst > 0; --burst) receive(deque.pop());
      if (d.roll(8) == 0) receive(deque.steal());
      dawdle(d);
    }
    while (remote_call* const call = deque.pop()) receive(call);
  }

  void thieve(dice d) {
    int youngest = -1;
    while (left.load() > 0 && !testing::Test::HasFailure()) {
      remote_call* const call = deque.steal();
      if (call) {
        const int number = static_cast<parcel*>(call)->number;
        EXPECT_GT(number, youngest) << "a thief took a younger entry first";
        youngest = number;
      } else {
        std::this_thread::yield();
      }
      receive(call);
      dawdle(d);
    }
  }
};

TEST(litmus_test, every_entry_of_a_deque_is_taken_once) {
  dice d(stress_seed());
  long rounds = 0;
  for (const auto end = end_of_test(); is_time_left(end) && !testing::Test::HasFailure();) {
    deque_round round;
    std::vector<std::thread> threads;
    for (int i = 0; i < thieves; ++i)
      threads.emplace_back([&round, seed = d.fork()] { round.thieve(dice(seed)); });
    round.own(dice(d.fork()));
    for (auto& t : threads) t.join();
    EXPECT_EQ(round.left.load(), 0);
    EXPECT_TRUE(round.deque.empty());
    ++rounds;
  }
  EXPECT_GT(rounds, 0);
  std::printf("%ld rounds\n", rounds);
}

// --- hand-shake ----------------------------------------------------------------------------------

constexpr std::size_t members = 3;
constexpr int calls = 2000;

/// Members as in crew.cpp, with beds for reactors. The adder waits for each call now and then, so
/// that all of them go to sleep again and again.
struct crew_round {
  struct member {
    detail::inbox door;
    bed sleeper;
    detail::work_deque deque;
  };
  std::array<member, members> all;
  detail::idle_set idle;
  detail::common_queue common;
  std::vector<parcel> parcels = std::vector<parcel>(2 * calls);
  std::atomic<int> begun{0};
  std::atomic<bool> is_over{false};

  void wake_idle() {
    detail::wake_one(idle, members, [this](std::size_t n) {
      if (!all[n].door.rouse()) return false;
      all[n].sleeper.wake();
      return true;
    });
  }

  void add(dice d) {
    const auto give_up = std::chrono::steady_clock::now() + patience;
    for (int i = 0; i < calls; ++i) {
      parcel& p = parcels[static_cast<std::size_t>(i)];
      p.number = i;
      common.push(p);
      wake_idle();
      if (d.roll(4) == 0) {
        while (begun.load() < 2 * (i + 1) && is_time_left(give_up)) std::this_thread::yield();
        ASSERT_EQ(begun.load(), 2 * (i + 1)) << "there is work, and everybody sleeps";
      }
      dawdle(d);
    }
    while (begun.load() < 2 * calls && is_time_left(give_up)) std::this_thread::yield();
    EXPECT_EQ(begun.load(), 2 * calls) << "there is work, and everybody sleeps";
  }

  void end() {
    is_over.store(true);
    for (member& m : all) {
      if (m.door.rouse()) m.sleeper.wake();
    }
  }

  bool has_work() const {
    if (!common.empty() || is_over.load()) return true;
    for (const member& m : all) {
      if (!m.deque.empty()) return true;
    }
    return false;
  }

  remote_call* take(std::size_t self) {
    if (remote_call* const own = all[self].deque.pop()) return own;
    remote_call* shared = nullptr;
    if (!common.seems_empty() && common.take(&shared, 1, members) == 1) return shared;
    for (std::size_t i = 0; i < members; ++i) {
      if (i == self) continue;
      if (remote_call* const work = all[i].deque.steal()) {
        if (!all[i].deque.empty()) wake_idle();
        return work;
      }
    }
    return nullptr;
  }

  /// Each call of the adder's leaves another one in the deque of who begins it.
  void begin(std::size_t self, remote_call& call) {
    auto& p = static_cast<parcel&>(call);
    EXPECT_EQ(p.received.fetch_add(1), 0) << "begun twice: " << p.number;
    if (p.number < calls) {
      parcel& child = parcels[static_cast<std::size_t>(p.number + calls)];
      child.number = p.number + calls;
      EXPECT_TRUE(all[self].deque.push(child));
      wake_idle();
    }
    begun.fetch_add(1);
  }

  void serve(std::size_t self, dice d) {
    member& me = all[self];
    std::uint64_t due = 0;
    while (!is_over.load()) {
      while (remote_call* const call = take(self)) {
        begin(self, *call);
        dawdle(d);
      }
      detail::sleep_behind(
          me.door, due,
          [&] { return detail::enter_idle(idle, self, [this] { return has_work(); }); },
          [&](bool may_wait) {
            if (may_wait && !me.sleeper.wait()) ADD_FAILURE() << "a member was never woken";
          },
          [&] { idle.remove(self); });
    }
  }
};

TEST(litmus_test, no_member_of_a_crew_sleeps_beside_work) {
  dice d(stress_seed());
  long rounds = 0;
  for (const auto end = end_of_test(); is_time_left(end) && !testing::Test::HasFailure();) {
    auto round = std::make_unique<crew_round>();
    std::vector<std::thread> threads;
    for (std::size_t i = 0; i < members; ++i)
      threads.emplace_back([&round, i, seed = d.fork()] { round->serve(i, dice(seed)); });
    round->add(dice(d.fork()));
    round->end();
    for (auto& t : threads) t.join();
    ++rounds;
  }
  EXPECT_GT(rounds, 0);
  std::printf("%ld rounds\n", rounds);
}

}  // namespace
}  // namespace coir::test
