#include "tests/runtime/support.hpp"

#include <sstream>

namespace coir::test {
namespace {

using dump_test = runtime_test;

TEST_F(dump_test, every_fiber_has_a_line_that_says_what_it_does) {
  sleep(1ms);  // the age of a wait is counted from the last turn of the loop
  mutex m;
  event e;
  std::lock_guard guard(m);
  fiber<> locking = spawn({.name = "locking"}, [&] { std::lock_guard inner(m); });
  fiber<> waiting = spawn({.name = "waiting"}, [&] { e.wait(); });
  fiber<> sleeping = spawn({.name = "sleeping"}, [] { sleep(1h); });
  fiber<> joining = spawn({.name = "joining"}, [&] { waiting.join(); });
  sleep(5ms);
  fiber<> fresh = spawn({.name = "fresh"}, [] {});
  const std::string text = dump();
  EXPECT_TRUE(
      contains_all({"fiber \"main\" (#0) runs", "\"locking\"", "waits for mutex at",
                    "held by fiber \"main\" (#0), for 0.", "\"waiting\"", "waits for event at",
                    "\"sleeping\"", "sleeps, for", "waits for the end of fiber \"waiting\"",
                    "\"fresh\"", "is ready to run"})
          .MatchAndExplain(text))
      << text;
  std::ostringstream out;
  dump(out);
  EXPECT_EQ(count_of(out.str(), "\n"), 6);
  for (fiber<>& f : std::vector{locking, waiting, sleeping, joining, fresh}) f.kill();
}

TEST_F(dump_test, a_fiber_in_a_generator_says_so_and_one_at_its_yield_has_a_line) {
  generator<int> still({.name = "still"}, [](auto& yield) { yield(1); });
  still.next();
  generator<int> outer({.name = "outer"}, [](auto&) {
    generator<int> inner({.name = "inner"}, [](auto&) { sleep(1h); });
    inner.next();
  });
  fiber<> asking = spawn({.name = "asking"}, [&] { outer.next(); });
  sleep(5ms);
  const std::string text = dump();
  EXPECT_TRUE(contains_all({"fiber \"main\" (#0) runs\n", "generator \"still\" (#",
                            ") stands at its yield\n", "fiber \"asking\" (#", "sleeps, for 0.",
                            " s, in generator \"inner\" (#"})
                  .MatchAndExplain(text))
      << text;
  EXPECT_EQ(count_of(text, "\n"), 3) << text;
  asking.kill();
  still.next();
  EXPECT_EQ(count_of(dump(), "\n"), 1);
}

TEST_F(dump_test, contexts_and_those_who_wait_for_them_are_named) {
  context<> still({.name = "still"}, [] { context<>::switch_to_parent(); });
  still.switch_to();
  context<> busy({.name = "busy"}, [] { sleep(1h); });
  fiber<> driver = spawn({.name = "driver"}, [&] { busy.switch_to(); });
  sleep(5ms);
  const std::string text = dump();
  EXPECT_TRUE(contains_all({"context \"still\" (#", "waits for a switch, for 0.",
                            "context \"busy\" (#", "sleeps, for 0.", "fiber \"driver\" (#",
                            "waits for a switch back from context \"busy\" (#"})
                  .MatchAndExplain(text))
      << text;
  EXPECT_EQ(count_of(text, "\n"), 4) << text;
  driver.kill();
}

}  // namespace
}  // namespace coir::test
