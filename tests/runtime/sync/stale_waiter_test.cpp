// A wait in another OS thread that timed out leaves no stale notifier: the thread has ended, and
// what comes later goes to whoever waits still, or stays.
#include "tests/runtime/support.hpp"

#include <mutex>
#include <shared_mutex>
#include <thread>

namespace coir::test {
namespace {

using stale_waiter_test = runtime_test;

/// Calls `wait`, which must time out, on a thread that ends then: once on the thread's own stack,
/// once in a fiber of it.
template <class Wait>
void time_out_elsewhere(Wait wait) {
  std::thread([&] {
    EXPECT_FALSE(wait());
    EXPECT_FALSE(spawn(wait).get());
  }).join();
}

/// Whether a fiber of this thread comes to the end of `wait` once `release` was called.
template <class Wait, class Release>
bool goes_on(Wait wait, Release release) {
  fiber<> waiter = spawn([&] { wait(); });
  yield();
  EXPECT_FALSE(waiter.ready());
  release();
  return waiter.join_for(10s);
}

TEST_F(stale_waiter_test, of_a_semaphore_takes_no_unit) {
  counting_semaphore s(0);
  time_out_elsewhere([&] { return s.try_acquire_for(1ms); });
  time_out_elsewhere([&] { return s.wait_for(1ms); });
  s.release();
  EXPECT_EQ(s.available(), 1);
  s.acquire();
  EXPECT_TRUE(goes_on([&] { s.acquire(); }, [&] { s.release(); }));
  EXPECT_EQ(s.available(), 0);
}

/// A lock that this fiber holds while somebody elsewhere tries to take it.
template <class Lockable>
void expect_free_after_a_time_out() {
  Lockable m;
  m.lock();
  time_out_elsewhere([&] { return m.try_lock_for(1ms); });
  m.unlock();
  EXPECT_TRUE(m.try_lock());
  EXPECT_TRUE(goes_on([&] { std::lock_guard guard(m); }, [&] { m.unlock(); }));
  EXPECT_TRUE(m.try_lock());
  m.unlock();
}

TEST_F(stale_waiter_test, of_a_mutex_does_not_get_it) { expect_free_after_a_time_out<mutex>(); }

TEST_F(stale_waiter_test, of_a_recursive_mutex_does_not_get_it) {
  expect_free_after_a_time_out<recursive_mutex>();
}

TEST_F(stale_waiter_test, of_a_shared_mutex_does_not_get_it) {
  expect_free_after_a_time_out<shared_mutex>();
  shared_mutex m;
  m.lock();
  time_out_elsewhere([&] { return m.try_lock_shared_for(1ms); });
  m.unlock();
  EXPECT_TRUE(m.try_lock()) << "no reader has it";
  m.unlock();
}

TEST_F(stale_waiter_test, of_a_condition_takes_no_notification) {
  mutex m;
  condition_variable condition;
  time_out_elsewhere([&] {
    std::unique_lock lock(m);
    return condition.wait_for(lock, 1ms) == std::cv_status::no_timeout;
  });
  EXPECT_TRUE(goes_on(
      [&] {
        std::unique_lock lock(m);
        condition.wait(lock);
      },
      [&] { condition.notify_one(); }));
}

TEST_F(stale_waiter_test, of_an_event_or_a_latch_is_told_nothing) {
  event e;
  latch l(1);
  time_out_elsewhere([&] { return e.wait_for(1ms); });
  time_out_elsewhere([&] { return l.wait_for(1ms); });
  EXPECT_TRUE(goes_on([&] { e.wait(); }, [&] { e.set(); }));
  EXPECT_TRUE(goes_on([&] { l.wait(); }, [&] { l.count_down(); }));
}

TEST_F(stale_waiter_test, of_a_future_is_told_nothing) {
  promise<int> p;
  const shared_future<int> f = p.get_future().share();
  time_out_elsewhere([&] { return f.wait_for(1ms) == future_status::ready; });
  EXPECT_TRUE(goes_on([&] { EXPECT_EQ(f.get(), 3); }, [&] { p.set_value(3); }));
}

TEST_F(stale_waiter_test, of_a_queue_neither_takes_nor_leaves_an_item) {
  queue<int> q(1);
  time_out_elsewhere([&] { return q.get_for(1ms).has_value(); });
  time_out_elsewhere([&] { return q.peek_for(1ms).has_value(); });
  q.put(1);
  EXPECT_EQ(q.size(), 1u);
  time_out_elsewhere([&] { return q.put_for(2, 1ms); });
  time_out_elsewhere([&] { return q.join_for(1ms); });
  EXPECT_EQ(q.get(), 1);
  EXPECT_EQ(q.try_get(), std::nullopt);
  q.task_done();
  EXPECT_TRUE(goes_on([&] { EXPECT_EQ(q.get(), 3); }, [&] { q.put(3); }));
}

TEST_F(stale_waiter_test, of_a_channel_neither_takes_nor_leaves_an_item) {
  channel<int> c;
  time_out_elsewhere([&] { return c.recv_for(1ms).has_value(); });
  EXPECT_FALSE(c.try_send(1));
  time_out_elsewhere([&] { return c.send_for(2, 1ms); });
  EXPECT_FALSE(c.try_recv());
  time_out_elsewhere([&] { return select(on_recv(c), on_send(c, 3), after(1ms)) != 2; });
  EXPECT_FALSE(c.try_send(1));
  EXPECT_FALSE(c.try_recv());
  EXPECT_TRUE(goes_on([&] { EXPECT_EQ(c.recv(), 4); }, [&] { c.send(4); }));
}

TEST_F(stale_waiter_test, of_several_objects_is_told_nothing) {
  event e;
  counting_semaphore s(0);
  queue<int> q;
  fiber<> f = spawn([&] { e.wait(); });
  time_out_elsewhere([&] { return wait_any_for(1ms, e, s, q, f).has_value(); });
  s.release();
  EXPECT_EQ(s.available(), 1);
  q.put(1);
  EXPECT_EQ(q.size(), 1u);
  EXPECT_TRUE(goes_on([&] { e.wait(); }, [&] { e.set(); }));
  EXPECT_TRUE(f.join_for(10s));
}

TEST_F(stale_waiter_test, of_a_pool_takes_no_place) {
  pool p(1);
  fiber<> member = p.spawn([] { sleep(1h); });
  yield();
  time_out_elsewhere([&] { return p.wait_available_for(1ms); });
  time_out_elsewhere([&] { return p.join_for(1ms); });
  time_out_elsewhere([&] {
    try {
      p.spawn_for(1ms, [] {});
      return true;
    } catch (const pool_full&) {
      return false;
    }
  });
  time_out_elsewhere([&] { return member.join_for(1ms); });
  EXPECT_TRUE(goes_on([&] { p.spawn([] {}).join(); }, [&] { member.kill(); }));
  EXPECT_EQ(p.free_count(), 1u);
}

}  // namespace
}  // namespace coir::test
