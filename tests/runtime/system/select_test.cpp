// Selects over descriptors, signals and the ends of children.
#include <coir/select.hpp>

#include "tests/runtime/forking.hpp"
#include "tests/runtime/system/support.hpp"

#include <coir/process.hpp>
#include <coir/signal_set.hpp>

#include <csignal>

namespace coir::test {
namespace {

using select_descriptor_test = runtime_test;
using select_signal_test = runtime_test;
using select_child_test = runtime_test;
using select_system_fork_test = fresh_process_test;

void send(int number) { ::kill(::getpid(), number); }

void put(const descriptor& into, std::string_view text) {
  ASSERT_EQ(::write(into.get(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
}

char take(const descriptor& from) {
  char c = 0;
  EXPECT_EQ(::read(from.get(), &c, 1), 1);
  return c;
}

process sleeper() { return process({"sleep", "1000"}); }

// --- descriptors ---------------------------------------------------------------------------------

TEST_F(select_descriptor_test, one_that_becomes_ready_while_others_run_is_chosen) {
  const pipe_ends first = make_pipe();
  const pipe_ends second = make_pipe();
  channel<int> numbers;
  bool was_called = false;
  fiber<std::size_t> selecting = spawn([&] {
    return select(on_readable(first.reader.get()), on_recv(numbers),
                  on_readable(second.reader.get(), [&] { was_called = true; }), after(1h));
  });
  sleep(2ms);
  EXPECT_FALSE(selecting.ready());
  put(second.writer, "x");
  EXPECT_EQ(selecting.get_for(10s), 2u);
  EXPECT_TRUE(was_called);
  EXPECT_EQ(take(second.reader), 'x') << "select has read nothing";
}

TEST_F(select_descriptor_test, ends_and_room_for_writing_count) {
  pipe_ends ends = make_pipe();
  EXPECT_EQ(select(on_readable(ends.reader.get()), on_writable(ends.writer.get())), 1u);
  fill(ends.writer.get());
  EXPECT_EQ(select(on_writable(ends.writer.get()), after(5ms)), 1u);
  ends.reader.reset();
  EXPECT_EQ(select(on_writable(ends.writer.get()), after(1h)), 0u) << "nobody reads";
  pipe_ends others = make_pipe();
  fiber<std::size_t> selecting =
      spawn([&] { return select(on_readable(others.reader.get()), after(1h)); });
  yield();
  others.writer.reset();
  EXPECT_EQ(selecting.get_for(10s), 0u) << "nobody writes";
}

TEST_F(select_descriptor_test, those_that_are_ready_are_chosen_by_chance) {
  const pipe_ends one = make_pipe();
  const pipe_ends other = make_pipe();
  put(one.writer, "1");
  put(other.writer, "2");
  channel<int> numbers(1);
  numbers.send(3);
  int chosen[3] = {};
  constexpr int rounds = 600;
  for (int i = 0; i < rounds; ++i) {
    const std::size_t place =
        select(on_readable(one.reader.get()), on_recv(numbers), on_readable(other.reader.get()));
    if (place == 1) numbers.send(3);
    ++chosen[place];
  }
  for (const int times : chosen) EXPECT_GT(times, rounds / 6);
}

TEST_F(select_descriptor_test, one_that_loses_to_a_channel_is_left_as_it_was) {
  const pipe_ends ends = make_pipe();
  channel<int> numbers;
  int got = 0;
  fiber<std::size_t> selecting = spawn([&] {
    return select(on_readable(ends.reader.get()),
                  on_recv(numbers, [&](std::optional<int> n) { got = *n; }));
  });
  yield();
  numbers.send(5);
  EXPECT_EQ(selecting.get_for(10s), 1u);
  EXPECT_EQ(got, 5);
  put(ends.writer, "y");
  EXPECT_EQ(select(on_readable(ends.reader.get()), on_recv(numbers)), 0u);
}

TEST_F(select_descriptor_test, a_deadline_and_otherwise_count_only_when_nothing_is_ready) {
  const pipe_ends ends = make_pipe();
  const stopwatch watch;
  EXPECT_EQ(select(on_readable(ends.reader.get()), after(20ms)), 1u);
  expect_took(watch, 20ms);
  EXPECT_EQ(select(on_readable(ends.reader.get()), otherwise()), 1u);
  put(ends.writer, "z");
  EXPECT_EQ(select(on_readable(ends.reader.get()), otherwise()), 0u);
  EXPECT_EQ(select(on_readable(ends.reader.get()), after(0ms)), 0u);
}

TEST_F(select_descriptor_test, a_kill_and_the_deadline_of_a_scope_end_the_wait_and_leave_nothing) {
  const pipe_ends ends = make_pipe();
  channel<int> numbers;
  fiber<> killed = spawn([&] {
    select(on_readable(ends.reader.get()), on_recv(numbers));
    ADD_FAILURE() << "nothing has come";
  });
  yield();
  killed.kill();
  EXPECT_TRUE(killed.ready());
  EXPECT_FALSE(move_on_after(5ms, [&] { select(on_readable(ends.reader.get())); }));
  EXPECT_FALSE(numbers.try_send(1)) << "nobody waits in the channel any more";
  put(ends.writer, "k");
  EXPECT_EQ(select(on_readable(ends.reader.get())), 0u);
}

TEST_F(select_descriptor_test, closing_one_that_is_waited_for_is_an_error_even_if_reused_at_once) {
  pipe_ends ends = make_pipe();
  channel<int> numbers;
  file in = file::adopt(ends.reader.release());
  const int number = in.native_handle();
  fiber<std::error_code> selecting = spawn([&]() -> std::error_code {
    try {
      select(on_recv(numbers), on_readable(number), after(1h));
    } catch (const std::system_error& e) {
      return e.code();
    }
    return {};
  });
  yield();
  in.close();
  const descriptor event = make_event();
  EXPECT_EQ(event.get(), number);
  EXPECT_EQ(selecting.get_for(10s), std::errc::bad_file_descriptor);
  descriptor gone = make_event();
  const int closed = gone.get();
  gone.reset();
  expect_says(error_of([&] { select(on_readable(closed)); }), {"coir::select", "Bad file"});
}

TEST_F(select_descriptor_test, a_negative_one_is_switched_off_and_a_regular_file_always_ready) {
  channel<int> numbers;
  EXPECT_EQ(select(on_readable(-1), on_recv(numbers), after(5ms)), 2u);
  const descriptor plain = make_file();
  EXPECT_EQ(select(on_recv(numbers), on_readable(plain.get())), 1u);
  EXPECT_EQ(select(on_writable(plain.get()), on_recv(numbers)), 0u);
}

TEST_F(select_descriptor_test, lists_of_many_can_be_used_again_and_again) {
  constexpr std::size_t count = 100;
  std::vector<pipe_ends> pipes;
  std::vector<select_case> cases;
  for (std::size_t i = 0; i < count; ++i) {
    pipes.push_back(make_pipe());
    cases.push_back(on_readable(pipes.back().reader.get()));
  }
  fiber<> writer = spawn([&] {
    for (std::size_t i = 0; i < count; ++i) {
      put(pipes[i * 7 % count].writer, "x");
      if (i % 10 == 0) sleep(1ms);
    }
  });
  std::vector<bool> has_come(count);
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t place = select(cases);
    ASSERT_FALSE(has_come[place]);
    has_come[place] = true;
    EXPECT_EQ(take(pipes[place].reader), 'x');
  }
  writer.join();
}

TEST_F(select_descriptor_test, one_that_is_always_ready_does_not_keep_others_from_running) {
  const pipe_ends ends = make_pipe();
  put(ends.writer, "x");
  bool has_run = false;
  fiber<> other = spawn([&] { has_run = true; });
  const stopwatch watch;
  while (!has_run && watch.elapsed() < 10s) select(on_readable(ends.reader.get()));
  EXPECT_TRUE(has_run);
  other.join();
}

TEST_F(select_descriptor_test, two_that_wait_for_one_descriptor_are_both_told) {
  const pipe_ends ends = make_pipe();
  const auto wait = [&] { return select(on_readable(ends.reader.get()), after(1h)); };
  fiber<std::size_t> one = spawn(wait);
  fiber<std::size_t> other = spawn(wait);
  yield();
  put(ends.writer, "x");
  EXPECT_EQ(one.get_for(10s), 0u);
  EXPECT_EQ(other.get_for(10s), 0u);
}

TEST_F(select_descriptor_test, a_channel_of_another_worker_and_a_descriptor_race_without_loss) {
  const pipe_ends ends = make_pipe();
  channel<int> numbers;
  const int rounds = scaled(2000);
  workers other(1);
  fiber<> sender = other.spawn([&] {
    for (int i = 0; i < rounds; ++i) numbers.send(i);
    numbers.close();
  });
  fiber<> writer = spawn([&] {
    for (int i = 0; i < rounds; ++i) {
      put(ends.writer, "x");
      yield();
    }
  });
  int received = 0;
  int read = 0;
  bool is_open = true;
  const auto take_number = [&](std::optional<int> n) {
    is_open = n.has_value();
    if (!is_open) return;
    EXPECT_EQ(*n, received++);
  };
  const auto take_byte = [&] {
    take(ends.reader);
    ++read;
  };
  while (is_open || read < rounds) {
    const std::size_t place =
        select(on_recv(is_open ? &numbers : nullptr, take_number),
               on_readable(read < rounds ? ends.reader.get() : -1, take_byte), after(10s));
    ASSERT_NE(place, 2u);
  }
  EXPECT_EQ(received, rounds);
  sender.join();
  writer.join();
}

// --- signals -------------------------------------------------------------------------------------

TEST_F(select_signal_test, a_signal_is_taken_by_its_case) {
  signal_set set({SIGUSR1, SIGUSR2});
  channel<int> others;
  signal_info got;
  fiber<std::size_t> selecting = spawn([&] {
    return select(on_recv(others), on_signal(set, [&](signal_info info) { got = info; }));
  });
  sleep(2ms);
  EXPECT_FALSE(selecting.ready());
  send(SIGUSR2);
  EXPECT_EQ(selecting.get_for(10s), 1u);
  EXPECT_EQ(got.number, SIGUSR2);
  EXPECT_EQ(got.pid, ::getpid());
  EXPECT_EQ(set.try_wait(), std::nullopt);
}

TEST_F(select_signal_test, one_that_loses_stays_for_the_next_who_waits) {
  signal_set set({SIGUSR1});
  channel<int> numbers(1);
  int taken = 0;
  int lost = 0;
  for (int i = 0; i < 100; ++i) {
    numbers.send(1);
    send(SIGUSR1);
    const std::size_t place = select(on_signal(set), on_recv(numbers), after(10s));
    ASSERT_LT(place, 2u);
    if (place == 0) {
      ++taken;
      EXPECT_EQ(numbers.recv(), 1) << "the item has not been taken";
      EXPECT_EQ(set.try_wait(), std::nullopt);
    } else {
      ++lost;
      EXPECT_TRUE(set.wait_for(10s)) << "the signal is still there";
    }
  }
  EXPECT_GT(lost, 0);
  EXPECT_GT(taken, 0);
}

TEST_F(select_signal_test, of_several_selects_one_gets_it_and_a_killed_one_none) {
  signal_set set({SIGUSR1});
  int count = 0;
  const auto wait = [&] { select(on_signal(set, [&](signal_info) { ++count; })); };
  fiber<> killed = spawn(wait);
  fiber<> one = spawn(wait);
  fiber<> other = spawn(wait);
  yield();
  killed.kill();
  send(SIGUSR1);
  EXPECT_TRUE(eventually([&] { return count == 1; }));
  EXPECT_NE(one.ready(), other.ready());
  EXPECT_EQ(select(on_signal(set), after(5ms)), 1u);
  send(SIGUSR1);
  EXPECT_TRUE(one.join_for(10s) && other.join_for(10s));
  EXPECT_EQ(count, 2);
}

TEST_F(select_system_fork_test, a_set_of_the_parents_is_an_error_in_the_child_of_a_fork) {
  EXPECT_EXIT(
      {
        signal_set set({SIGUSR1});
        if (::fork() == 0) {
          const std::string text = error_of([&] { select(on_signal(set)); });
          ::_exit(text.find("parent") == text.npos ? 1 : 0);
        }
        int status = -1;
        ::wait(&status);
        ::_exit(status == 0 ? 0 : 1);
      },
      testing::ExitedWithCode(0), "");
}

// --- children ------------------------------------------------------------------------------------

TEST_F(select_child_test, the_end_of_a_child_is_a_case_and_can_be_asked_for_afterwards) {
  process child({"sh", "-c", "read line; exit 7"}, {.input = child_stream::pipe()});
  channel<int> others;
  int code = 0;
  fiber<std::size_t> selecting = spawn([&] {
    return select(on_recv(others), on_end(child, [&](exit_status s) { code = s.code(); }));
  });
  sleep(2ms);
  EXPECT_FALSE(selecting.ready());
  child.input().write_all("\n");
  EXPECT_EQ(selecting.get_for(10s), 1u);
  EXPECT_EQ(code, 7);
  EXPECT_EQ(child.wait().code(), 7);
  EXPECT_EQ(select(on_recv(others), on_end(child), after(1h)), 1u) << "again and again";
}

TEST_F(select_child_test, a_child_that_runs_on_loses_to_the_time_and_is_not_touched) {
  process child = sleeper();
  channel<int> others;
  EXPECT_EQ(select(on_recv(others), on_end(child), after(5ms)), 2u);
  EXPECT_EQ(select(on_end(child), otherwise()), 1u);
  fiber<> killed = spawn([&] { select(on_end(child)); });
  yield();
  killed.kill();
  EXPECT_EQ(child.try_wait(), std::nullopt);
  child.kill();
  EXPECT_EQ(select(on_end(child), after(10s)), 0u);
  EXPECT_EQ(child.wait().signal(), SIGKILL);
}

TEST_F(select_child_test, several_selects_and_waits_see_the_same_end) {
  process child = sleeper();
  const auto wait = [&] {
    int signal = 0;
    select(on_end(child, [&](exit_status s) { signal = s.signal(); }));
    return signal;
  };
  fiber<int> one = spawn(wait);
  fiber<int> other = spawn(wait);
  fiber<exit_status> plain = spawn([&] { return child.wait(); });
  yield();
  child.terminate();
  EXPECT_EQ(one.get_for(10s), SIGTERM);
  EXPECT_EQ(other.get_for(10s), SIGTERM);
  EXPECT_EQ(plain.get_for(10s).signal(), SIGTERM);
}

TEST_F(select_child_test, the_first_of_many_children_to_end_is_found) {
  std::vector<process> children;
  std::vector<select_case> cases;
  for (int i = 0; i < 10; ++i) children.push_back(sleeper());
  for (process& each : children) cases.push_back(on_end(each));
  const std::size_t before = open_descriptors();
  children[6].kill();
  EXPECT_EQ(select(cases), 6u);
  EXPECT_EQ(open_descriptors(), before - 1) << "of the child that has ended";
}

TEST_F(select_child_test, an_empty_object_and_a_lost_status_are_errors) {
  process nothing;
  EXPECT_THROW(select(on_end(nothing)), std::system_error);
  process child({"true"});
  int status = 0;
  EXPECT_EQ(::waitpid(child.pid(), &status, 0), child.pid()) << "behind its back";
  expect_says(error_of([&] { select(on_end(child), after(10s)); }), {"has taken"});
}

TEST_F(select_child_test, a_server_loop_waits_for_all_kinds_of_things) {
  signal_set stop({SIGUSR1});
  process child = sleeper();
  const pipe_ends input = make_pipe();
  channel<int> jobs;
  fiber<> world = spawn([&] {
    jobs.send(1);
    put(input.writer, "x");
    sleep(1ms);
    child.kill();
    sleep(1ms);
    send(SIGUSR1);
  });
  int seen[4] = {};
  bool child_runs = true;
  for (int events = 0; events < 4; ++events) {
    std::vector<select_case> cases;
    cases.push_back(on_recv(jobs, [&](std::optional<int>) { ++seen[0]; }));
    cases.push_back(on_readable(input.reader.get(), [&] {
      take(input.reader);
      ++seen[1];
    }));
    if (child_runs) {
      cases.push_back(on_end(child, [&](exit_status) {
        child_runs = false;
        ++seen[2];
      }));
    }
    cases.push_back(on_signal(stop, [&](signal_info) { ++seen[3]; }));
    cases.push_back(after(10s));
    ASSERT_LT(select(cases), cases.size() - 1);
  }
  world.join();
  for (const int each : seen) EXPECT_EQ(each, 1);
}

}  // namespace
}  // namespace coir::test
