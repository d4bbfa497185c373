#include "tests/runtime/support.hpp"

#include <sstream>

namespace coir::test {
namespace {

using dump_test = runtime_test;

TEST_F(dump_test, every_fiber_has_a_line_that_says_what_it_does) {
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

}  // namespace
}  // namespace coir::test
