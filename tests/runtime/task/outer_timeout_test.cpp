// A time-out over a scope ends every wait, whatever time limit of its own the wait has, and what
// surfaces is the object of the outer one. The cooperative calls are in io/outer_timeout_test.cpp.
#include "tests/runtime/support.hpp"

#include <functional>
#include <memory>
#include <ostream>
#include <shared_mutex>

namespace coir::test {
namespace {

/// What the table's waits wait for: nothing of it comes while the test runs.
struct obstacles {
  mutex held;
  recursive_mutex held_recursively;
  shared_mutex written;
  condition_variable unnotified;
  counting_semaphore no_unit{0};
  event unset;
  latch closed{1};
  barrier<> incomplete{2};
  wait_group undone;
  once_flag begun;
  promise<int> unkept;
  future<int> result = unkept.get_future();
  queue<int> empty;
  queue<int> full{1};
  channel<int> silent;
  fiber<> endless;
  fiber<> stubborn;
  std::vector<fiber<>> both;
  pool busy{1};
  group immortals;
  thread_pool busy_thread{1};
};

struct limited_wait {
  const char* name;
  std::function<void(obstacles&)> wait;
};

void PrintTo(const limited_wait& kind, std::ostream* out) { *out << kind.name; }

class outer_time_out_of : public runtime_test, public testing::WithParamInterface<limited_wait> {
 protected:
  void SetUp() override {
    runtime_test::SetUp();
    o = std::make_unique<obstacles>();
    o->held.lock();
    o->held_recursively.lock();
    o->written.lock();
    o->undone.add();
    o->full.put(1);
    const auto endure = [this] {
      const this_fiber::no_kill guard;
      may_end.wait();
    };
    o->endless = o->busy.spawn([this] { may_end.wait(); });
    o->stubborn = o->immortals.spawn(endure);
    o->both = {o->endless, o->stubborn};
    event is_on_its_thread;
    o->busy_thread.spawn([&] {
      is_on_its_thread.set();
      may_end.wait();
    });
    is_on_its_thread.wait();
    caller = spawn([this] { call_once(o->begun, [this] { may_end.wait(); }); });
    yield();
  }
  void TearDown() override {
    may_end.set();
    o->held.unlock();
    o->held_recursively.unlock();
    o->written.unlock();
    caller.join();
    o.reset();
    runtime_test::TearDown();
  }

  event may_end;
  std::unique_ptr<obstacles> o;
  fiber<> caller;
};

TEST_P(outer_time_out_of, ends_it_and_is_what_surfaces) {
  const stopwatch watch;
  fiber<bool> waiter = spawn([&] {
    timeout_scope outer(1ms);
    try {
      GetParam().wait(*o);
    } catch (const timeout& e) {
      return outer.owns(e);
    }
    ADD_FAILURE() << "the wait came to its end";
    return false;
  });
  EXPECT_TRUE(waiter.get());
  EXPECT_LT(watch.elapsed(), 900ms);
}

TEST_P(outer_time_out_of, throws_the_very_object_it_was_given_and_leaves_nothing_behind) {
  const auto error = std::make_exception_ptr(std::string("the outer one"));
  fiber<bool> waiter = spawn([&] {
    timeout_scope outer(1ms, error);
    try {
      GetParam().wait(*o);
    } catch (const std::string&) {
      return std::current_exception() == error;
    }
    ADD_FAILURE() << "the wait came to its end";
    return false;
  });
  EXPECT_TRUE(waiter.get());
  EXPECT_EQ(o->full.try_get(), 1);
  EXPECT_EQ(o->full.try_get(), std::nullopt);
  EXPECT_FALSE(o->silent.try_recv());
  EXPECT_FALSE(o->silent.try_send(1)) << "nobody receives";
  o->empty.put(2);
  EXPECT_EQ(o->empty.size(), 1u);
  o->no_unit.release();
  EXPECT_EQ(o->no_unit.available(), 1);
  EXPECT_EQ(o->busy.free_count(), 0u);
  EXPECT_TRUE(o->result.valid());
}

template <class Lockable>
void lock_for(Lockable& m) {
  (void)std::unique_lock(m, 1s);
}

INSTANTIATE_TEST_SUITE_P(
    every_wait, outer_time_out_of,
    testing::Values(
        limited_wait{"sleep", [](obstacles&) { sleep(1s); }},
        limited_wait{"join", [](obstacles& o) { (void)o.endless.join_for(1s); }},
        limited_wait{"get", [](obstacles& o) { o.endless.get_for(1s); }},
        limited_wait{"kill", [](obstacles& o) { (void)o.stubborn.kill_for(1s); }},
        limited_wait{"joinall", [](obstacles& o) { joinall(o.both, 1s); }},
        limited_wait{"joinall_with_options",
                     [](obstacles& o) { joinall(o.both, {.count = 1, .timeout = 1s}); }},
        limited_wait{"killall", [](obstacles& o) { killall(std::vector{o.stubborn}, 1s); }},
        limited_wait{"event", [](obstacles& o) { (void)o.unset.wait_for(1s); }},
        limited_wait{"semaphore", [](obstacles& o) { (void)o.no_unit.try_acquire_for(1s); }},
        limited_wait{"semaphore_wait", [](obstacles& o) { (void)o.no_unit.wait_for(1s); }},
        limited_wait{"mutex", [](obstacles& o) { lock_for(o.held); }},
        limited_wait{"recursive_mutex", [](obstacles& o) { lock_for(o.held_recursively); }},
        limited_wait{"shared_mutex", [](obstacles& o) { lock_for(o.written); }},
        limited_wait{"shared_mutex_read",
                     [](obstacles& o) { (void)std::shared_lock(o.written, 1s); }},
        limited_wait{"condition",
                     [](obstacles& o) {
                       mutex own;
                       std::unique_lock lock(own);
                       o.unnotified.wait_for(lock, 1s);
                     }},
        limited_wait{"latch", [](obstacles& o) { (void)o.closed.wait_for(1s); }},
        limited_wait{"barrier",
                     [](obstacles& o) {
                       const auto arrival = o.incomplete.arrive();
                       (void)o.incomplete.wait_for(arrival, 1s);
                     }},
        limited_wait{"wait_group", [](obstacles& o) { (void)o.undone.wait_for(1s); }},
        limited_wait{"call_once", [](obstacles& o) { call_once(o.begun, [] { FAIL(); }); }},
        limited_wait{"future", [](obstacles& o) { (void)o.result.wait_for(1s); }},
        limited_wait{"future_get", [](obstacles& o) { o.result.get_for(1s); }},
        limited_wait{"queue_get", [](obstacles& o) { (void)o.empty.get_for(1s); }},
        limited_wait{"queue_put", [](obstacles& o) { (void)o.full.put_for(2, 1s); }},
        limited_wait{"queue_peek", [](obstacles& o) { (void)o.empty.peek_for(1s); }},
        limited_wait{"queue_join", [](obstacles& o) { (void)o.full.join_for(1s); }},
        limited_wait{"rendezvous_put", [](obstacles&) { (void)queue<int>(0).put_for(1, 1s); }},
        limited_wait{"channel_recv", [](obstacles& o) { (void)o.silent.recv_for(1s); }},
        limited_wait{"channel_send", [](obstacles& o) { (void)o.silent.send_for(1, 1s); }},
        limited_wait{"select",
                     [](obstacles& o) {
                       select(on_recv(o.silent), on_put(o.full, 2), on_set(o.unset),
                              on_join(o.endless), after(1s));
                     }},
        limited_wait{"wait", [](obstacles& o) { (void)coir::wait(o.both, {.timeout = 1s}); }},
        limited_wait{"wait_any",
                     [](obstacles& o) { (void)wait_any_for(1s, o.unset, o.no_unit, o.empty); }},
        limited_wait{"wait_all",
                     [](obstacles& o) { (void)wait_all_for(1s, o.closed, o.result, o.silent); }},
        limited_wait{"as_completed",
                     [](obstacles& o) {
                       for (auto& each : as_completed(o.both, 1s)) FAIL() << each.name();
                     }},
        limited_wait{"wait_for_all", [](obstacles&) { (void)wait_for_all(1s); }},
        limited_wait{"pool_spawn", [](obstacles& o) { o.busy.spawn_for(1s, [] { FAIL(); }); }},
        limited_wait{"pool_add", [](obstacles& o) { o.busy.add_for(o.stubborn, 1s); }},
        limited_wait{"pool_wait_available",
                     [](obstacles& o) { (void)o.busy.wait_available_for(1s); }},
        limited_wait{"pool_join", [](obstacles& o) { (void)o.busy.join_for(1s); }},
        limited_wait{"group_kill", [](obstacles& o) { (void)o.immortals.kill_for(1s); }},
        limited_wait{"scope_join",
                     [](obstacles&) {
                       scope s;
                       s.spawn([] { sleep(1s); });
                       (void)s.join_for(1s);
                     }},
        limited_wait{"apply",
                     [](obstacles&) {
                       scope s;
                       s.apply([] { sleep(1s); });
                     }},
        limited_wait{"map",
                     [](obstacles&) {
                       pool(1).map([](int) { sleep(1s); }, std::vector{1, 2});
                     }},
        limited_wait{"imap",
                     [](obstacles&) {
                       group g;
                       g.imap([](int) { sleep(1s); }, std::vector{1, 2}).next();
                     }},
        limited_wait{"thread_pool_spawn",
                     [](obstacles& o) { o.busy_thread.spawn_for(1s, [] { FAIL(); }); }},
        limited_wait{"thread_pool_join", [](obstacles& o) { (void)o.busy_thread.join_for(1s); }},
        limited_wait{"thread_pool_kill", [](obstacles& o) { (void)o.busy_thread.kill_for(1s); }}),
    [](const auto& kind) { return std::string(kind.param.name); });

}  // namespace
}  // namespace coir::test
