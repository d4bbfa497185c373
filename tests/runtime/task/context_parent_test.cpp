// The tree of raw contexts: where ends and exceptions go, and exceptions that are thrown in.
#include "tests/runtime/support.hpp"

#include <stdexcept>
#include <string>
#include <thread>

namespace coir::test {
namespace {

using context_parent_test = runtime_test;
using node = context<std::string>;

/// A body that passes on what comes, until "end" does.
std::string pass_on(std::string word) {
  while (word != "end") word = node::switch_to_parent("<" + word + ">");
  return "ended";
}

/// A body that answers a caught std::out_of_range.
std::string answer_errors(std::string word) {
  for (;;) {
    try {
      word = node::switch_to_parent(word);
    } catch (const std::out_of_range& e) {
      word = std::string("caught ") + e.what();
    }
  }
}

std::exception_ptr out_of_range(const char* text) {
  return std::make_exception_ptr(std::out_of_range(text));
}

TEST_F(context_parent_test, the_parent_is_the_context_that_made_it) {
  node outer([](std::string) {
    const any_context self = any_context::current();
    EXPECT_FALSE(self.parent());
    node inner(pass_on);
    EXPECT_TRUE(inner.parent() == self);
    return std::string();
  });
  outer.switch_to("");
  node top(pass_on);
  EXPECT_FALSE(top.parent());
}

TEST_F(context_parent_test, an_end_goes_to_the_parent_not_to_the_switcher) {
  std::string log;
  node child([&](std::string word) {
    log += "child ";
    return word + " from child";
  });
  node switcher([&](std::string) {
    child.switch_to("value");
    log += "never";
    return std::string();
  });
  EXPECT_EQ(switcher.switch_to(""), "value from child");
  EXPECT_EQ(log, "child ");
  EXPECT_FALSE(switcher.is_dead());
}

TEST_F(context_parent_test, a_parent_can_be_set_before_and_while_it_runs) {
  node parent([](std::string word) { return "parent got " + node::switch_to_parent(word); });
  node child(pass_on);
  child.set_parent(parent);
  EXPECT_EQ(parent.switch_to("waits"), "waits");
  EXPECT_EQ(child.switch_to("end"), "parent got ended");
  node second(pass_on);
  EXPECT_EQ(second.switch_to("a"), "<a>");
  node other([](std::string word) { return "other got " + node::switch_to_parent(word); });
  EXPECT_EQ(other.switch_to("waits"), "waits");
  second.set_parent(other);
  EXPECT_TRUE(second.parent() == other);
  EXPECT_EQ(second.switch_to("b"), "other got <b>");
  second.set_parent(any_context());
  EXPECT_EQ(second.switch_to("c"), "<c>");
}

TEST_F(context_parent_test, a_circle_of_parents_is_refused) {
  node a(pass_on);
  node b(pass_on);
  node c(pass_on);
  EXPECT_THROW(a.set_parent(a), std::invalid_argument);
  a.set_parent(b);
  b.set_parent(c);
  EXPECT_THROW(c.set_parent(a), std::invalid_argument);
  EXPECT_FALSE(c.parent());
}

TEST_F(context_parent_test, a_parent_on_another_thread_is_refused) {
  node here(pass_on);
  here.switch_to("a");
  std::thread([&] {
    node there(pass_on);
    there.switch_to("a");
    EXPECT_THROW(there.set_parent(here), std::invalid_argument);
    node fresh(pass_on);
    fresh.set_parent(here);
    EXPECT_THROW(fresh.switch_to("a"), std::logic_error);
    EXPECT_FALSE(fresh.has_begun());
  }).join();
}

TEST_F(context_parent_test, the_parent_of_a_dead_parent_takes_its_place) {
  node grandparent([](std::string word) { return "top got " + node::switch_to_parent(word); });
  node parent(pass_on);
  node child(pass_on);
  parent.set_parent(grandparent);
  child.set_parent(parent);
  EXPECT_EQ(grandparent.switch_to("waits"), "waits");
  parent.throw_into();
  EXPECT_TRUE(parent.is_dead());
  EXPECT_TRUE(grandparent.is_dead());  // which got the value of that end
  node second([](std::string word) { return "second got " + node::switch_to_parent(word); });
  EXPECT_EQ(second.switch_to("waits"), "waits");
  parent.set_parent(second);
  EXPECT_EQ(child.switch_to("a"), "second got <a>");
}

TEST_F(context_parent_test, an_end_passes_all_dead_parents) {
  std::vector<node> chain;
  for (int i = 0; i < 5; ++i) {
    chain.emplace_back(pass_on);
    if (i > 0) chain[i].set_parent(chain[i - 1]);
  }
  EXPECT_EQ(chain[0].switch_to("0"), "<0>");
  for (int i = 1; i < 4; ++i) {
    EXPECT_EQ(chain[i].throw_into(), "<>");  // dead without having run; number 0 gets the value
    EXPECT_TRUE(chain[i].is_dead());
  }
  // What number 4 hands up goes to number 0, which hands it on.
  EXPECT_EQ(chain[4].switch_to("4"), "<<4>>");
  EXPECT_EQ(chain[4].switch_to("end"), "<ended>");
}

TEST_F(context_parent_test, the_parent_of_a_destroyed_parent_takes_its_place) {
  node grandparent([](std::string word) { return "top got " + node::switch_to_parent(word); });
  EXPECT_EQ(grandparent.switch_to("waits"), "waits");
  node child(pass_on);
  {
    node parent(pass_on);
    parent.set_parent(grandparent);
    child.set_parent(parent);
  }
  EXPECT_EQ(child.switch_to("end"), "top got ended");
}

TEST_F(context_parent_test, an_end_begins_a_parent_that_has_not_begun) {
  node parent([](std::string word) { return "parent began with " + word; });
  node child([](std::string word) { return word + "!"; });
  child.set_parent(parent);
  EXPECT_EQ(child.switch_to("hello"), "parent began with hello!");
  EXPECT_TRUE(parent.is_dead());
}

TEST_F(context_parent_test, an_exception_ends_a_parent_that_has_not_begun) {
  bool has_run = false;
  node parent([&](std::string) {
    has_run = true;
    return std::string();
  });
  node child([](std::string) -> std::string { throw std::out_of_range("child"); });
  child.set_parent(parent);
  EXPECT_THROW(child.switch_to(""), std::out_of_range);
  EXPECT_TRUE(parent.is_dead());
  EXPECT_FALSE(has_run);
  EXPECT_FALSE(parent.has_begun());
}

TEST_F(context_parent_test, an_exception_comes_out_of_the_switch_in_which_the_parent_waits) {
  node parent(answer_errors);
  node child([](std::string) -> std::string { throw std::out_of_range("child"); });
  child.set_parent(parent);
  EXPECT_EQ(parent.switch_to("waits"), "waits");
  EXPECT_EQ(child.switch_to(""), "caught child");
}

TEST_F(context_parent_test, a_parent_that_waits_in_the_scheduler_is_passed_by) {
  event go;
  context<int> parent([&](int n) {
    go.wait();
    return n;
  });
  context<int> child([](int n) { return n; });
  child.set_parent(parent);
  fiber<int> driver = spawn([&] { return parent.switch_to(1); });
  yield();
  EXPECT_EQ(child.switch_to(2), 2);
  go.set();
  EXPECT_EQ(driver.get(), 1);
}

TEST_F(context_parent_test, switch_to_main_passes_all_parents_by) {
  node outer([](std::string word) {
    node inner([](std::string w) { return node::switch_to_main(w + " to main") + " again"; });
    const std::string result = inner.switch_to(word);
    return "outer got " + result;
  });
  EXPECT_EQ(outer.switch_to("word"), "word to main");
  EXPECT_FALSE(outer.is_dead());
}

TEST_F(context_parent_test, the_current_context_can_be_named_by_its_type) {
  context_ref<int> self;
  context<int> c([&](int n) {
    EXPECT_TRUE(any_context::current() == *static_cast<any_context*>(&self));
    return context<int>::switch_to_parent(n);
  });
  self = c;
  EXPECT_EQ(self.switch_to(1), 1);
  EXPECT_EQ(self.switch_to(2), 2);
  EXPECT_TRUE(c.is_dead());
}

TEST_F(context_parent_test, an_exception_thrown_in_is_caught_at_the_switch) {
  node c(answer_errors);
  EXPECT_EQ(c.switch_to("a"), "a");
  EXPECT_EQ(c.throw_into(out_of_range("x")), "caught x");
  EXPECT_EQ(c.switch_to("b"), "b");
}

TEST_F(context_parent_test, an_exception_thrown_in_that_is_not_caught_goes_to_the_parent) {
  node c(pass_on);
  c.switch_to("a");
  EXPECT_THROW(c.throw_into(out_of_range("x")), std::out_of_range);
  EXPECT_TRUE(c.is_dead());
  node parent(answer_errors);
  node child(pass_on);
  child.set_parent(parent);
  parent.switch_to("waits");
  EXPECT_EQ(child.switch_to("a"), "<a>");
  EXPECT_EQ(child.throw_into(out_of_range("y")), "caught y");
}

TEST_F(context_parent_test,
       an_exception_thrown_into_a_fresh_one_goes_to_the_parent_and_it_never_runs) {
  bool has_run = false;
  auto run = [&](std::string) {
    has_run = true;
    return std::string();
  };
  node c(run);
  EXPECT_THROW(c.throw_into(out_of_range("x")), std::out_of_range);
  EXPECT_TRUE(c.is_dead());
  node parent(answer_errors);
  node child(run);
  child.set_parent(parent);
  parent.switch_to("waits");
  EXPECT_EQ(child.throw_into(out_of_range("y")), "caught y");
  EXPECT_FALSE(has_run);
  EXPECT_FALSE(child.has_begun());
}

TEST_F(context_parent_test, an_exception_thrown_into_a_dead_one_goes_to_the_parent) {
  node c(pass_on);
  c.switch_to("end");
  EXPECT_THROW(c.throw_into(out_of_range("x")), std::out_of_range);
  EXPECT_EQ(c.throw_into(), "");  // eaten
  node parent(answer_errors);
  c.set_parent(parent);
  parent.switch_to("waits");
  EXPECT_EQ(c.throw_into(out_of_range("y")), "caught y");
}

TEST_F(context_parent_test, fiber_exit_thrown_in_is_no_error) {
  node c(pass_on);
  c.switch_to("a");
  EXPECT_EQ(c.throw_into(), "");
  EXPECT_TRUE(c.is_dead());
  node fresh(pass_on);
  EXPECT_EQ(fresh.throw_into(), "");
  EXPECT_TRUE(fresh.is_dead());
  context<> quiet([] { context<>::switch_to_parent(); });
  quiet.switch_to();
  quiet.throw_into();
  EXPECT_TRUE(quiet.is_dead());
}

TEST_F(context_parent_test, fiber_exit_leaves_no_value_where_none_can_be_made) {
  struct number {
    explicit number(int n) : value(n) {}
    int value;
  };
  using numbers = context<number>;
  numbers c([](number n) { return numbers::switch_to_parent(n); });
  EXPECT_EQ(c.switch_to(number(1)).value, 1);
  EXPECT_THROW(c.throw_into(), std::logic_error);
  EXPECT_TRUE(c.is_dead());
}

TEST_F(context_parent_test, an_exception_thrown_into_the_running_one_is_thrown_at_once) {
  node* self = nullptr;
  node c([&](std::string) {
    EXPECT_THROW(self->throw_into(out_of_range("x")), std::out_of_range);
    return std::string("went on");
  });
  self = &c;
  EXPECT_EQ(c.switch_to(""), "went on");
}

TEST_F(context_parent_test, no_exception_cannot_be_thrown_in) {
  node c(pass_on);
  EXPECT_THROW(c.throw_into(nullptr), std::invalid_argument);
  EXPECT_FALSE(c.is_dead());
}

TEST_F(context_parent_test, a_child_may_throw_into_its_parent) {
  node parent(answer_errors);
  parent.switch_to("waits");
  node child([&](std::string) { return parent.throw_into(out_of_range("from below")); });
  EXPECT_EQ(child.switch_to(""), "caught from below");
  EXPECT_FALSE(child.is_dead());
}

}  // namespace
}  // namespace coir::test
