// Raw contexts that pass values to and fro.
#include "tests/runtime/support.hpp"

#include <atomic>
#include <memory>
#include <optional>
#include <stdexcept>
#include <thread>

namespace coir::test {
namespace {

using context_test = runtime_test;

TEST_F(context_test, a_new_context_runs_nothing) {
  bool has_run = false;
  context<int> c([&](int n) {
    has_run = true;
    return n;
  });
  EXPECT_FALSE(has_run);
  EXPECT_FALSE(c.has_begun());
  EXPECT_FALSE(c.is_dead());
}

TEST_F(context_test, the_first_switch_passes_the_argument_and_the_end_brings_the_result) {
  context<std::string> c([](std::string word) { return word + " heard"; });
  EXPECT_EQ(c.switch_to("hello"), "hello heard");
  EXPECT_TRUE(c.is_dead());
}

TEST_F(context_test, two_contexts_switch_values_and_the_end_goes_to_their_maker) {
  std::string log;
  auto note = [&log](char who, int n) { (log += who) += std::to_string(n); };
  context<int>* second_address = nullptr;
  context<int> first([&](int n) {
    note('a', n);
    n = second_address->switch_to(n + 1);
    note('c', n);
    n = second_address->switch_to(n + 1);
    note('e', n);
    return n + 1;
  });
  context<int> second([&](int n) {
    note('b', n);
    n = first.switch_to(n + 1);
    note('d', n);
    return first.switch_to(n + 1);
  });
  second_address = &second;
  EXPECT_EQ(first.switch_to(1), 6);
  EXPECT_EQ(log, "a1b2c3d4e5");
  EXPECT_TRUE(first.is_dead());
  EXPECT_FALSE(second.is_dead());
}

TEST_F(context_test, an_exception_of_the_body_comes_out_in_the_parent) {
  context<int> c([](int) -> int { throw std::out_of_range("body"); });
  EXPECT_THROW(c.switch_to(1), std::out_of_range);
  EXPECT_TRUE(c.is_dead());
}

TEST_F(context_test, a_context_may_run_one_that_it_has_made) {
  std::string log;
  context<int> outer([&](int n) {
    context<int> inner([&](int m) {
      log += "inner ";
      return m + 1;
    });
    const int result = inner.switch_to(n);
    log += "outer ";
    return result + 1;
  });
  EXPECT_EQ(outer.switch_to(1), 3);
  EXPECT_EQ(log, "inner outer ");
}

TEST_F(context_test, a_switch_to_a_dead_context_is_a_logic_error) {
  context<int> c([](int n) { return n; });
  c.switch_to(1);
  EXPECT_THROW(c.switch_to(2), std::logic_error);
}

TEST_F(context_test, a_switch_to_itself_is_a_logic_error) {
  context<int>* self = nullptr;
  context<int> c([&](int n) {
    EXPECT_THROW(self->switch_to(n), std::logic_error);
    return n;
  });
  self = &c;
  EXPECT_EQ(c.switch_to(1), 1);
}

/// A producer that counts up, left suspended in a switch to a consumer that has ended.
struct half_done {
  explicit half_done(int rounds)
      : producer([this](int n) {
          for (;;) n = consumer.switch_to(n + 1);
          return n;
        }),
        consumer([this, rounds](int n) {
          for (int i = 0; i < rounds; ++i) n = producer.switch_to(n);
          return n;
        }) {}

  context<int> producer;
  context<int> consumer;
};

TEST_F(context_test, a_suspended_context_belongs_to_its_thread) {
  half_done pair(3);
  EXPECT_EQ(pair.consumer.switch_to(0), 3);
  ASSERT_FALSE(pair.producer.is_dead());
  std::thread([&] { EXPECT_THROW(pair.producer.switch_to(1), std::logic_error); }).join();
}

TEST_F(context_test, a_context_may_wait_like_any_fiber) {
  bool other_has_run = false;
  fiber<> other = spawn([&] { other_has_run = true; });
  context<int> c([&](int n) {
    sleep(10ms);
    return n + 1;
  });
  const stopwatch watch;
  EXPECT_EQ(c.switch_to(1), 2);
  expect_took(watch, 10ms);
  EXPECT_TRUE(other_has_run);
}

TEST_F(context_test, values_that_only_move_pass_through) {
  context<std::unique_ptr<int>> c([](std::unique_ptr<int> p) {
    ++*p;
    return p;
  });
  EXPECT_EQ(*c.switch_to(std::make_unique<int>(1)), 2);
}

TEST_F(context_test, it_switches_to_its_parent_without_naming_it) {
  using adder = context<int>;
  adder c([](int n) {
    for (int sum = n;;) sum += adder::switch_to_parent(sum);
    return 0;
  });
  EXPECT_EQ(c.switch_to(1), 1);
  EXPECT_EQ(c.switch_to(2), 3);
  EXPECT_EQ(c.switch_to(3), 6);
  EXPECT_TRUE(c.has_begun());
}

TEST_F(context_test, a_plain_fiber_has_no_parent_to_switch_to) {
  EXPECT_FALSE(any_context::current());
  EXPECT_THROW(context<int>::switch_to_parent(1), std::logic_error);
  EXPECT_THROW(context<int>::switch_to_main(1), std::logic_error);
}

TEST_F(context_test, values_in_and_out_may_be_of_different_types) {
  using speller = context<std::string, int>;
  speller c([](int n) {
    while (n < 3) n = speller::switch_to_parent(std::to_string(n));
    return std::string("done");
  });
  EXPECT_EQ(c.switch_to(1), "1");
  EXPECT_EQ(c.switch_to(2), "2");
  EXPECT_EQ(c.switch_to(3), "done");
}

TEST_F(context_test, values_may_be_missing_in_either_direction) {
  std::string log;
  using source = context<int, void>;
  source count([] {
    for (int i = 1; i < 3; ++i) source::switch_to_parent(i);
    return 3;
  });
  EXPECT_EQ(count.switch_to(), 1);
  EXPECT_EQ(count.switch_to(), 2);
  EXPECT_EQ(count.switch_to(), 3);
  using sink = context<void, int>;
  sink take([&](int n) {
    for (; n > 0; n = sink::switch_to_parent()) log += std::to_string(n);
  });
  take.switch_to(1);
  take.switch_to(2);
  take.switch_to(0);
  EXPECT_EQ(log, "12");
  EXPECT_TRUE(take.is_dead());
  context<> plain([&] {
    log += 'a';
    context<>::switch_to_parent();
    log += 'c';
  });
  plain.switch_to();
  log += 'b';
  plain.switch_to();
  EXPECT_EQ(log, "12abc");
}

TEST_F(context_test, a_value_of_a_type_that_is_not_waited_for_is_a_logic_error) {
  context<int>* c_address = nullptr;
  context<std::string> words([&](std::string) {
    // `c` waits for what this brings, a string.
    EXPECT_THROW(c_address->switch_to(1), std::logic_error);
    EXPECT_THROW(context<int>::switch_to_parent(1), std::logic_error);
    return std::string("ok");
  });
  context<int> c([&](int n) {
    words.set_parent(any_context::current());
    EXPECT_EQ(words.switch_to("?"), "ok");
    return n;
  });
  c_address = &c;
  EXPECT_EQ(c.switch_to(1), 1);
}

TEST_F(context_test, a_result_that_the_parent_does_not_wait_for_is_an_error_in_the_parent) {
  context<int> other([](int n) { return n; });
  context<std::string> c([&](std::string) {
    other.set_parent(any_context::current());
    context<std::string>::switch_to_parent("waits for a string");
    return std::string();
  });
  EXPECT_EQ(c.switch_to(""), "waits for a string");
  // What `c` makes of the std::logic_error is nothing, so that it comes up here.
  EXPECT_THROW(other.switch_to(1), std::logic_error);
  EXPECT_TRUE(other.is_dead());
  EXPECT_TRUE(c.is_dead());
}

TEST_F(context_test, a_switch_in_a_catch_block_keeps_the_exception) {
  std::string seen;
  auto keep = [&](const char* text) {
    return [&seen, text](int n) {
      try {
        throw std::runtime_error(text);
      } catch (...) {
        n = context<int>::switch_to_parent(n);
        try {
          throw;
        } catch (const std::runtime_error& e) {
          seen += e.what();
        }
      }
      return n;
    };
  };
  context<int> a(keep("a"));
  context<int> b(keep("b"));
  a.switch_to(1);
  b.switch_to(1);
  a.switch_to(1);
  b.switch_to(1);
  EXPECT_EQ(seen, "ab");
}

TEST_F(context_test, errno_is_its_own) {
  context<> c([] {
    EXPECT_EQ(errno, 0);
    errno = EBADF;
    context<>::switch_to_parent();
    EXPECT_EQ(errno, EBADF);
  });
  errno = EPIPE;
  c.switch_to();
  EXPECT_EQ(errno, EPIPE);
  c.switch_to();
}

TEST_F(context_test, it_uses_locks_and_sockets_as_a_fiber_of_its_own) {
  mutex m;
  socket_ends ends = make_socket_pair();
  context<int> c([&](int n) {
    EXPECT_FALSE(m.try_lock_for(1ms));  // held by the fiber beneath
    EXPECT_THROW(m.unlock(), std::system_error);
    char byte = 0;
    fiber<> writer = spawn([&] { EXPECT_EQ(::write(ends.other.get(), "x", 1), 1); });
    writer.join();
    EXPECT_EQ(::read(ends.one.get(), &byte, 1), 1);
    return n + byte;
  });
  m.lock();
  EXPECT_EQ(c.switch_to(1), 1 + 'x');
  m.unlock();
}

TEST_F(context_test, it_has_a_number_and_a_name) {
  const std::uint64_t own = this_fiber::id();
  std::uint64_t first = 0;
  context<> c({.name = "reader"}, [&] {
    first = this_fiber::id();
    EXPECT_EQ(this_fiber::name(), "reader");
  });
  context<> d([&] { EXPECT_NE(this_fiber::id(), first); });
  c.switch_to();
  d.switch_to();
  EXPECT_NE(first, own);
}

TEST_F(context_test, its_stack_may_be_larger) {
  context<std::size_t> c({.stack_bytes = std::size_t{4} << 20}, [](std::size_t depth) {
    volatile char used[std::size_t{3} << 20];
    used[0] = 1;
    used[sizeof used - 1] = 1;
    return depth + used[0];
  });
  EXPECT_EQ(c.switch_to(1), 2u);
}

TEST_F(context_test, contexts_are_no_spawned_fibers) {
  context<> c([] { context<>::switch_to_parent(); });
  c.switch_to();
  EXPECT_EQ(fiber_count(), 0u);
}

TEST_F(context_test, an_owner_may_be_moved_while_the_body_waits) {
  context<int> c([](int n) { return n + context<int>::switch_to_parent(n); });
  EXPECT_EQ(c.switch_to(1), 1);
  context<int> moved = std::move(c);
  EXPECT_THROW(c.switch_to(2), std::logic_error);
  context<int> assigned([](int n) { return n; });
  assigned = std::move(moved);
  EXPECT_EQ(assigned.switch_to(2), 3);
}

TEST_F(context_test, a_reference_outlives_the_owner) {
  context_ref<int> name;
  {
    context<int> c([](int n) { return n; });
    name = c;
    EXPECT_TRUE(name == c);
    EXPECT_FALSE(name.is_dead());
  }
  EXPECT_TRUE(name.is_dead());
  EXPECT_FALSE(name.has_begun());
  EXPECT_THROW(name.switch_to(1), std::logic_error);
}

TEST_F(context_test, a_body_that_cannot_be_copied_is_gone_after_its_end) {
  auto token = std::make_unique<int>(5);
  std::weak_ptr<int> watched;
  auto shared = std::make_shared<int>(0);
  watched = shared;
  context<int> c(
      [token = std::move(token), shared = std::move(shared)](int n) { return n + *token; });
  EXPECT_FALSE(watched.expired());
  EXPECT_EQ(c.switch_to(1), 6);
  EXPECT_TRUE(watched.expired());
}

TEST_F(context_test, a_context_that_waits_in_the_scheduler_cannot_be_switched_to) {
  event go;
  context<int> c([&](int n) {
    go.wait();
    return n;
  });
  fiber<int> driver = spawn([&] { return c.switch_to(1); });
  yield();
  EXPECT_THROW(c.switch_to(2), std::logic_error);
  EXPECT_FALSE(c.is_dead());
  go.set();
  EXPECT_EQ(driver.get(), 1);
}

TEST_F(context_test, its_end_goes_to_the_fiber_that_entered_it_last) {
  context<int> c([](int n) { return n + context<int>::switch_to_parent(n); });
  fiber<int> first = spawn([&] { return c.switch_to(1); });
  EXPECT_EQ(first.get(), 1);
  fiber<int> second = spawn([&] { return c.switch_to(10); });
  EXPECT_EQ(second.get(), 11);
}

TEST_F(context_test, a_kill_reaches_a_fiber_that_waits_for_a_context) {
  event go;
  context<int> c([&](int n) {
    go.wait();
    return n;
  });
  bool went_on = false;
  fiber<> driver = spawn([&] {
    c.switch_to(1);
    went_on = true;
  });
  yield();
  driver.kill();
  EXPECT_FALSE(went_on);
  EXPECT_FALSE(c.is_dead());  // the kill was not meant for it
  go.set();
  EXPECT_TRUE(eventually([&] { return c.is_dead(); }));  // its value goes nowhere
}

TEST_F(context_test, a_context_without_anybody_beneath_cannot_switch_there) {
  event go;
  bool was_refused = false;
  context<int> c([&](int n) {
    go.wait();
    try {
      context<int>::switch_to_parent(n);
    } catch (const std::logic_error&) {
      was_refused = true;
    }
    return n;
  });
  fiber<> driver = spawn([&] { c.switch_to(1); });
  yield();
  driver.kill();
  go.set();
  EXPECT_TRUE(eventually([&] { return c.is_dead(); }));
  EXPECT_TRUE(was_refused);
}

TEST_F(context_test, a_killed_fiber_does_not_switch_any_more) {
  bool has_run = false;
  context<> c([&] { has_run = true; });
  event begun;
  std::atomic<bool> is_killed{false};
  fiber<> f = spawn([&] {
    begun.set();
    offload([&] {  // a wait that a kill does not end
      while (!is_killed) std::this_thread::yield();
    });
    c.switch_to();
  });
  begun.wait();
  f.kill(false);
  is_killed = true;
  f.join();
  EXPECT_FALSE(has_run);
  EXPECT_FALSE(c.has_begun());
}

TEST_F(context_test, many_switches_keep_every_value) {
  const int rounds = scaled(100'000);
  half_done pair(rounds);
  EXPECT_EQ(pair.consumer.switch_to(0), rounds);
}

}  // namespace
}  // namespace coir::test
