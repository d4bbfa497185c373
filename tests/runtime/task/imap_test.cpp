// imap and imap_unordered: results that are read while they come.
#include "tests/runtime/support.hpp"

#include <algorithm>
#include <memory>
#include <ranges>
#include <stdexcept>
#include <thread>

namespace coir::test {
namespace {

using imap_test = runtime_test;

/// Every result of an imap whose calls do not fail.
template <class Results>
auto all_of(Results&& results) {
  std::vector<typename std::decay_t<Results>::value_type> all;
  for (auto& each : results) all.push_back(std::move(each));
  return all;
}

/// An input range of what `next` returns, until that is empty.
template <class Next>
class generated {
 public:
  explicit generated(Next next) : next_(std::move(next)) {}
  class iterator {
   public:
    using value_type = int;
    using difference_type = std::ptrdiff_t;
    using iterator_concept = std::input_iterator_tag;
    explicit iterator(generated& from) : from_(&from) { ++*this; }
    int operator*() const { return *current_; }
    iterator& operator++() {
      current_ = from_->next_();
      return *this;
    }
    void operator++(int) { ++*this; }
    bool operator==(std::default_sentinel_t) const { return !current_; }

   private:
    generated* from_;
    std::optional<int> current_;
  };
  iterator begin() { return iterator(*this); }
  std::default_sentinel_t end() const { return {}; }

 private:
  Next next_;
};

TEST_F(imap_test, imap_yields_in_the_order_of_the_input) {
  pool p(3);
  auto results = p.imap(
      [](int n) {
        sleep((10 - n) * 1ms);
        return n * n;
      },
      std::views::iota(0, 10));
  EXPECT_EQ(all_of(results), (std::vector{0, 1, 4, 9, 16, 25, 36, 49, 64, 81}));
  EXPECT_FALSE(results.next());
  EXPECT_FALSE(results.next());
}

TEST_F(imap_test, imap_unordered_yields_in_the_order_of_the_ends) {
  pool p(3);
  auto results = p.imap_unordered(
      [](int n) {
        sleep(n * 5ms);
        return n;
      },
      std::vector{9, 1, 5});
  EXPECT_EQ(all_of(results), (std::vector{1, 5, 9}));
}

TEST_F(imap_test, imap_over_nothing_yields_nothing) {
  pool p(3);
  EXPECT_TRUE(all_of(p.imap([](int n) { return n; }, std::vector<int>())).empty());
  EXPECT_FALSE(p.imap_unordered([](int) {}, std::vector<int>()).next());
}

TEST_F(imap_test, calls_without_value_are_counted) {
  pool p(2);
  int sum = 0;
  int results = 0;
  for ([[maybe_unused]] auto& each : p.imap([&](int n) { sum += n; }, std::vector{1, 2, 3}))
    ++results;
  EXPECT_EQ(sum, 6);
  EXPECT_EQ(results, 3);
}

TEST_F(imap_test, results_need_no_copy) {
  pool p(2);
  auto results = p.imap([](int n) { return std::make_unique<int>(n); }, std::vector{1, 2});
  EXPECT_EQ(**results.next(), 1);
  std::unique_ptr<int> second = std::move(*results.next());
  EXPECT_EQ(*second, 2);
}

TEST_F(imap_test, it_starts_before_it_is_read_and_keeps_the_bound_of_the_pool) {
  pool p(2);
  int running = 0;
  int running_max = 0;
  int begun = 0;
  auto results = p.imap(
      [&](int n) {
        ++begun;
        running_max = std::max(running_max, ++running);
        sleep(2ms);
        --running;
        return n;
      },
      std::views::iota(0, 6));
  EXPECT_TRUE(eventually([&] { return begun == 6; }));
  EXPECT_EQ(all_of(results).size(), 6u);
  EXPECT_EQ(running_max, 2);
}

TEST_F(imap_test, an_items_error_is_thrown_at_its_place_and_the_iteration_can_go_on) {
  const stderr_capture quiet;
  pool p(2);
  const auto body = [](int n) {
    if (n == 1) throw std::range_error("one");
    return n;
  };
  auto results = p.imap(body, std::vector{0, 1, 2});
  EXPECT_EQ(results.next(), 0);
  EXPECT_THROW(results.next(), std::range_error);
  EXPECT_EQ(results.next(), 2);
  EXPECT_FALSE(results.next());

  auto again = p.imap(body, std::vector{0, 1, 2, 3});
  std::vector<int> seen;
  const auto read = [&] {
    for (int n : again) seen.push_back(n);
  };
  EXPECT_THROW(read(), std::range_error);
  read();
  EXPECT_EQ(seen, (std::vector{0, 2, 3}));
}

TEST_F(imap_test, an_error_of_the_input_is_thrown_after_the_results) {
  const stderr_capture quiet;
  pool p(2);
  auto input = std::views::iota(0, 5) | std::views::transform([](int n) {
                 if (n == 3) throw std::out_of_range("input");
                 return n;
               });
  auto results = p.imap([](int n) { return n; }, input);
  for (int n = 0; n < 3; ++n) EXPECT_EQ(results.next(), n);
  EXPECT_THROW(results.next(), std::out_of_range);
  EXPECT_FALSE(results.next());
  auto unordered = p.imap_unordered([](int n) { return n; }, input);
  EXPECT_THROW(all_of(unordered), std::out_of_range);
  EXPECT_EQ(quiet.text(), "");
}

TEST_F(imap_test, a_bound_keeps_that_many_results_ahead_of_the_reader) {
  constexpr std::size_t bound = 3;
  for (const bool is_ordered : {true, false}) {
    group g;
    std::size_t begun = 0;
    const auto body = [&](int n) {
      ++begun;
      return n;
    };
    auto results = is_ordered ? g.imap(body, std::views::iota(0, 20), bound)
                              : g.imap_unordered(body, std::views::iota(0, 20), bound);
    std::size_t read = 0;
    do {
      sleep(1ms);  // as long as it wants to run ahead
      EXPECT_LE(begun, read + bound);
      EXPECT_GE(begun, std::min<std::size_t>(read + bound, 20));
    } while (results.next() && ++read);
    EXPECT_EQ(read, 20u);
  }
}

TEST_F(imap_test, a_bound_of_0_is_refused) {
  pool p(2);
  EXPECT_THROW(p.imap([](int) {}, std::vector{1}, 0), std::invalid_argument);
}

TEST_F(imap_test, input_without_end_is_read_lazily) {
  pool p(2);
  int taken = 0;
  auto input = std::views::iota(0) | std::views::transform([&](int n) {
                 ++taken;
                 return n;
               });
  auto results = p.imap([](int n) { return n; }, input, 4);
  for (int n = 0; n < 10; ++n) EXPECT_EQ(results.next(), n);
  EXPECT_LE(taken, 10 + 4 + 1);
}

TEST_F(imap_test, input_without_end_and_bound_lets_the_reader_leave) {
  group g;
  auto results = g.imap([](int n) { return n; }, std::views::iota(0));
  for (int n = 0; n < 10; ++n) EXPECT_EQ(results.next(), n);
}

TEST_F(imap_test, an_input_that_waits_works_and_ends_the_iteration_with_its_end) {
  pool p(2);
  queue<int> numbers;
  auto input = generated([&]() -> std::optional<int> {
    const int n = numbers.get();
    if (n < 0) return std::nullopt;
    return n;
  });
  auto results = p.imap([](int n) { return n * 10; }, input);
  const fiber<> putter = spawn([&] {
    for (int n = 1; n <= 3; ++n) {
      sleep(2ms);
      numbers.put(n);
    }
    sleep(2ms);
    numbers.put(-1);
  });
  EXPECT_EQ(all_of(results), (std::vector{10, 20, 30}));
  putter.join();
}

TEST_F(imap_test, leaving_the_iteration_early_ends_what_it_began) {
  pool p(3);
  int unwound = 0;
  int begun = 0;
  {
    auto results = p.imap(
        [&](int n) {
          ++begun;
          try {
            if (n > 0) sleep(1h);
          } catch (const fiber_exit&) {
            ++unwound;
            throw;
          }
          return n;
        },
        std::views::iota(0, 100));
    EXPECT_EQ(results.next(), 0);
    EXPECT_TRUE(eventually([&] { return begun == 4; }));
  }
  EXPECT_EQ(unwound, 3);
  EXPECT_EQ(begun, 4);
  EXPECT_EQ(p.free_count(), 3u);
  EXPECT_EQ(fiber_count(), 0u) << "the fiber that reads the input has ended, too";
}

TEST_F(imap_test, an_imap_that_is_never_read_ends_with_its_range) {
  pool p(2);
  {
    auto results = p.imap([](int) { sleep(1h); }, std::vector{1, 2, 3});
  }
  EXPECT_EQ(p.size(), 0u);
  p.imap([](int) { sleep(1h); }, std::vector{1, 2, 3});
  EXPECT_EQ(fiber_count(), 0u);
}

TEST_F(imap_test, a_range_may_be_moved_while_calls_run) {
  pool p(2);
  auto first = p.imap([](int n) { return n; }, std::vector{1, 2, 3});
  EXPECT_EQ(first.next(), 1);
  auto second = std::move(first);
  EXPECT_EQ(second.next(), 2);
  second = p.imap([](int n) { return -n; }, std::vector{7});
  EXPECT_EQ(second.next(), -7);
  EXPECT_FALSE(second.next());
}

TEST_F(imap_test, a_killed_reader_loses_no_result) {
  pool p(2);
  event go;
  auto results = p.imap(
      [&](int n) {
        go.wait();
        return n;
      },
      std::vector{1, 2});
  const fiber<> reader = spawn([&] { results.next(); });
  yield();
  reader.kill();
  go.set();
  EXPECT_EQ(all_of(results), (std::vector{1, 2}));
}

TEST_F(imap_test, a_killed_call_throws_fiber_exit_at_its_place) {
  pool p(3);
  std::vector<fiber<int>> none;
  auto results = p.imap(
      [](int n) {
        if (n == 1) sleep(1h);
        return n;
      },
      std::vector{0, 1, 2});
  EXPECT_EQ(results.next(), 0);
  EXPECT_TRUE(eventually([&] { return p.size() == 1; }));
  p.kill();
  EXPECT_THROW(results.next(), fiber_exit);
  EXPECT_EQ(results.next(), 2);
}

TEST_F(imap_test, nothing_of_a_result_is_kept_once_it_was_read) {
  group g;
  auto token = std::make_shared<int>(1);
  auto results = g.imap([&](int) { return token; }, std::vector{1, 2});
  for (int i = 0; i < 2; ++i) {
    std::optional<std::shared_ptr<int>> got = results.next();
    got.reset();
  }
  EXPECT_EQ(token.use_count(), 1);
}

TEST_F(imap_test, two_imaps_share_one_pool) {
  pool p(2);
  auto small = p.imap([](int n) { return n; }, std::views::iota(0, 20));
  auto large = p.imap_unordered([](int n) { return n + 100; }, std::views::iota(0, 20));
  int sum = 0;
  for (int i = 0; i < 20; ++i) sum += *small.next() + *large.next();
  EXPECT_EQ(sum, 190 + 190 + 2000);
}

TEST_F(imap_test, imaps_nest) {
  pool outer(2);
  auto sums = outer.imap(
      [](int n) {
        pool inner(2);
        int sum = 0;
        for (const int part : inner.imap([n](int i) { return n * i; }, std::vector{1, 2, 3}, 1))
          sum += part;
        return sum;
      },
      std::vector{1, 10, 100}, 2);
  EXPECT_EQ(all_of(sums), (std::vector{6, 60, 600}));
}

TEST_F(imap_test, the_results_of_one_may_be_the_input_of_another) {
  pool p(4);
  auto squares = p.imap([](int n) { return n * n; }, std::views::iota(1, 6), 2);
  const auto next = [&] { return squares.next(); };
  auto negated = p.imap([](int n) { return -n; }, generated(next), 2);
  EXPECT_EQ(all_of(negated), (std::vector{-1, -4, -9, -16, -25}));
}

TEST_F(imap_test, a_reader_on_another_thread_is_woken) {
  pool p(2);
  auto results = p.imap(
      [](int n) {
        sleep(1ms);
        return n;
      },
      std::views::iota(0, 50));
  int sum = 0;
  event is_over;
  std::thread reader([&] {
    for (int n : results) sum += n;
    is_over.set();
  });
  is_over.wait();
  reader.join();
  EXPECT_EQ(sum, 50 * 49 / 2);
}

}  // namespace
}  // namespace coir::test
