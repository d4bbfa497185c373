// All that fibers can wait in, between two workers of a set and a plain thread, with exact books,
// and with kills of its users at any moment.
#include <coir/select.hpp>
#include <coir/workers.hpp>

#include "tests/runtime/support.hpp"

#include <algorithm>
#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <numeric>
#include <random>
#include <shared_mutex>
#include <thread>

namespace coir::test {
namespace {

/// One primitive, with the books of its use.
class game {
 public:
  explicit game(workers& on) : set(on) {}
  game(const game&) = delete;
  game& operator=(const game&) = delete;
  virtual ~game() = default;
  /// One use, by player `who` in its `round`. Ends by itself, and may be killed wherever it parks.
  virtual void play(int who, int round) = 0;
  /// When nobody plays any more.
  virtual void expect_balance() = 0;

 protected:
  static constexpr microseconds short_time{200};
  workers& set;
};

struct of_mutex : game {
  using game::game;
  void play(int, int round) override {
    std::unique_lock lock(m, std::defer_lock);
    if (round % 3 == 0) {
      if (!lock.try_lock_for(short_time)) return;
    } else {
      lock.lock();
    }
    ++expected;
    const long before = ++guarded;
    if (round % 5 == 0) yield();
    EXPECT_EQ(guarded, before);
  }
  void expect_balance() override {
    ASSERT_TRUE(m.try_lock());
    EXPECT_EQ(guarded, expected);
    m.unlock();
  }
  mutex m;
  long guarded = 0;
  std::atomic<long> expected{0};
};

struct of_recursive_mutex : game {
  using game::game;
  void play(int, int round) override {
    const std::lock_guard outer(m);
    ++expected;
    const long before = ++guarded;
    yield();
    if (round % 2) {
      const std::lock_guard again(m);
      yield();
    }
    EXPECT_EQ(guarded, before);
  }
  void expect_balance() override {
    ASSERT_TRUE(m.try_lock());
    EXPECT_EQ(guarded, expected);
    m.unlock();
  }
  recursive_mutex m;
  long guarded = 0;
  std::atomic<long> expected{0};
};

struct of_shared_mutex : game {
  using game::game;
  void play(int who, int round) override {
    if ((who + round) % 3) {
      const std::shared_lock lock(m);
      const long seen = first;
      yield();
      EXPECT_EQ(seen, first);
      EXPECT_EQ(first, second);
    } else {
      const this_fiber::no_kill both;  // before the lock: a kill may come with it
      const std::unique_lock lock(m);
      ++first;
      yield();
      ++second;
    }
  }
  void expect_balance() override {
    ASSERT_TRUE(m.try_lock());
    EXPECT_EQ(first, second);
    EXPECT_GT(first, 0);
    m.unlock();
  }
  shared_mutex m;
  long first = 0;
  long second = 0;
};

struct of_condition_variable : game {
  using game::game;
  void play(int who, int round) override {
    std::unique_lock lock(m);
    if ((who + round) % 2) {
      ++there;
      ++made;
      return round % 7 ? changed.notify_one() : changed.notify_all();
    }
    if (!changed.wait_for(lock, short_time, [this] { return there > 0; })) return;
    --there;
    ++taken;
  }
  void expect_balance() override { EXPECT_EQ(made, taken + there); }
  mutex m;
  condition_variable changed;
  long there = 0;
  long made = 0;
  long taken = 0;
};

struct of_semaphore : game {
  using game::game;
  void play(int, int round) override {
    if (round % 3 == 0) {
      if (!units.try_acquire_for(short_time)) return;
    } else {
      units.acquire();
    }
    struct unit {
      of_semaphore& of;
      explicit unit(of_semaphore& o) : of(o) { EXPECT_LE(++of.held, 2); }
      ~unit() {
        --of.held;
        of.units.release();
      }
    };
    const unit mine(*this);
    yield();
  }
  void expect_balance() override {
    EXPECT_EQ(held, 0);
    EXPECT_EQ(units.available(), 2);
  }
  counting_semaphore units{2};
  std::atomic<int> held{0};
};

struct of_event : game {
  using game::game;
  void play(int, int round) override {
    auto own = std::make_shared<event>();
    set.spawn([own] { own->set(); });
    own->wait();
    EXPECT_TRUE(own->is_set());
    switch (round % 3) {
      case 0:
        return shared.set();
      case 1:
        return shared.clear();
      default:
        shared.wait_for(short_time);
    }
  }
  void expect_balance() override {
    shared.set();
    shared.wait();
  }
  event shared;
};

struct of_latch : game {
  using game::game;
  void play(int who, int) override {
    auto both = std::make_shared<latch>(3);
    for (std::size_t i = 0; i < 2; ++i) {
      set.spawn_on(i, [this, both] {
        both->arrive_and_wait();
        ++passed;
      });
    }
    ++rounds;
    both->count_down();
    EXPECT_TRUE(who % 2 == 0 || both->wait_for(20s));
    both->wait();
  }
  void expect_balance() override { EXPECT_EQ(passed, 2 * rounds); }
  std::atomic<long> rounds{0};
  std::atomic<long> passed{0};
};

struct of_barrier : game {
  using game::game;
  void play(int, int) override {
    struct shared {
      int phases = 0;  // written by the completion only
      std::unique_ptr<barrier<std::function<void()>>> meeting =
          std::make_unique<barrier<std::function<void()>>>(2, [this] { ++phases; });
    };
    auto both = std::make_shared<shared>();
    const auto meet = [both] {
      for (int i = 1; i <= 3; ++i) {
        both->meeting->arrive_and_wait();
        EXPECT_GE(both->phases, i);
      }
      both->meeting->arrive_and_drop();
    };
    ++begun;
    fiber<> other = set.spawn([this, meet] {
      meet();
      ++ended;
    });
    meet();
  }
  void expect_balance() override { EXPECT_EQ(begun, ended); }
  std::atomic<long> begun{0};
  std::atomic<long> ended{0};
};

struct of_once : game {
  using game::game;
  void play(int, int round) override {
    struct shared {
      once_flag flag;
      int done = 0;
    };
    auto both = std::make_shared<shared>();
    const auto make = [both, round] {
      call_once(both->flag, [&] {
        if (round % 2) yield();
        ++both->done;
      });
      EXPECT_EQ(both->done, 1);
    };
    ++begun;
    set.spawn([this, make] {
      make();
      ++ended;
    });
    make();
  }
  void expect_balance() override { EXPECT_EQ(begun, ended); }
  std::atomic<long> begun{0};
  std::atomic<long> ended{0};
};

struct of_wait_group : game {
  using game::game;
  void play(int, int) override {
    struct shared {
      wait_group all;
      std::atomic<int> done{0};
    };
    auto own = std::make_shared<shared>();
    own->all.add(3);
    for (int i = 0; i < 3; ++i) {
      set.spawn([own, i] {
        if (i == 1) yield();
        ++own->done;
        own->all.done();
      });
    }
    own->all.wait();
    EXPECT_EQ(own->done, 3);
    EXPECT_EQ(own->all.count(), 0);
  }
  void expect_balance() override {}
};

struct of_future : game {
  using game::game;
  void play(int who, int round) override {
    promise<int> giver;
    shared_future<int> result = giver.get_future().share();
    const int value = 1000 * who + round;
    set.spawn([this, result, value] {
      EXPECT_EQ(result.get(), value);
      ++got;
    });
    set.spawn([giver = std::move(giver), value]() mutable { giver.set_value(value); });
    ++asked;
    EXPECT_EQ(result.get(), value);
  }
  void expect_balance() override { EXPECT_EQ(asked, got); }
  std::atomic<long> asked{0};
  std::atomic<long> got{0};
};

template <class Queue>
struct of_queues : game {
  using game::game;
  void play(int who, int round) override {
    Queue& q = round % 2 ? bounded : rendezvous;
    if ((who + round) / 2 % 2) {
      if (q.put_for(round, short_time)) ++put;
    } else if (const auto item = q.get_for(short_time)) {
      ++got;
      q.task_done();
    }
  }
  void expect_balance() override {
    long left = 0;
    for (Queue* q : {&bounded, &rendezvous}) {
      while (q->try_get()) {
        ++left;
        q->task_done();
      }
      EXPECT_TRUE(q->join_for(10s));
    }
    EXPECT_EQ(put, got + left);
  }
  Queue bounded{2};
  Queue rendezvous{0};
  std::atomic<long> put{0};
  std::atomic<long> got{0};
};

/// What is sent over two channels, with a buffer and without.
struct of_two_channels : game {
  using game::game;
  void expect_balance() override {
    long left = 0;
    while (bounded.try_recv()) ++left;
    EXPECT_FALSE(straight.try_recv());
    EXPECT_EQ(sent, received + left);
  }
  channel<int> bounded{2};
  channel<int> straight{0};
  std::atomic<long> sent{0};
  std::atomic<long> received{0};
};

struct of_channel : of_two_channels {
  using of_two_channels::of_two_channels;
  void play(int who, int round) override {
    channel<int>& c = round % 2 ? bounded : straight;
    if ((who + round) / 2 % 2) {
      if (c.send_for(1, short_time)) ++sent;
    } else if (c.recv_for(short_time)) {
      ++received;
    }
  }
};

struct of_select : of_two_channels {
  using of_two_channels::of_two_channels;
  void play(int who, int round) override {
    const bool sends = (who + round) % 2;
    select(on_send(sends ? &straight : nullptr, 1, [this] { ++sent; }),
           on_send(sends ? &bounded : nullptr, 1, [this] { ++sent; }),
           on_recv(sends ? nullptr : &straight, [this](std::optional<int>) { ++received; }),
           on_recv(sends ? nullptr : &bounded, [this](std::optional<int>) { ++received; }),
           after(short_time));
  }
};

/// Functions that begin here and end there, of groups and of what derives from them.
struct of_members : game {
  using game::game;
  void expect_balance() override { EXPECT_EQ(begun, ended); }
  /// A function that is counted; moves into its fiber.
  auto counted() {
    struct mark {
      explicit mark(of_members& o) : of(&o) { ++of->begun; }
      mark(mark&& other) noexcept : of(std::exchange(other.of, nullptr)) {}
      ~mark() {
        if (of) ++of->ended;
      }
      of_members* of;
    };
    return [own = mark(*this)] { yield(); };
  }
  std::atomic<long> begun{0};
  std::atomic<long> ended{0};
};

struct of_group : of_members {
  using of_members::of_members;
  void play(int, int round) override {
    group own(set);
    for (int i = 0; i < 3; ++i) own.spawn(counted());
    if (round % 3 == 0) own.kill();
    own.join();
    EXPECT_TRUE(own.empty());
  }
};

struct of_pool : of_members {
  using of_members::of_members;
  void play(int, int round) override {
    if (round % 3) {
      shared.spawn(counted()).join();
    } else if (auto f = shared.try_spawn(counted())) {
      f->kill(round % 2);
    }
  }
  void expect_balance() override {
    EXPECT_TRUE(shared.join_for(20s));
    EXPECT_EQ(shared.free_count(), 2u);
    of_members::expect_balance();
  }
  pool shared{set, 2};
};

struct of_scope : of_members {
  using of_members::of_members;
  void play(int, int round) override {
    struct leaves {};
    try {
      scope own(set);
      for (int i = 0; i < 3; ++i) own.spawn(counted());
      if (round % 3 == 0) throw leaves();
    } catch (const leaves&) {
      ++left;
    }
  }
  std::atomic<long> left{0};
};

struct of_imap : game {
  using game::game;
  void play(int, int round) override {
    pool three(set, 3);
    std::vector<int> items(6);
    std::iota(items.begin(), items.end(), round);
    int sum = 0;
    for (int doubled : three.imap(
             [](int n) {
               yield();
               return 2 * n;
             },
             items))
      sum += doubled;
    EXPECT_EQ(sum, 2 * (6 * round + 15));
  }
  void expect_balance() override {}
};

struct of_thread_pool : game {
  using game::game;
  void play(int who, int round) override {
    if (round % 8) return yield();
    fiber<int> f = threads.spawn([who] { return who; });
    if (round % 3 == 0) {
      f.kill(false);
      return f.join();
    }
    EXPECT_EQ(f.get(), who);
  }
  void expect_balance() override {
    EXPECT_TRUE(threads.join_for(20s));
    EXPECT_EQ(threads.unfinished(), 0u);
  }
  thread_pool threads{2};
};

struct of_offload : game {
  using game::game;
  void play(int who, int round) override {
    if (round % 8) return yield();
    EXPECT_EQ(offload([who] { return who; }), who);
  }
  void expect_balance() override {}
};

struct of_timeout_scope : game {
  using game::game;
  void play(int, int round) override {
    const bool was_in_time = move_on_after(microseconds(round % 3 * 50), [&] {
      event never_set;
      never_set.wait();
    });
    EXPECT_FALSE(was_in_time);
    EXPECT_TRUE(move_on_after(1h, [] { yield(); }));
  }
  void expect_balance() override {}
};

struct of_wait_any : game {
  using game::game;
  void play(int, int round) override {
    auto own = std::make_shared<event>();
    struct at_end {
      event& of;
      ~at_end() { of.set(); }
    };
    const at_end also_when_killed{*own};
    fiber<> fast = set.spawn([] {});
    fiber<> slow = set.spawn([own] { own->wait(); });
    if (round % 2) own->set();
    (void)wait_any(fast, slow, *own);
    own->set();
    wait_all(fast, slow);
  }
  void expect_balance() override {}
};

/// A primitive by its name.
struct primitive {
  const char* name;
  std::unique_ptr<game> (*make)(workers&);
};

void PrintTo(const primitive& which, std::ostream* out) { *out << which.name; }

template <class Game>
primitive named(const char* name) {
  return {name, [](workers& set) -> std::unique_ptr<game> { return std::make_unique<Game>(set); }};
}

class every_primitive : public runtime_test, public testing::WithParamInterface<primitive> {
 protected:
  static constexpr int players_on_each = 3;
  static constexpr int rounds = scaled(400);

  workers set{2};
  std::unique_ptr<game> own = GetParam().make(set);
  std::atomic<long> plays{0};

  void play_all(int who) {
    for (int round = 0; round < rounds; ++round) {
      own->play(who, round);
      ++plays;
    }
  }
  std::vector<fiber<>> players() {
    std::vector<fiber<>> all;
    for (int i = 0; i < 2 * players_on_each; ++i)
      all.push_back(set.spawn_on(static_cast<std::size_t>(i % 2), [this, i] { play_all(i); }));
    return all;
  }
  void settle() {
    EXPECT_TRUE(set.join_for(30s));
    own->expect_balance();
  }
};

TEST_P(every_primitive, works_between_two_workers_and_a_plain_thread) {
  std::vector<fiber<>> all = players();
  std::thread plain([this] { play_all(2 * players_on_each); });
  EXPECT_EQ(joinall(all, 40s), all.size());
  for (auto& each : all) EXPECT_NO_THROW(each.get());
  plain.join();
  EXPECT_EQ(plays, (2 * players_on_each + 1) * rounds);
  settle();
}

TEST_P(every_primitive, keeps_its_books_when_users_are_killed_at_any_moment) {
  if (GetParam().name == std::string("barrier"))
    GTEST_SKIP() << "a party that is killed leaves the others waiting for it";
  std::vector<fiber<>> all = players();
  std::thread plain([this] { play_all(2 * players_on_each); });
  std::minstd_rand dice(1);
  for (int i = 0; i < scaled(200); ++i) {
    const std::size_t at = dice() % all.size();
    sleep(microseconds(dice() % 100));
    all[at].kill(i % 2);
    ASSERT_TRUE(all[at].join_for(20s)) << "kill " << i;
    EXPECT_NO_THROW(all[at].get());
    all[at] = set.spawn([this, at] { play_all(static_cast<int>(at)); });
  }
  killall(all);
  plain.join();
  settle();
}

INSTANTIATE_TEST_SUITE_P(
    of_all, every_primitive,
    testing::Values(
        named<of_mutex>("mutex"), named<of_recursive_mutex>("recursive_mutex"),
        named<of_shared_mutex>("shared_mutex"), named<of_condition_variable>("condition_variable"),
        named<of_semaphore>("semaphore"), named<of_event>("event"), named<of_latch>("latch"),
        named<of_barrier>("barrier"), named<of_once>("once"), named<of_wait_group>("wait_group"),
        named<of_future>("future"), named<of_queues<queue<int>>>("queue"),
        named<of_queues<lifo_queue<int>>>("lifo_queue"),
        named<of_queues<priority_queue<int>>>("priority_queue"), named<of_channel>("channel"),
        named<of_select>("select"), named<of_group>("group"), named<of_pool>("pool"),
        named<of_scope>("scope"), named<of_imap>("imap"), named<of_thread_pool>("thread_pool"),
        named<of_offload>("offload"), named<of_timeout_scope>("timeout_scope"),
        named<of_wait_any>("wait_any")),
    [](const auto& which) { return which.param.name; });

}  // namespace
}  // namespace coir::test
