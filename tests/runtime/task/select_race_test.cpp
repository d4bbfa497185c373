// Selects of several threads that meet each other, with deadlines, kills and closes in between.
// Every item that went in comes out exactly once, and nobody hangs.
#include "tests/runtime/support.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <random>
#include <thread>

namespace coir::test {
namespace {

using select_race_test = runtime_test;

constexpr auto patience = 60s;

/// Which items were sent and which came, by number.
class book {
 public:
  explicit book(int items)
      : sent_(static_cast<std::size_t>(items)), come_(static_cast<std::size_t>(items)) {}
  void send(int item) { ++sent_[static_cast<std::size_t>(item)]; }
  void come(int item) { ++come_[static_cast<std::size_t>(item)]; }
  /// Expects that what was sent has come, once.
  void expect_balance() const {
    int total = 0;
    for (std::size_t i = 0; i < sent_.size(); ++i) {
      ASSERT_EQ(sent_[i], come_[i]) << "item " << i;
      ASSERT_LE(sent_[i], 1) << "item " << i;
      total += sent_[i];
    }
    EXPECT_GT(total, 0);
  }

 private:
  std::vector<std::atomic<int>> sent_;
  std::vector<std::atomic<int>> come_;
};

/// Runs `body(number)` on three threads, this one included.
template <class Body>
void on_three_threads(Body body) {
  std::thread second(body, 1);
  std::thread third(body, 2);
  body(0);
  second.join();
  third.join();
}

/// Selects send and receive over the same three channels on three threads.
void exchange(std::array<std::size_t, 3> capacities, int items) {
  channel<int> a(capacities[0]);
  channel<int> b(capacities[1]);
  channel<int> c(capacities[2]);
  channel<int> over;
  book seen(items);
  std::atomic<int> senders_left{3};
  auto come = [&](std::optional<int> item) {
    ASSERT_TRUE(item);
    seen.come(*item);
  };
  auto send = [&](int first) {
    for (int i = first; i < items; i += 3) {
      // Another order on every thread: the locks are sorted all the same.
      const std::size_t place =
          first == 0   ? select(on_send(a, i), on_send(b, i), on_send(c, i), after(patience))
          : first == 1 ? select(on_send(c, i), on_send(a, i), on_send(b, i), after(patience))
                       : select(on_send(b, i), on_send(c, i), on_send(a, i), after(patience));
      ASSERT_LT(place, 3u) << "hangs";
      seen.send(i);
    }
    if (--senders_left == 0) over.close();
  };
  auto receive = [&] {
    for (;;) {
      const std::size_t place = select(on_recv(b, come), on_recv(a, come), on_recv(over),
                                       on_recv(c, come), after(patience));
      ASSERT_LT(place, 4u) << "hangs";
      if (place == 2) return;
    }
  };
  on_three_threads([&](int number) {
    joinall(std::vector{spawn(send, number), spawn(receive), spawn(receive)});
  });
  for (channel<int>* each : {&a, &b, &c}) {
    while (const auto item = each->try_recv()) seen.come(*item);
  }
  seen.expect_balance();
}

TEST_F(select_race_test, senders_and_receivers_of_three_threads_lose_nothing_without_buffers) {
  exchange({0, 0, 0}, scaled(20'000));
}
TEST_F(select_race_test, senders_and_receivers_of_three_threads_lose_nothing_with_buffers) {
  exchange({1, 3, 0}, scaled(20'000));
}

/// Each of three threads sends or receives, whatever comes first, over the same two channels.
TEST_F(select_race_test, selects_that_face_each_other_on_three_threads_neither_hang_nor_lose) {
  const int rounds = scaled(10'000);
  channel<int> one;
  channel<int> other;
  book seen(9 * rounds);
  std::atomic<int> busy{9};
  auto come = [&](std::optional<int> item) { seen.come(*item); };
  auto body = [&](int number) {
    for (int i = 0; i < rounds; ++i) {
      const int item = number * rounds + i;
      const std::size_t place = number % 2
                                    ? select(on_send(one, item), on_recv(other, come),
                                             on_send(other, item), on_recv(one, come), after(1ms))
                                    : select(on_recv(one, come), on_send(other, item),
                                             on_recv(other, come), on_send(one, item), after(1ms));
      const bool was_sent = place < 4 && place % 2 == (number % 2 ? 0 : 1);
      if (was_sent) seen.send(item);
      if (place == 4 && busy < 2) break;  // nobody is left to meet
    }
    --busy;
  };
  on_three_threads([&](int number) {
    std::vector<fiber<>> fibers;
    for (int i = 0; i < 3; ++i) fibers.push_back(spawn(body, 3 * number + i));
    EXPECT_EQ(joinall(fibers, patience), 3u) << "hangs";
  });
  seen.expect_balance();
}

TEST_F(select_race_test, deadlines_that_pass_about_when_a_counterpart_comes_lose_nothing) {
  const int items = scaled(30'000);
  channel<int> a;
  channel<int> b;
  book seen(items);
  std::atomic<int> senders_left{2};
  auto send = [&](int first) {
    std::minstd_rand random(static_cast<unsigned>(first + 1));
    for (int i = first; i < items; i += 2) {
      const auto limit = microseconds(random() % 40);
      if (select(on_send(a, i), on_send(b, i), after(limit)) < 2) seen.send(i);
    }
    --senders_left;
  };
  std::thread second(send, 0);
  std::thread third(send, 1);
  std::minstd_rand random(7);
  auto come = [&](std::optional<int> item) { seen.come(*item); };
  for (const stopwatch watch; senders_left > 0;) {
    ASSERT_LT(watch.elapsed(), patience);
    const auto limit = microseconds(random() % 40);
    if (random() % 2) {
      select(on_recv(b, come), on_recv(a, come), after(limit));
    } else if (const auto item = a.recv_for(limit)) {
      seen.come(*item);
    }
  }
  second.join();
  third.join();
  seen.expect_balance();
}

TEST_F(select_race_test, kills_that_race_with_counterparts_on_other_threads_lose_nothing) {
  const int items = scaled(10'000);
  channel<int> a;
  channel<int> b;
  channel<int> over;
  book seen(items);
  auto come = [&](std::optional<int> item) { seen.come(*item); };
  auto receive = [&] {
    while (select(on_recv(a, come), on_recv(b, come), on_recv(over)) != 2) {
    }
  };
  std::thread second(receive);
  std::thread third(receive);
  for (int i = 0; i < items; ++i) {
    fiber<> sender = spawn([&, i] { select(on_send(b, i, [&] { seen.send(i); }), on_send(a, i)); });
    if (i % 3) yield();
    if (i % 7 == 0) this_fiber::sleep_for(microseconds(i % 30));
    sender.kill(false);
    ASSERT_TRUE(sender.join_for(patience));
  }
  over.close();
  second.join();
  third.join();
}

TEST_F(select_race_test, kills_from_another_thread_lose_nothing) {
  const int items = scaled(10'000);
  channel<int> a;
  channel<int> b(1);
  channel<fiber<>> victims(4);
  book seen(items);
  std::thread killer([&] {
    for (const fiber<>& victim : victims) victim.kill(false);
  });
  std::thread sender([&] {
    for (int i = 0; i < items; ++i) {
      const std::size_t place = select(on_send(a, i), on_send(b, i), after(patience));
      ASSERT_LT(place, 2u) << "hangs";
      seen.send(i);
    }
    a.close();
    b.close();
  });
  int closed = 0;
  auto receive = [&] {
    auto come = [&](std::optional<int> item) { item ? seen.come(*item) : void(++closed); };
    while (closed == 0) select(on_recv(a, come), on_recv(b, come));
  };
  while (closed == 0) {
    fiber<> victim = spawn(receive);
    yield();
    victims.send(victim);
    ASSERT_TRUE(victim.join_for(patience)) << "hangs";
  }
  victims.close();
  sender.join();
  killer.join();
  while (const auto item = b.try_recv()) seen.come(*item);
  seen.expect_balance();
}

TEST_F(select_race_test, closes_that_race_with_selects_leave_each_item_in_one_place) {
  for (int round = 0; round < scaled(300); ++round) {
    channel<int> a(static_cast<std::size_t>(round % 2));
    channel<int> b;
    book seen(10'000);
    std::atomic<int> next{0};
    auto send = [&] {
      try {
        for (int i; (i = next++) < 10'000;) {
          select(on_send(a, i, [&] { seen.send(i); }), on_send(b, i, [&] { seen.send(i); }));
        }
      } catch (const channel_closed&) {
      }
    };
    std::thread second(send);
    std::thread third(send);
    auto come = [&](std::optional<int> item) {
      if (item) seen.come(*item);
    };
    for (int i = 0; i < 20 + round % 20; ++i) select(on_recv(a, come), on_recv(b, come));
    b.close();
    a.close();
    second.join();
    third.join();
    while (const auto item = a.try_recv()) seen.come(*item);
    seen.expect_balance();
    if (HasFatalFailure()) return;
  }
}

TEST_F(select_race_test, queues_plain_waiters_and_selects_of_three_threads_mix) {
  const int items = scaled(15'000) / 3 * 3;
  queue<int> q(2);
  priority_queue<int> p(0);
  channel<int> c(1);
  book seen(items);
  std::atomic<int> got{0};
  auto note = [&](int item) {
    seen.come(item);
    ++got;
  };
  auto put = [&](int first) {
    for (int i = first; i < items; i += 3) {
      if (i % 4 == 0) {
        q.put(i);
      } else if (i % 4 == 1) {
        ASSERT_TRUE(p.put_for(i, patience));
      } else {
        ASSERT_LT(select(on_put(p, i), on_send(c, i), on_put(q, i), after(patience)), 3u);
      }
      seen.send(i);
    }
  };
  auto get = [&](int number) {
    while (got < items) {
      if (number == 0) {
        if (const auto item = q.get_for(1ms)) note(*item);
      } else if (number == 1) {
        if (const auto item = p.get_for(1ms)) note(*item);
      } else {
        select(on_get(q, note), on_get(p, note), after(1ms),
               on_recv(c, [&](std::optional<int> item) { note(*item); }));
      }
    }
  };
  on_three_threads([&](int number) {
    std::vector<fiber<>> fibers{spawn(put, number), spawn(get, number), spawn(get, 2)};
    EXPECT_EQ(joinall(fibers, patience), 3u) << "hangs";
  });
  seen.expect_balance();
  EXPECT_TRUE(q.empty());
}

TEST_F(select_race_test, events_and_ends_of_fibers_on_other_threads_wake_a_select_once) {
  for (int round = 0; round < scaled(500); ++round) {
    event flag;
    channel<int> c;
    std::thread setter([&] { flag.set(); });
    std::thread sender([&] { c.send_for(1, patience); });
    std::array<int, 2> counts{};
    for (int i = 0; i < 20 && counts[1] == 0; ++i) {
      const std::size_t place = select(on_set(flag), on_recv(c), after(patience));
      ASSERT_LT(place, 2u) << "hangs";
      ++counts[place];
      if (place == 0) yield();
    }
    setter.join();
    if (counts[1] == 0) c.recv();
    sender.join();
  }
}

}  // namespace
}  // namespace coir::test
