// A result that one gives and others wait for: gevent's AsyncResult.
//
// Of what gevent says of AsyncResult one line is not here: there are no links on a future, so that
// there is nothing to unlink. A fiber's completion callbacks are the place for those.
#include "tests/runtime/support.hpp"
#include "tests/runtime/sync/errors.hpp"

#include <atomic>
#include <future>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <type_traits>

namespace coir::test {
namespace {

using future_test = runtime_test;

static_assert(std::is_nothrow_move_constructible_v<future<int>>);
static_assert(!std::is_copy_constructible_v<future<int>>);
static_assert(std::is_nothrow_move_assignable_v<promise<int>>);
static_assert(!std::is_copy_constructible_v<promise<int>>);
static_assert(std::is_copy_constructible_v<shared_future<int>>);
static_assert(std::is_same_v<decltype(std::declval<shared_future<int>&>().get()), const int&>);
static_assert(std::is_same_v<decltype(std::declval<shared_future<int&>&>().get()), int&>);
static_assert(std::is_void_v<decltype(std::declval<shared_future<void>&>().get())>);
static_assert(std::uses_allocator_v<promise<int>, std::allocator<char>>);

/// The std::future_error of a call.
template <class Call>
std::error_code future_error_of(Call call) {
  return error_of<std::future_error>(call);
}

TEST_F(future_test, a_value_that_is_there_is_got_at_once) {
  promise<std::string> p;
  future<std::string> f = p.get_future();
  EXPECT_TRUE(f.valid());
  EXPECT_FALSE(f.ready());
  EXPECT_FALSE(f.successful());
  EXPECT_EQ(f.exception(), nullptr);
  p.set_value("result");
  EXPECT_TRUE(f.ready());
  EXPECT_TRUE(f.successful());
  EXPECT_EQ(f.get(), "result");
  EXPECT_FALSE(f.valid());
}

TEST_F(future_test, get_parks_until_the_value_is_set) {
  promise<int> p;
  fiber<int> getter = spawn([f = p.get_future()]() mutable { return f.get(); });
  sleep(1ms);
  EXPECT_FALSE(getter.ready());
  p.set_value(7);
  EXPECT_EQ(getter.get_for(10s), 7);
}

TEST_F(future_test, values_that_only_move_and_values_without_default_pass) {
  struct exact {
    explicit exact(int n) : value(n) {}
    exact(exact&&) = default;
    int value;
  };
  promise<std::unique_ptr<int>> p;
  p.set_value(std::make_unique<int>(3));
  EXPECT_EQ(*p.get_future().get(), 3);
  promise<exact> q;
  q.set_value(exact(4));
  EXPECT_EQ(q.get_future().get().value, 4);
}

TEST_F(future_test, references_pass_as_the_object_itself) {
  int object = 1;
  promise<int&> p;
  future<int&> f = p.get_future();
  p.set_value(object);
  EXPECT_EQ(&f.get(), &object);
}

TEST_F(future_test, a_promise_of_nothing_says_that_it_happened) {
  promise<void> p;
  future<void> f = p.get_future();
  p.set_value();
  f.get();
  EXPECT_FALSE(f.valid());
}

TEST_F(future_test, an_exception_comes_out_as_the_object_that_was_set) {
  promise<int> p;
  future<int> f = p.get_future();
  p.set_exception(std::make_exception_ptr(std::runtime_error("no result")));
  EXPECT_TRUE(f.ready());
  EXPECT_FALSE(f.successful());
  EXPECT_NE(f.exception(), nullptr);
  try {
    f.get();
    FAIL() << "no exception";
  } catch (const std::runtime_error& e) {
    EXPECT_STREQ(e.what(), "no result");
  }
  EXPECT_FALSE(f.valid());
}

TEST_F(future_test, a_promise_that_ends_without_a_result_is_broken) {
  future<int> f;
  fiber<std::error_code> getter;
  {
    promise<int> p;
    f = p.get_future();
    getter = spawn([&] { return future_error_of([&] { f.get(); }); });
    yield();
  }
  EXPECT_EQ(getter.get_for(10s), std::future_errc::broken_promise);
  promise<int> overwritten;
  f = overwritten.get_future();
  overwritten = promise<int>();
  EXPECT_TRUE(f.ready());
  EXPECT_EQ(future_error_of([&] { f.get(); }), std::future_errc::broken_promise);
}

TEST_F(future_test, a_promise_is_kept_once) {
  promise<int> p;
  p.set_value(1);
  const auto satisfied = std::future_errc::promise_already_satisfied;
  EXPECT_EQ(future_error_of([&] { p.set_value(2); }), satisfied);
  EXPECT_EQ(future_error_of([&] { p.set_exception(std::make_exception_ptr(3)); }), satisfied);
  EXPECT_EQ(p.get_future().get(), 1);
}

TEST_F(future_test, a_future_is_got_once) {
  promise<void> p;
  future<void> f = p.get_future();
  EXPECT_EQ(future_error_of([&] { p.get_future(); }), std::future_errc::future_already_retrieved);
}

TEST_F(future_test, what_was_moved_from_has_no_state) {
  promise<int> p;
  future<int> f = p.get_future();
  promise<int> q(std::move(p));
  future<int> g(std::move(f));
  const auto none = std::future_errc::no_state;
  EXPECT_FALSE(f.valid());
  EXPECT_EQ(future_error_of([&] { p.set_value(1); }), none);
  EXPECT_EQ(future_error_of([&] { p.set_exception(std::make_exception_ptr(1)); }), none);
  EXPECT_EQ(future_error_of([&] { p.get_future(); }), none);
  EXPECT_EQ(future_error_of([&] { f.get(); }), none);
  EXPECT_EQ(future_error_of([&] { f.wait(); }), none);
  EXPECT_EQ(future_error_of([&] { f.wait_for(1s); }), none);
  EXPECT_EQ(future_error_of([&] { f.get_for(1s); }), none);
  EXPECT_EQ(future_error_of([&] { f.try_get(); }), none);
  EXPECT_EQ(future_error_of([&] { f.ready(); }), none);
  EXPECT_EQ(future_error_of([] { shared_future<int>().get(); }), none);
  swap(p, q);
  p.set_value(5);
  EXPECT_EQ(g.get(), 5);
}

TEST_F(future_test, a_value_whose_copy_throws_leaves_the_promise_to_be_kept) {
  struct moody {
    explicit moody(bool throws) : throws_(throws) {}
    moody(const moody& other) : throws_(other.throws_) {
      if (throws_) throw std::runtime_error("no copy");
    }
    bool throws_;
  };
  promise<moody> p;
  future<moody> f = p.get_future();
  const moody bad(true);
  const moody good(false);
  EXPECT_THROW(p.set_value(bad), std::runtime_error);
  EXPECT_FALSE(f.ready());
  p.set_value(good);
  EXPECT_FALSE(f.get().throws_);
}

TEST_F(future_test, an_exception_that_is_none_is_refused) {
  promise<int> p;
  EXPECT_THROW(p.set_exception(nullptr), std::invalid_argument);
  p.set_value(1);
}

TEST_F(future_test, a_timed_wait_returns_a_status_that_compares_with_that_of_std) {
  promise<int> p;
  future<int> f = p.get_future();
  const stopwatch watch;
  EXPECT_TRUE(f.wait_for(20ms) == future_status::timeout);
  expect_took(watch, 20ms);
  EXPECT_TRUE(f.wait_until(std::chrono::steady_clock::now() + 20ms) == std::future_status::timeout);
  expect_took(watch, 40ms);
  EXPECT_TRUE(f.wait_for(0ms) != std::future_status::ready);
  EXPECT_TRUE(std::future_status::deferred != f.wait_for(0ms));
  p.set_value(1);
  EXPECT_TRUE(f.wait_for(0ms) == std::future_status::ready);
  EXPECT_TRUE(std::future_status::ready == f.wait_until(std::chrono::steady_clock::now() - 1s));
  EXPECT_TRUE(f.wait_for(1h) == future_status::ready);
  EXPECT_TRUE(f.valid());
}

TEST_F(future_test, get_with_a_timeout_throws_and_can_be_repeated) {
  promise<int> p;
  future<int> f = p.get_future();
  const stopwatch watch;
  EXPECT_THROW(f.get_for(20ms), timeout);
  expect_took(watch, 20ms);
  EXPECT_TRUE(f.valid());
  p.set_value(3);
  EXPECT_EQ(f.get_for(20ms), 3);
  EXPECT_FALSE(f.valid());
}

TEST_F(future_test, get_nowait_on_an_unset_result_throws_the_timeout_at_once) {
  promise<int> p;
  future<int> f = p.get_future();
  bool other_ran = false;
  fiber<> other = spawn([&] { other_ran = true; });
  EXPECT_THROW(f.get_for(0s), timeout);
  EXPECT_FALSE(other_ran);
  p.set_value(1);
  EXPECT_EQ(f.get_for(0s), 1);
  EXPECT_FALSE(other_ran);
  other.join();
}

TEST_F(future_test, try_get_returns_what_is_there) {
  promise<int> p;
  future<int> f = p.get_future();
  EXPECT_EQ(f.try_get(), std::nullopt);
  EXPECT_TRUE(f.valid());
  p.set_value(4);
  EXPECT_EQ(f.try_get(), std::optional(4));
  EXPECT_FALSE(f.valid());

  int object = 0;
  promise<int&> pr;
  future<int&> fr = pr.get_future();
  EXPECT_EQ(fr.try_get(), nullptr);
  pr.set_value(object);
  EXPECT_EQ(fr.try_get(), &object);

  promise<void> pv;
  future<void> fv = pv.get_future();
  EXPECT_FALSE(fv.try_get());
  pv.set_exception(std::make_exception_ptr(1));
  EXPECT_THROW(fv.try_get(), int);
}

TEST_F(future_test, a_shared_result_can_be_got_by_many_as_often_as_asked) {
  promise<std::string> p;
  const shared_future<std::string> shared = p.get_future().share();
  std::vector<int> order;
  std::vector<fiber<>> fibers;
  for (int i = 0; i < 10; ++i) {
    fibers.push_back(spawn([&, i, mine = shared] {
      EXPECT_EQ(mine.get(), "result");
      order.push_back(i);
    }));
  }
  yield();
  EXPECT_EQ(shared.try_get(), nullptr);
  EXPECT_THROW(shared.get_for(0s), timeout);
  p.set_value("result");
  joinall(fibers);
  EXPECT_EQ(order, (std::vector<int>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}));
  EXPECT_EQ(&shared.get(), &shared.get());
  EXPECT_EQ(shared.try_get(), &shared.get());
  EXPECT_EQ(shared.get_for(0s), "result");
}

TEST_F(future_test, a_shared_exception_is_rethrown_as_often_as_asked) {
  promise<void> p;
  const shared_future<void> shared(p.get_future());
  EXPECT_FALSE(shared.try_get());
  p.set_exception(std::make_exception_ptr(std::runtime_error("no result")));
  for (int i = 0; i < 3; ++i) EXPECT_THROW(shared.get(), std::runtime_error);
  EXPECT_THROW(shared.try_get(), std::runtime_error);
  EXPECT_TRUE(shared.valid());
}

TEST_F(future_test, a_waiter_that_is_killed_leaves_the_future_as_it_was) {
  promise<int> p;
  future<int> f = p.get_future();
  fiber<> killed = spawn([&] {
    f.get();
    FAIL() << "went on after a kill";
  });
  yield();
  killed.kill();
  EXPECT_TRUE(f.valid());
  p.set_value(6);
  EXPECT_EQ(f.get(), 6);
}

TEST_F(future_test, a_waiter_may_destroy_the_promise_as_soon_as_it_is_kept) {
  for (int round = 0; round < scaled(500); ++round) {
    auto p = std::make_unique<promise<int>>();
    future<int> f = p->get_future();
    std::thread thread([raw = p.get()] { raw->set_value(1); });
    EXPECT_EQ(f.get(), 1);
    p.reset();
    thread.join();
  }
}

TEST_F(future_test, a_set_from_a_thread_that_never_used_coir_wakes_a_worker_without_a_timer) {
  promise<int> p;
  std::thread plain([&] {
    std::this_thread::sleep_for(20ms);
    p.set_value(8);
  });
  const stopwatch watch;
  EXPECT_EQ(p.get_future().get(), 8);
  expect_took(watch, 20ms);
  plain.join();
}

TEST_F(future_test, it_works_in_both_directions_between_threads) {
  for (int round = 0; round < scaled(500); ++round) {
    promise<int> there;
    promise<int> back;
    std::thread other([&] {
      fiber<> f = spawn([&] { back.set_value(there.get_future().get() + 1); });
      f.join();
    });
    there.set_value(round);
    ASSERT_EQ(back.get_future().get_for(20s), round + 1);
    other.join();
  }
}

TEST_F(future_test, of_several_who_set_a_value_at_the_same_time_one_does) {
  for (int round = 0; round < scaled(300); ++round) {
    promise<int> p;
    future<int> f = p.get_future();
    std::atomic<int> refused{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < 3; ++t) {
      threads.emplace_back([&, t] {
        if (future_error_of([&] { p.set_value(t); })) ++refused;
      });
    }
    const int got = f.get();
    EXPECT_TRUE(got >= 0 && got < 3);
    for (auto& t : threads) t.join();
    EXPECT_EQ(refused, 2);
  }
}

/// Counts what it has given out and not got back.
template <class T>
struct counting_allocator {
  using value_type = T;
  explicit counting_allocator(int& count) : held(&count) {}
  template <class U>
  explicit counting_allocator(const counting_allocator<U>& other) : held(other.held) {}
  T* allocate(std::size_t n) {
    ++*held;
    return std::allocator<T>().allocate(n);
  }
  void deallocate(T* p, std::size_t n) {
    --*held;
    std::allocator<T>().deallocate(p, n);
  }
  int* held;
};

TEST_F(future_test, a_promise_takes_its_memory_from_the_allocator_it_is_given) {
  int held = 0;
  future<std::string> f;
  {
    promise<std::string> p(std::allocator_arg, counting_allocator<char>(held));
    EXPECT_EQ(held, 1);
    f = p.get_future();
    p.set_value("result");
  }
  EXPECT_EQ(held, 1);
  EXPECT_EQ(f.get(), "result");
  EXPECT_EQ(held, 0);
}

}  // namespace
}  // namespace coir::test
