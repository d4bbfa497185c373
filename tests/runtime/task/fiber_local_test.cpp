// Values that each fiber has for itself.
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

using fiber_local_test = runtime_test;

/// Counts how many of its kind there are.
class counted {
 public:
  explicit counted(std::atomic<int>& count) : count_(count) { ++count_; }
  counted(counted&& other) noexcept : count_(other.count_) { ++count_; }
  counted(const counted&) = delete;
  counted& operator=(counted&&) = delete;
  ~counted() { --count_; }
  int value = 0;

 private:
  std::atomic<int>& count_;
};

/// A fiber_local of those.
struct counted_local {
  std::atomic<int> count{0};
  fiber_local<counted> local{[this] { return counted(count); }};
};

TEST_F(fiber_local_test, each_fiber_sees_its_own_values) {
  fiber_local<int> number;
  auto use = [&](int own) {
    EXPECT_FALSE(number.has_value());
    *number = own;
    yield();
    EXPECT_EQ(*number, own);
  };
  *number = 1;
  fiber<> a = spawn(use, 2);
  fiber<> b = spawn(use, 3);
  a.get();
  b.get();
  EXPECT_EQ(*number, 1);
}

TEST_F(fiber_local_test, a_new_fiber_starts_empty) {
  fiber_local<std::string> text;
  *text = "of the main fiber";
  spawn([&] {
    EXPECT_FALSE(text.has_value());
    EXPECT_EQ(text.find(), nullptr);
    EXPECT_EQ(*text, "");
    EXPECT_TRUE(text.has_value());
    EXPECT_EQ(text.find(), &*text);
  }).get();
}

// gevent's local with __init__.
TEST_F(fiber_local_test, an_initialiser_makes_the_value_of_each_fiber_at_its_first_use) {
  int made = 0;
  fiber_local<std::string> name([&] { return "number " + std::to_string(++made); });
  EXPECT_EQ(made, 0);
  EXPECT_EQ(*name, "number 1");
  EXPECT_EQ(spawn([&] { return *name + ", " + *name; }).get(), "number 2, number 2");
  EXPECT_EQ(name->size(), 8u);
  EXPECT_EQ(made, 2);
}

TEST_F(fiber_local_test, an_initialiser_that_throws_leaves_no_value) {
  int calls = 0;
  fiber_local<int> number([&]() -> int {
    if (++calls == 1) throw std::out_of_range("first");
    return calls;
  });
  EXPECT_THROW(number.get(), std::out_of_range);
  EXPECT_FALSE(number.has_value());
  EXPECT_EQ(number.get(), 2);
}

TEST_F(fiber_local_test, set_gives_a_value_without_making_one_first) {
  int made = 0;
  fiber_local<int> number([&] { return ++made; });
  EXPECT_EQ(number.set(7), 7);
  EXPECT_EQ(*number, 7);
  number.set(8);
  EXPECT_EQ(*number, 8);
  EXPECT_EQ(made, 0);
}

TEST_F(fiber_local_test, set_replaces_what_cannot_be_assigned) {
  counted_local c;
  c.local.set(counted(c.count)).value = 1;
  EXPECT_EQ(c.count, 1);
  c.local.set(counted(c.count));
  EXPECT_EQ(c.local->value, 0);
  EXPECT_EQ(c.count, 1);
}

TEST_F(fiber_local_test, without_a_default_a_value_must_be_set_first) {
  std::atomic<int> count{0};
  fiber_local<counted> local;
  EXPECT_THROW(local.get(), std::logic_error);
  local.set(counted(count));
  EXPECT_EQ(local->value, 0);
}

TEST_F(fiber_local_test, reset_destroys_the_value_of_this_fiber) {
  counted_local c;
  *c.local;
  spawn([&] {
    *c.local;
    EXPECT_EQ(c.count, 2);
    c.local.reset();
    EXPECT_EQ(c.count, 1);
    EXPECT_FALSE(c.local.has_value());
    c.local.reset();
    *c.local;
    EXPECT_EQ(c.count, 2);
  }).get();
  EXPECT_TRUE(c.local.has_value());
  EXPECT_EQ(c.count, 1);
}

TEST_F(fiber_local_test, values_end_with_their_fiber_after_its_function_and_before_joiners_wake) {
  std::string log;
  struct note {
    std::string& log;
    const char* text;
    note(std::string& l, const char* t) : log(l), text(t) {}
    note(note&& other) noexcept : log(other.log), text(std::exchange(other.text, "")) {}
    ~note() { log += text; }
  };
  std::uint64_t where = 0;
  struct place {
    std::uint64_t& where;
    ~place() { where = this_fiber::id(); }
  };
  fiber_local<note> local([&] { return note(log, "value "); });
  fiber_local<std::unique_ptr<place>> places([&] { return std::make_unique<place>(where); });
  fiber<> f = spawn([&, captured = note(log, "captured ")] {
    const note own(log, "own ");
    *local;
    *places;
  });
  fiber<> joiner = spawn([&] {
    f.join();
    log += "joined";
  });
  joiner.join();
  EXPECT_EQ(log, "own captured value joined");
  EXPECT_EQ(where, f.id());
}

TEST_F(fiber_local_test, values_end_also_with_a_killed_or_failed_fiber) {
  counted_local c;
  const stderr_capture captured;
  fiber<> killed = spawn([&] {
    *c.local;
    sleep(1h);
  });
  fiber<> failed = spawn([&] {
    *c.local;
    throw std::runtime_error("on purpose");
  });
  fiber<> killed_in_a_generator = spawn([&] {
    generator<int> g([&](auto&) {
      *c.local;
      sleep(1h);
    });
    g.next();
  });
  yield();
  EXPECT_EQ(c.count, 2);  // the other one has failed
  killed.kill();
  killed_in_a_generator.kill();
  failed.join();
  EXPECT_EQ(c.count, 0);
}

TEST_F(fiber_local_test, destroying_the_local_object_frees_its_values_in_fibers_that_still_run) {
  std::atomic<int> count{0};
  auto local = std::make_unique<fiber_local<counted>>([&] { return counted(count); });
  event go;
  std::vector<fiber<>> fibers;
  for (int i = 0; i < 3; ++i) {
    fibers.push_back(spawn([&] {
      **local;
      go.wait();
    }));
  }
  **local;
  yield();
  EXPECT_EQ(count, 4);
  local.reset();
  EXPECT_EQ(count, 0);
  go.set();
  for (auto& f : fibers) f.get();
  EXPECT_EQ(count, 0);
}

TEST_F(fiber_local_test, destroying_it_frees_values_on_other_workers_and_plain_threads) {
  std::atomic<int> count{0};
  auto local = std::make_unique<fiber_local<counted>>([&] { return counted(count); });
  event go;
  counting_semaphore ready(0);
  std::thread worker([&] {
    fiber<> f = spawn([&] {
      **local;
      ready.release();
      go.wait();
    });
    **local;
    f.join();
  });
  std::atomic<bool> is_over{false};
  std::thread plain([&] {
    **local;
    ready.release();
    while (!is_over) std::this_thread::sleep_for(1ms);
  });
  ready.acquire();
  ready.acquire();
  EXPECT_TRUE(eventually([&] { return count == 3; }));
  local.reset();
  EXPECT_EQ(count, 0);
  go.set();
  is_over = true;
  worker.join();
  plain.join();
  EXPECT_EQ(count, 0);
}

TEST_F(fiber_local_test, an_object_in_the_place_of_one_that_is_gone_starts_empty) {
  auto first = std::make_unique<fiber_local<int>>();
  event go;
  std::optional<fiber_local<int>> second;
  fiber<> f = spawn([&] {
    **first = 5;
    go.wait();
    EXPECT_FALSE(second->has_value());
    EXPECT_EQ(**second, 0);
    **second = 6;
    EXPECT_EQ(**second, 6);
  });
  yield();
  first.reset();
  second.emplace();
  go.set();
  f.get();
}

TEST_F(fiber_local_test, many_objects_and_many_fibers) {
  constexpr int count = 100;
  std::vector<std::unique_ptr<fiber_local<int>>> locals;
  for (int i = 0; i < count; ++i) locals.push_back(std::make_unique<fiber_local<int>>());
  std::vector<fiber<>> fibers;
  for (int n = 0; n < 20; ++n) {
    fibers.push_back(spawn([&, n] {
      for (int i = count - 1; i >= 0; --i) **locals[i] = n * count + i;
      yield();
      for (int i = 0; i < count; ++i) EXPECT_EQ(**locals[i], n * count + i);
    }));
  }
  for (auto& f : fibers) f.get();
}

TEST_F(fiber_local_test, a_destructor_may_use_and_make_other_values) {
  std::string log;
  struct noted {
    std::string* log = nullptr;
    fiber_local<int>* other = nullptr;
    ~noted() {
      if (!other) return;
      *log += std::to_string(**other) + " ";
      **other = 9;
    }
  };
  fiber_local<int> number;
  fiber_local<noted> late;
  fiber_local<int> index_after;  // its values are made while those before it are destroyed
  spawn([&] {
    *number = 5;
    late->log = &log;
    late->other = &index_after;
  }).get();
  EXPECT_EQ(log, "0 ");
  EXPECT_EQ(spawn([&] { return number.has_value() || index_after.has_value(); }).get(), false);
}

TEST_F(fiber_local_test, a_value_that_makes_itself_anew_for_ever_does_not_hang) {
  struct life {
    int ends = 0;
    bool is_over = false;
  };
  struct phoenix {
    life* own = nullptr;
    fiber_local<phoenix>* nest = nullptr;
    void settle(life* l, fiber_local<phoenix>* n) {
      own = l;
      nest = n;
    }
    ~phoenix() {
      if (!own || own->is_over) return;
      ++own->ends;
      (*nest)->settle(own, nest);
    }
  };
  life one;
  fiber_local<phoenix> local;
  spawn([&] { local->settle(&one, &local); }).get();
  EXPECT_EQ(one.ends, 4);
  EXPECT_FALSE(spawn([&] { return local.has_value(); }).get());
  one.is_over = true;  // the last one ends with the fiber_local, which is no nest any more
}

TEST_F(fiber_local_test, a_raw_context_has_values_of_its_own) {
  counted_local c;
  c.local->value = 1;
  context<int> body([&](int n) {
    EXPECT_FALSE(c.local.has_value());
    c.local->value = n;
    context<int>::switch_to_parent(n);
    return c.local->value;
  });
  body.switch_to(2);
  EXPECT_EQ(c.local->value, 1);
  EXPECT_EQ(c.count, 2);
  EXPECT_EQ(body.switch_to(0), 2);
  EXPECT_EQ(c.count, 1);
}

TEST_F(fiber_local_test, a_generator_sees_those_of_the_fiber_that_runs_it) {
  fiber_local<int> number;
  generator<int> g([&](auto& yield) {
    for (;;) yield(++*number);
  });
  *number = 10;
  EXPECT_EQ(g.next(), 11);
  EXPECT_EQ(spawn([&] { return *g.next(); }).get(), 1);
  EXPECT_EQ(g.next(), 12);
}

TEST_F(fiber_local_test, values_of_a_thread_end_with_it_whether_it_used_coir_or_not) {
  counted_local c;
  std::thread([&] {
    *c.local;
    EXPECT_EQ(c.count, 1);
  }).join();
  EXPECT_EQ(c.count, 0);
  std::thread([&] {
    *c.local;
    spawn([&] { *c.local; }).get();  // makes the thread a worker
    EXPECT_EQ(c.count, 1);
  }).join();
  EXPECT_EQ(c.count, 0);
  std::thread([&] {
    backend();
    *c.local;
  }).join();
  EXPECT_EQ(c.count, 0);
}

TEST_F(fiber_local_test, a_plain_thread_keeps_its_values_when_it_becomes_a_worker) {
  fiber_local<int> number;
  std::thread([&] {
    *number = 4;
    const int* const address = &*number;
    spawn([&] { EXPECT_FALSE(number.has_value()); }).get();
    EXPECT_EQ(*number, 4);
    EXPECT_EQ(&*number, address);
  }).join();
}

TEST_F(fiber_local_test, a_thread_that_takes_over_a_worker_starts_empty) {
  fiber_local<int> number;
  for (int i = 0; i < 3; ++i) {
    std::thread([&] {
      backend();
      EXPECT_FALSE(number.has_value());
      *number = 4;
    }).join();
  }
}

TEST_F(fiber_local_test, fibers_that_end_and_objects_that_are_destroyed_meet_on_two_threads) {
  std::atomic<int> count{0};
  for (int round = 0; round < scaled(200); ++round) {
    auto local = std::make_unique<fiber_local<counted>>([&] { return counted(count); });
    counting_semaphore ready(0);
    std::thread other([&] {
      std::vector<fiber<>> fibers;
      for (int i = 0; i < 8; ++i) fibers.push_back(spawn([&] { **local; }));
      **local;
      for (auto& f : fibers) {
        f.join();
        if (&f == &fibers[0]) ready.release();
      }
    });
    ready.acquire();
    EXPECT_TRUE(eventually([&] { return count <= 1; }));
    other.join();
    local.reset();
    EXPECT_EQ(count, 0);
  }
}

using fiber_local_process_test = fresh_process_test;

TEST_F(fiber_local_process_test, values_of_the_main_fiber_are_destroyed_when_the_process_exits) {
  struct last_words {
    ~last_words() { std::fputs("destroyed\n", stderr); }
  };
  EXPECT_EXIT(
      {
        static fiber_local<last_words> local;
        *local;
        spawn([] { *local; }).get();
        std::exit(0);
      },
      testing::ExitedWithCode(0), contains("destroyed", 2));
}

TEST_F(fiber_local_process_test, a_thread_does_not_become_a_worker_for_a_variable) {
  EXPECT_EXIT(
      {
        ::setenv("COIR_BACKEND", "none such", 1);  // makes every attempt fail
        fiber_local<int> number;
        inherited<int> depth(1);
        *number = 1;
        const auto kept = depth.scoped(2);
        _exit(*number + *depth == 3 ? 0 : 1);
      },
      testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace coir::test
