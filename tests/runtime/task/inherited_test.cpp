// Values that a fiber hands down to those it spawns.
#include "tests/runtime/support.hpp"

#include <atomic>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace coir::test {
namespace {

using inherited_test = runtime_test;

TEST_F(inherited_test, a_value_or_the_default_or_an_error) {
  inherited<int> with_default(7);
  EXPECT_EQ(with_default.get(), 7);
  EXPECT_FALSE(with_default.has_value());
  EXPECT_EQ(with_default.find(), nullptr);
  EXPECT_EQ(with_default.get_or(3), 3);
  inherited<std::string> without;
  EXPECT_THROW(without.get(), std::logic_error);
  EXPECT_EQ(without.get_or("nothing"), "nothing");
  const auto kept = without.scoped("value");
  EXPECT_EQ(*without, "value");
  EXPECT_EQ(without->size(), 5u);
  EXPECT_TRUE(without.has_value());
  EXPECT_EQ(without.find(), &without.get());
}

TEST_F(inherited_test, a_child_sees_the_value_at_its_spawn) {
  inherited<int> number(0);
  number.set(1);
  fiber<int> first = spawn([&] { return *number; });
  number.set(2);
  fiber<int> second = spawn([&] { return *number; });
  number.set(3);
  EXPECT_EQ(first.get(), 1);
  EXPECT_EQ(second.get(), 2);
}

TEST_F(inherited_test, what_a_child_sets_is_for_itself_and_its_own_children) {
  inherited<int> number(0);
  number.set(1);
  fiber<int> child = spawn([&] {
    number.set(2);
    return spawn([&] { return 10 * *number; }).get();
  });
  EXPECT_EQ(child.get(), 20);
  EXPECT_EQ(*number, 1);
}

TEST_F(inherited_test, what_a_parent_sets_later_does_not_reach_a_child_that_runs) {
  inherited<int> number(0);
  event go;
  number.set(1);
  fiber<int> child = spawn([&] {
    go.wait();
    return *number;
  });
  yield();
  number.set(2);
  go.set();
  EXPECT_EQ(child.get(), 1);
}

TEST_F(inherited_test, context_variables_of_workers_that_run_together_do_not_show_in_one_another) {
  inherited<std::string> request;
  request.set("none");
  auto serve = [&](int id) {
    request.set("request " + std::to_string(id));
    std::vector<fiber<>> helpers;
    for (int i = 0; i < 3; ++i) {
      sleep(1ms);
      EXPECT_EQ(*request, "request " + std::to_string(id));
      helpers.push_back(spawn([&, id] {
        yield();
        EXPECT_EQ(*request, "request " + std::to_string(id));
        request.set("helper");
        sleep(1ms);
        EXPECT_EQ(*request, "helper");
      }));
    }
    joinall(helpers);
    EXPECT_EQ(*request, "request " + std::to_string(id));
  };
  std::vector<fiber<>> workers;
  for (int id = 0; id < 20; ++id) workers.push_back(spawn(serve, id));
  for (auto& w : workers) w.get();
  EXPECT_EQ(*request, "none");
}

TEST_F(inherited_test, spawn_after_and_pools_capture_at_the_call) {
  inherited<int> number(0);
  number.set(1);
  fiber<int> late = spawn_after(5ms, [&] { return *number; });
  pool workers(1);
  event go;
  fiber<> first = workers.spawn([&] { go.wait(); });
  number.set(2);
  fiber<int> waits_for_room = spawn([&] { return workers.spawn([&] { return *number; }).get(); });
  number.set(3);
  yield();
  go.set();
  EXPECT_EQ(late.get(), 1);
  EXPECT_EQ(waits_for_room.get(), 2);
  const std::vector<int> mapped =
      workers.map([&](int n) { return n + *number; }, std::vector<int>{10, 20});
  EXPECT_EQ(mapped, (std::vector<int>{13, 23}));
}

TEST_F(inherited_test, a_token_gives_back_what_was_there_before) {
  inherited<int> number(0);
  auto first = number.set(1);
  auto second = number.set(2);
  number.reset(second);
  EXPECT_EQ(*number, 1);
  number.reset(first);
  EXPECT_FALSE(number.has_value());
  EXPECT_EQ(*number, 0);
}

TEST_F(inherited_test, a_token_is_good_once_and_for_its_variable_and_fiber_only) {
  inherited<int> number(0);
  inherited<int> other(0);
  auto token = number.set(1);
  EXPECT_THROW(other.reset(token), std::invalid_argument);
  spawn([&] { EXPECT_THROW(number.reset(token), std::invalid_argument); }).get();
  EXPECT_EQ(*number, 1);
  auto moved = std::move(token);
  EXPECT_THROW(number.reset(token), std::logic_error);
  number.reset(moved);
  EXPECT_THROW(number.reset(moved), std::logic_error);
  EXPECT_FALSE(number.has_value());
}

TEST_F(inherited_test, a_token_of_a_thread_is_good_after_it_became_a_worker) {
  inherited<int> number(0);
  std::thread([&] {
    auto token = number.set(1);
    EXPECT_EQ(spawn([&] { return *number; }).get(), 1);
    number.reset(token);
    EXPECT_EQ(*number, 0);
  }).join();
}

TEST_F(inherited_test, a_scope_ends_a_value) {
  inherited<int> number(0);
  {
    const auto outer = number.scoped(1);
    try {
      const auto inner = number.scoped(2);
      EXPECT_EQ(spawn([&] { return *number; }).get(), 2);
      throw std::runtime_error("leaves the scope");
    } catch (const std::runtime_error&) {
    }
    EXPECT_EQ(*number, 1);
  }
  EXPECT_FALSE(number.has_value());
}

TEST_F(inherited_test, a_value_lives_as_long_as_a_fiber_can_see_it) {
  auto value = std::make_shared<int>(5);
  inherited<std::shared_ptr<int>> shared;
  event go;
  fiber<int> child;
  {
    const auto kept = shared.scoped(value);
    child = spawn([&] {
      go.wait();
      return **shared;
    });
  }
  EXPECT_EQ(value.use_count(), 2);
  go.set();
  EXPECT_EQ(child.get(), 5);
  EXPECT_TRUE(eventually([&] { return value.use_count() == 1; }));
}

TEST_F(inherited_test, one_that_is_killed_before_it_began_lets_go_of_what_it_inherits) {
  auto value = std::make_shared<int>(5);
  inherited<std::shared_ptr<int>> shared;
  fiber<> child;
  {
    const auto kept = shared.scoped(value);
    child = spawn([] {});
  }
  child.kill();
  EXPECT_EQ(value.use_count(), 1);
}

TEST_F(inherited_test, a_child_that_runs_first_sees_it_at_once) {
  inherited<int> number;
  number.set(7);
  int seen = 0;
  fiber<> child = spawn({.run_first = true}, [&] { seen = *number; });
  EXPECT_EQ(seen, 7);
  child.join();
}

TEST_F(inherited_test, several_variables_are_independent) {
  std::vector<std::unique_ptr<inherited<int>>> all;
  for (int i = 0; i < 10; ++i) all.push_back(std::make_unique<inherited<int>>(-1));
  for (int i = 0; i < 10; i += 2) all[i]->set(i);
  fiber<> child = spawn([&] {
    all[1]->set(1);
    all[2]->set(20);
    for (int i = 0; i < 10; ++i)
      EXPECT_EQ(**all[i], i == 1 ? 1 : i == 2 ? 20 : i % 2 == 0 ? i : -1);
  });
  child.get();
  EXPECT_EQ(**all[1], -1);
  EXPECT_EQ(**all[2], 2);
}

TEST_F(inherited_test, an_object_in_the_place_of_one_that_is_gone_starts_unset) {
  auto value = std::make_shared<int>(5);
  auto first = std::make_unique<inherited<std::shared_ptr<int>>>();
  first->set(value);
  first.reset();
  inherited<int> second(3);
  EXPECT_EQ(*second, 3);
  auto token = second.set(4);
  EXPECT_EQ(value.use_count(), 1);  // its place was needed
  second.reset(token);
  EXPECT_EQ(*second, 3);
}

TEST_F(inherited_test, a_child_on_another_thread_may_read_a_value_while_the_parent_replaces_it) {
  inherited<std::string> text;
  text.set("first");
  const inherited_context seen = inherited_context::copy();
  std::atomic<bool> is_over{false};
  std::thread other([&, mine = seen]() mutable {
    mine.run([&] {
      while (!is_over) {
        EXPECT_EQ(*text, "first");
        spawn([&] {
          EXPECT_EQ(*text, "first");
          text.set("child");
        }).get();
      }
    });
    EXPECT_FALSE(text.has_value());
  });
  for (int i = 0; i < scaled(2000); ++i) {
    text.set("later");
    spawn([&] { EXPECT_EQ(*text, "later"); }).get();
  }
  is_over = true;
  other.join();
}

TEST_F(inherited_test, a_copied_context_is_a_world_of_its_own) {
  inherited<int> number(0);
  number.set(1);
  inherited_context c = inherited_context::copy();
  number.set(2);
  EXPECT_EQ(c.run([&] {
    const int seen = *number;
    number.set(10);
    return seen;
  }),
            1);
  EXPECT_EQ(*number, 2);
  EXPECT_EQ(c.run([&](int n) { return *number + n; }, 5), 15);  // what was set in it has stayed
  inherited_context empty;
  EXPECT_EQ(empty.run([&] { return *number; }), 0);
}

TEST_F(inherited_test, a_context_in_use_cannot_be_entered) {
  inherited_context c;
  event go;
  fiber<> f = spawn([&] { c.run([&] { go.wait(); }); });
  yield();
  EXPECT_THROW(c.run([] {}), std::logic_error);
  go.set();
  f.get();
  EXPECT_THROW(c.run([] { throw std::out_of_range("body"); }), std::out_of_range);
  EXPECT_EQ(c.run([] { return 1; }), 1);
}

TEST_F(inherited_test, a_context_may_run_several_fibers_children) {
  inherited<int> number(0);
  inherited_context c;
  std::optional<fiber<int>> child;
  c.run([&] {
    number.set(5);
    child = spawn([&] { return *number; });
  });
  EXPECT_FALSE(number.has_value());
  EXPECT_EQ(child->get(), 5);
}

TEST_F(inherited_test, a_raw_context_inherits_where_it_is_made_and_has_values_of_its_own) {
  inherited<int> number(0);
  number.set(1);
  context<int> body([&](int) {
    const int seen = *number;
    number.set(2);
    context<int>::switch_to_parent(seen);
    return *number;
  });
  number.set(3);
  EXPECT_EQ(body.switch_to(0), 1);
  EXPECT_EQ(*number, 3);
  EXPECT_EQ(body.switch_to(0), 2);
}

TEST_F(inherited_test, a_generator_shares_the_values_of_the_fiber_that_runs_it) {
  inherited<int> number(0);
  generator<int> g([&](auto& yield) {
    for (;;) {
      const int seen = *number;
      number.set(seen + 1);
      yield(seen);
    }
  });
  number.set(5);
  EXPECT_EQ(g.next(), 5);
  EXPECT_EQ(*number, 6);
  EXPECT_EQ(spawn([&] { return *g.next(); }).get(), 6);
  EXPECT_EQ(*number, 6);
}

TEST_F(inherited_test, a_thread_starts_without_and_plain_threads_may_use_it) {
  inherited<int> number(0);
  number.set(1);
  std::thread([&] {
    EXPECT_FALSE(number.has_value());
    number.set(2);
    EXPECT_EQ(*number, 2);
  }).join();
  EXPECT_EQ(*number, 1);
}

}  // namespace
}  // namespace coir::test
