// Generators: values handed out, sent in, thrown in.
#include "tests/runtime/support.hpp"

#include <algorithm>
#include <atomic>
#include <list>
#include <memory>
#include <ranges>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace coir::test {
namespace {

using generator_test = runtime_test;

/// Yields `first` and all that follow up to `last`.
auto numbers(int first, int last) {
  return [first, last](yielder<int>& yield) {
    for (int n = first; n <= last; ++n) yield(n);
  };
}

template <class Generator>
std::vector<int> rest_of(Generator& g) {
  std::vector<int> values;
  for (int n : g) values.push_back(n);
  return values;
}

using values = std::vector<int>;

TEST_F(generator_test, a_new_generator_runs_nothing) {
  bool has_run = false;
  generator<int> g([&](auto&) { has_run = true; });
  EXPECT_FALSE(has_run);
  EXPECT_FALSE(g.is_done());
}

TEST_F(generator_test, next_brings_one_value_after_the_other_and_then_nothing_for_ever) {
  generator<int> g([](auto& yield) {
    yield(1);
    yield(2);
  });
  EXPECT_EQ(g.next(), 1);
  EXPECT_EQ(g.next(), 2);
  EXPECT_FALSE(g.is_done());
  EXPECT_EQ(g.next(), std::nullopt);
  EXPECT_TRUE(g.is_done());
  EXPECT_EQ(g.next(), std::nullopt);
}

TEST_F(generator_test, the_body_runs_only_as_far_as_it_is_asked) {
  std::string log;
  generator<int> g([&](auto& yield) {
    log += 'a';
    yield(1);
    log += 'b';
    yield(2);
    log += 'c';
  });
  g.next();
  EXPECT_EQ(log, "a");
  g.next();
  EXPECT_EQ(log, "ab");
  g.next();
  EXPECT_EQ(log, "abc");
}

TEST_F(generator_test, a_loop_goes_over_its_values) {
  generator<int> g(numbers(1, 4));
  EXPECT_EQ(rest_of(g), (values{1, 2, 3, 4}));
  EXPECT_EQ(rest_of(g), values{});
}

TEST_F(generator_test, a_loop_that_is_left_can_be_taken_up_again) {
  generator<int> g(numbers(1, 5));
  for (int n : g) {
    if (n == 2) break;
  }
  EXPECT_EQ(rest_of(g), (values{3, 4, 5}));
}

TEST_F(generator_test, it_is_an_input_range) {
  static_assert(std::input_iterator<generator<int>::iterator>);
  static_assert(std::ranges::input_range<generator<int>>);
  generator<int> g(numbers(1, 100));
  values doubled;
  for (int n : g | std::views::filter([](int n) { return n % 2 == 0; }) |
                   std::views::transform([](int n) { return 2 * n; }) | std::views::take(3)) {
    doubled.push_back(n);
  }
  EXPECT_EQ(doubled, (values{4, 8, 12}));
}

TEST_F(generator_test, a_loop_may_change_the_value_in_place) {
  values seen;
  generator<int> g([&](auto& yield) {
    int n = 1;
    yield(n);
    seen.push_back(n);  // the yield had a value of its own
  });
  for (int& n : g) n = 7;
  EXPECT_EQ(seen, values{1});
}

/// Calls itself to the left and to the right, and yields in between.
void in_order(int low, int high, yielder<int>& yield) {
  if (low > high) return;
  const int middle = low + (high - low) / 2;
  in_order(low, middle - 1, yield);
  yield(middle);
  in_order(middle + 1, high, yield);
}

TEST_F(generator_test, it_may_yield_from_nested_calls) {
  generator<int> g([](auto& yield) { in_order(1, 9, yield); });
  EXPECT_EQ(rest_of(g), (values{1, 2, 3, 4, 5, 6, 7, 8, 9}));
}

TEST_F(generator_test, values_that_only_move_pass_through) {
  generator<std::unique_ptr<int>> g([](auto& yield) {
    for (int i = 0; i < 3; ++i) yield(std::make_unique<int>(i));
  });
  EXPECT_EQ(**g.next(), 0);
  EXPECT_EQ(**g.next(), 1);
  for (auto& p : g) EXPECT_EQ(*p, 2);
}

// Python's running average.
TEST_F(generator_test, a_running_average_takes_numbers_and_answers_with_averages) {
  generator<double, double> average([](auto& yield) {
    double total = 0;
    double now = 0;
    for (int count = 1;; ++count) {
      total += yield(now);
      now = total / count;
    }
  });
  EXPECT_EQ(average.next(), 0.0);
  EXPECT_EQ(average.send(10), 10.0);
  EXPECT_EQ(average.send(30), 20.0);
  EXPECT_EQ(average.send(5), 15.0);
  average.close();
  EXPECT_EQ(average.send(1), std::nullopt);
}

TEST_F(generator_test, nothing_can_be_sent_before_the_first_next) {
  generator<int, int> g([](auto& yield) { EXPECT_EQ(yield(1), 5); });
  EXPECT_THROW(g.send(1), std::logic_error);
  EXPECT_EQ(g.next(), 1);
  EXPECT_EQ(g.send(5), std::nullopt);
}

TEST_F(generator_test, next_stands_for_an_empty_value) {
  std::vector<std::optional<std::string>> got;
  generator<int, std::optional<std::string>> g([&](auto& yield) {
    for (int i = 0; i < 2; ++i) got.push_back(yield(i));
  });
  g.next();
  g.send("x");
  g.next();
  ASSERT_EQ(got.size(), 2u);
  EXPECT_EQ(got[0], "x");
  EXPECT_EQ(got[1], std::nullopt);
}

TEST_F(generator_test, where_there_is_no_empty_value_next_is_an_error_in_the_body) {
  struct number {
    explicit number(int n) : value(n) {}
    int value;
  };
  generator<int, number> g([](auto& yield) {
    const int first = yield(1).value;
    yield(first);
  });
  EXPECT_EQ(g.next(), 1);
  EXPECT_EQ(g.send(7), 7);
  EXPECT_THROW(g.next(), std::logic_error);
  EXPECT_TRUE(g.is_done());
}

TEST_F(generator_test, what_only_moves_may_be_sent) {
  int sum = 0;
  generator<int, std::unique_ptr<int>> g([&](auto& yield) {
    for (;;) sum += *yield(sum);
  });
  g.next();
  EXPECT_EQ(g.send(std::make_unique<int>(3)), 3);
  EXPECT_EQ(g.send(std::make_unique<int>(4)), 7);
}

TEST_F(generator_test, what_it_returns_is_there_after_the_end) {
  generator<int, void, std::string> g([](auto& yield) {
    yield(1);
    return std::string("one in all");
  });
  EXPECT_THROW(g.result(), std::logic_error);
  EXPECT_EQ(rest_of(g), values{1});
  EXPECT_EQ(g.result(), "one in all");
}

TEST_F(generator_test, an_exception_of_the_body_comes_out_of_next_and_ends_it) {
  generator<int> g([](auto& yield) {
    yield(1);
    throw std::out_of_range("body");
  });
  EXPECT_EQ(g.next(), 1);
  EXPECT_THROW(g.next(), std::out_of_range);
  EXPECT_TRUE(g.is_done());
  EXPECT_EQ(g.next(), std::nullopt);
}

TEST_F(generator_test, fiber_exit_of_the_body_comes_out_as_any_exception) {
  generator<int> g([](auto&) { throw fiber_exit(); });
  EXPECT_THROW(g.next(), fiber_exit);
  EXPECT_TRUE(g.is_done());
}

std::exception_ptr out_of_range(const char* text) {
  return std::make_exception_ptr(std::out_of_range(text));
}

TEST_F(generator_test, an_exception_thrown_in_can_be_answered_with_a_value) {
  generator<std::string> g([](auto& yield) {
    std::string answer = "ready";
    for (;;) {
      try {
        yield(answer);
        answer = "next";
      } catch (const std::out_of_range& e) {
        answer = e.what();
      }
    }
  });
  EXPECT_EQ(g.next(), "ready");
  EXPECT_EQ(g.throw_in(out_of_range("x")), "x");
  EXPECT_EQ(g.next(), "next");
}

TEST_F(generator_test, an_exception_thrown_in_that_is_not_caught_ends_it) {
  generator<int> g(numbers(1, 3));
  EXPECT_EQ(g.next(), 1);
  EXPECT_THROW(g.throw_in(out_of_range("x")), std::out_of_range);
  EXPECT_TRUE(g.is_done());
  EXPECT_THROW(g.throw_in(out_of_range("y")), std::out_of_range);  // as Python does when it is over
}

TEST_F(generator_test, an_exception_thrown_into_a_fresh_one_ends_it_without_a_run) {
  bool has_run = false;
  generator<int> g([&](auto&) { has_run = true; });
  EXPECT_THROW(g.throw_in(out_of_range("x")), std::out_of_range);
  EXPECT_TRUE(g.is_done());
  EXPECT_EQ(g.next(), std::nullopt);
  EXPECT_FALSE(has_run);
}

TEST_F(generator_test, no_exception_cannot_be_thrown_in) {
  generator<int> g(numbers(1, 2));
  EXPECT_THROW(g.throw_in(nullptr), std::invalid_argument);
  EXPECT_EQ(g.next(), 1);
}

TEST_F(generator_test, close_throws_fiber_exit_at_the_yield) {
  bool is_unwound = false;
  generator<int> g([&](auto& yield) {
    try {
      yield(1);
    } catch (const fiber_exit&) {
      is_unwound = true;
      throw;
    }
  });
  g.next();
  g.close();
  EXPECT_TRUE(is_unwound);
  EXPECT_TRUE(g.is_done());
  EXPECT_EQ(g.next(), std::nullopt);
  g.close();
}

TEST_F(generator_test, close_of_a_fresh_one_runs_nothing_and_frees_the_body) {
  auto token = std::make_shared<int>(0);
  generator<int> g([token](auto& yield) { yield(*token); });
  g.close();
  EXPECT_TRUE(g.is_done());
  EXPECT_EQ(token.use_count(), 1);
}

TEST_F(generator_test, a_body_that_returns_when_it_is_closed_is_fine) {
  generator<int, void, int> g([](auto& yield) {
    try {
      yield(1);
    } catch (const fiber_exit&) {
    }
    return 5;
  });
  g.next();
  g.close();
  EXPECT_EQ(g.result(), 5);
}

TEST_F(generator_test, a_body_that_yields_on_after_a_close_is_a_logic_error) {
  generator<int> g([](auto& yield) {
    try {
      yield(1);
    } catch (const fiber_exit&) {
      yield(2);
    }
    yield(3);
  });
  g.next();
  EXPECT_THROW(g.close(), std::logic_error);
  EXPECT_EQ(g.next(), 3);
  g.close();
  EXPECT_TRUE(g.is_done());
}

TEST_F(generator_test, another_exception_of_a_closed_body_comes_out_of_close) {
  generator<int> g([](auto& yield) {
    try {
      yield(1);
    } catch (const fiber_exit&) {
      throw std::out_of_range("cleanup");
    }
  });
  g.next();
  EXPECT_THROW(g.close(), std::out_of_range);
  EXPECT_TRUE(g.is_done());
}

TEST_F(generator_test, a_generator_that_runs_cannot_be_run) {
  generator<int>* self = nullptr;
  generator<int> g([&](auto& yield) {
    EXPECT_THROW(self->next(), std::logic_error);
    EXPECT_THROW(self->close(), std::logic_error);
    EXPECT_THROW(self->throw_in(out_of_range("x")), std::logic_error);
    yield(1);
  });
  self = &g;
  EXPECT_EQ(g.next(), 1);
  EXPECT_EQ(g.next(), std::nullopt);
}

TEST_F(generator_test, a_generator_may_use_another) {
  generator<int> g([](auto& yield) {
    generator<int> inner(numbers(1, 3));
    for (int n : inner) yield(n * n);
  });
  EXPECT_EQ(rest_of(g), (values{1, 4, 9}));
}

TEST_F(generator_test, an_owner_may_be_moved) {
  generator<int> g(numbers(1, 4));
  g.next();
  generator<int> moved = std::move(g);
  EXPECT_EQ(moved.next(), 2);
  EXPECT_THROW(g.next(), std::logic_error);
  EXPECT_THROW(g.is_done(), std::logic_error);
  g = generator<int>(numbers(7, 8));
  EXPECT_EQ(g.next(), 7);
  g = std::move(moved);
  EXPECT_EQ(g.next(), 3);
}

TEST_F(generator_test, its_stack_may_be_larger) {
  generator<int> g({.stack_bytes = std::size_t{4} << 20}, [](auto& yield) {
    volatile char used[std::size_t{3} << 20];
    used[0] = 1;
    used[sizeof used - 1] = 1;
    yield(used[0]);
  });
  EXPECT_EQ(g.next(), 1);
}

TEST_F(generator_test, generators_are_no_spawned_fibers) {
  generator<int> g(numbers(1, 2));
  g.next();
  EXPECT_EQ(fiber_count(), 0u);
}

TEST_F(generator_test, many_values_come_in_order) {
  const int count = scaled(100'000);
  generator<int> g(numbers(1, count));
  int expected = 0;
  for (int n : g) ASSERT_EQ(n, ++expected);
  EXPECT_EQ(expected, count);
}

TEST_F(generator_test, many_generators_live_at_a_time) {
  std::list<generator<int>> all;
  for (int i = 0; i < 1000; ++i) {
    all.emplace_back(numbers(i, i + 1));
    EXPECT_EQ(all.back().next(), i);
  }
  for (int i = 0; auto& g : all) EXPECT_EQ(g.next(), ++i);
}

// Delegation: yield.from.

TEST_F(generator_test, from_hands_out_the_elements_of_a_range) {
  generator<int> g([](auto& yield) {
    yield.from(values{1, 2});
    yield.from(std::views::iota(3, 5));
    yield.from(std::list<long>{5});
  });
  EXPECT_EQ(rest_of(g), (values{1, 2, 3, 4, 5}));
}

TEST_F(generator_test, from_hands_out_what_another_generator_does_and_returns_its_result) {
  std::string result;
  generator<int> g([&](auto& yield) {
    generator<int> plain(numbers(1, 2));
    yield.from(plain);
    result = yield.from(generator<int, void, std::string>([](auto& inner) {
      inner(3);
      return std::string("end");
    }));
    yield(4);
  });
  EXPECT_EQ(rest_of(g), (values{1, 2, 3, 4}));
  EXPECT_EQ(result, "end");
}

TEST_F(generator_test, from_passes_on_what_is_sent) {
  std::vector<int> got;
  generator<int, int> g([&](auto& yield) {
    yield.from(generator<int, int>([&](auto& inner) {
      for (int i = 0; i < 3; ++i) got.push_back(inner(i));
    }));
    got.push_back(yield(9));
  });
  EXPECT_EQ(g.next(), 0);
  EXPECT_EQ(g.send(10), 1);
  EXPECT_EQ(g.next(), 2);
  EXPECT_EQ(g.send(30), 9);
  EXPECT_EQ(g.send(40), std::nullopt);
  EXPECT_EQ(got, (values{10, 0, 30, 40}));
}

TEST_F(generator_test, from_passes_on_what_is_thrown_in) {
  generator<int> g([](auto& yield) {
    yield.from(generator<int>([](auto& inner) {
      try {
        inner(1);
      } catch (const std::out_of_range&) {
        inner(2);
      }
    }));
    yield(3);
  });
  EXPECT_EQ(g.next(), 1);
  EXPECT_EQ(g.throw_in(out_of_range("x")), 2);
  EXPECT_EQ(g.next(), 3);
}

TEST_F(generator_test, a_close_closes_what_it_delegates_to_first) {
  std::string log;
  auto noting = [&log](char who, auto call) {
    try {
      call();
    } catch (const fiber_exit&) {
      log += who;
      throw;
    }
  };
  generator<int> inner([&](auto& yield) { noting('i', [&] { yield(1); }); });
  generator<int> outer([&](auto& yield) { noting('o', [&] { yield.from(inner); }); });
  outer.next();
  outer.close();
  EXPECT_EQ(log, "io");
  EXPECT_TRUE(inner.is_done());
}

}  // namespace
}  // namespace coir::test
