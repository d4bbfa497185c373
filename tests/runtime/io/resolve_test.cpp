// Name look-ups that do not block the thread.
#include "runtime/io/resolve.hpp"
#include "tests/runtime/forking.hpp"
#include "tests/runtime/support.hpp"

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <thread>

#include <arpa/inet.h>

namespace coir::test {
namespace {

using resolve_test = runtime_test;
using detail::deadline_after;
using detail::never;

TEST_F(resolve_test, a_numeric_address_is_resolved) {
  addrinfo hints{};
  hints.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* result = nullptr;
  int error = 0;
  ASSERT_EQ(io::getaddrinfo("127.0.0.1", "80", &hints, &result, &error, never, ::getaddrinfo,
                            ::freeaddrinfo),
            0);
  ASSERT_NE(result, nullptr);
  ASSERT_EQ(result->ai_family, AF_INET);
  sockaddr_in address;
  ASSERT_EQ(result->ai_addrlen, sizeof address);
  std::memcpy(&address, result->ai_addr, sizeof address);
  EXPECT_EQ(address.sin_port, htons(80));
  EXPECT_EQ(address.sin_addr.s_addr, htonl(INADDR_LOOPBACK));
  ::freeaddrinfo(result);
}

TEST_F(resolve_test, a_name_that_is_none_gives_the_code_of_libc) {
  addrinfo hints{};
  hints.ai_flags = AI_NUMERICHOST;
  addrinfo* result = nullptr;
  int error = 0;
  EXPECT_EQ(io::getaddrinfo("no address", nullptr, &hints, &result, &error, never, ::getaddrinfo,
                            ::freeaddrinfo),
            EAI_NONAME);
}

TEST_F(resolve_test, an_error_of_the_system_comes_with_its_errno) {
  auto failing = [](const char*, const char*, const addrinfo*, addrinfo**) {
    errno = ENFILE;
    return EAI_SYSTEM;
  };
  addrinfo* result = nullptr;
  int error = 0;
  EXPECT_EQ(io::getaddrinfo("x", nullptr, nullptr, &result, &error, never, failing, ::freeaddrinfo),
            EAI_SYSTEM);
  EXPECT_EQ(error, ENFILE);
}

std::atomic<bool> has_begun;
std::atomic<bool> may_return;
std::atomic<int> freed;
addrinfo answer;

int wait_for_leave(const char*, const char*, const addrinfo*, addrinfo** result) {
  has_begun = true;
  const stopwatch watch;
  while (!may_return && watch.elapsed() < 20s) std::this_thread::sleep_for(1ms);
  *result = &answer;
  return 0;
}

void count_free(addrinfo*) { ++freed; }

TEST_F(resolve_test, other_fibers_run_during_a_slow_look_up) {
  may_return = false;
  fiber<> other = spawn([] { may_return = true; });
  addrinfo* result = nullptr;
  int error = 0;
  const stopwatch watch;
  EXPECT_EQ(
      io::getaddrinfo("x", nullptr, nullptr, &result, &error, never, wait_for_leave, count_free),
      0);
  EXPECT_EQ(result, &answer);
  expect_prompt(watch);
  other.join();
}

TEST_F(resolve_test, a_deadline_ends_it_and_the_late_result_is_freed) {
  has_begun = may_return = false;
  freed = 0;
  const stopwatch since;
  while (!has_begun && since.elapsed() < 10s) {  // one that has not begun is dropped
    addrinfo* result = nullptr;
    int error = 0;
    const stopwatch watch;
    EXPECT_EQ(io::getaddrinfo("x", nullptr, nullptr, &result, &error, deadline_after(20ms),
                              wait_for_leave, count_free),
              EAI_SYSTEM);
    expect_took(watch, 20ms);
    EXPECT_EQ(error, ETIMEDOUT);
  }
  EXPECT_EQ(freed, 0);
  may_return = true;
  EXPECT_TRUE(eventually([] { return freed == 1; }));
}

TEST_F(resolve_test, the_names_need_not_outlive_the_call) {
  has_begun = may_return = false;
  freed = 0;
  static std::atomic<bool> was_right;
  was_right = false;
  auto late_reader = [](const char* node, const char* service, const addrinfo*, addrinfo** result) {
    has_begun = true;
    const stopwatch watch;
    while (!may_return && watch.elapsed() < 20s) std::this_thread::sleep_for(1ms);
    was_right = std::string(node) == "short-lived.example" && std::string(service) == "https";
    *result = &answer;
    return 0;
  };
  const stopwatch since;
  while (!has_begun && since.elapsed() < 10s) {  // one that has not begun is dropped
    const std::string node = "short-lived.example";
    const std::string service = "https";
    addrinfo* result = nullptr;
    int error = 0;
    EXPECT_EQ(io::getaddrinfo(node.c_str(), service.c_str(), nullptr, &result, &error,
                              deadline_after(1ms), late_reader, count_free),
              EAI_SYSTEM);
  }
  may_return = true;
  EXPECT_TRUE(eventually([] { return freed == 1; }));
  EXPECT_TRUE(was_right);
}

// A resolver that does not answer until it may, and counts how it is used.

std::atomic<int> calls;
std::atomic<int> at_work;
std::atomic<int> most_at_work;
std::atomic<bool> was_dropped_one_asked;

int resolve_when_allowed(const char* node, const char* service, const addrinfo* hints,
                         addrinfo** result) {
  ++calls;
  if (std::strcmp(node, "dropped") == 0) was_dropped_one_asked = true;
  const int now = ++at_work;
  for (int most = most_at_work; now > most && !most_at_work.compare_exchange_weak(most, now);) {
  }
  const stopwatch watch;
  while (!may_return && watch.elapsed() < 20s) std::this_thread::sleep_for(1ms);
  --at_work;
  if (std::strcmp(node, "unknown") == 0) return EAI_NONAME;
  return ::getaddrinfo("127.0.0.1", service, hints, result);
}

/// The answer's port, or the negative code.
int ask(const std::string& name, const char* port = "80", detail::deadline until = never,
        int flags = 0) {
  addrinfo hints{};
  hints.ai_flags = flags;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* result = nullptr;
  int error = 0;
  const int code = io::getaddrinfo(name.c_str(), port, &hints, &result, &error, until,
                                   resolve_when_allowed, ::freeaddrinfo);
  if (code == EAI_SYSTEM && error == ECANCELED) detail::throw_if_interrupted();
  if (code != 0) return code;
  sockaddr_in address;
  EXPECT_EQ(result->ai_addrlen, sizeof address);
  std::memcpy(&address, result->ai_addr, sizeof address);
  ::freeaddrinfo(result);
  return ntohs(address.sin_port);
}

class shared_look_up_test : public runtime_test {
 protected:
  void SetUp() override {
    runtime_test::SetUp();
    may_return = false;
    was_dropped_one_asked = false;
    calls = most_at_work = 0;
    before = metrics().look_ups;
  }
  /// What has come since the test began.
  std::uint64_t since(std::uint64_t look_up_counts::*count) const {
    return metrics().look_ups.*count - before.*count;
  }
  bool eventually_waiting(std::uint64_t count) const {
    return eventually([&] { return since(&look_up_counts::waiting) == count; });
  }

  look_up_counts before;
};

TEST_F(shared_look_up_test, fibers_of_all_workers_that_ask_the_same_share_one_look_up) {
  workers set(2);
  std::vector<fiber<int>> asking;
  for (int i = 0; i < 10; ++i) asking.push_back(spawn([] { return ask("name"); }));
  for (int i = 0; i < 10; ++i) asking.push_back(set.spawn([] { return ask("name"); }));
  ASSERT_TRUE(eventually_waiting(20));
  may_return = true;
  for (fiber<int>& each : asking) EXPECT_EQ(each.get(), 80);
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(since(&look_up_counts::begun), 1u);
  EXPECT_EQ(since(&look_up_counts::coalesced), 19u);
  EXPECT_EQ(since(&look_up_counts::waiting), 0u);
}

TEST_F(shared_look_up_test, calls_that_differ_in_name_service_or_hints_share_none) {
  auto one = spawn([] { return ask("name", "80"); });
  auto other_name = spawn([] { return ask("name2", "80"); });
  auto other_port = spawn([] { return ask("name", "81"); });
  auto other_flags = spawn([] { return ask("name", "80", never, AI_NUMERICSERV); });
  ASSERT_TRUE(eventually_waiting(4));
  may_return = true;
  EXPECT_EQ(one.get() + other_name.get() + other_flags.get(), 3 * 80);
  EXPECT_EQ(other_port.get(), 81);
  EXPECT_EQ(calls, 4);
}

TEST_F(shared_look_up_test, who_times_out_or_is_killed_leaves_the_others_alone) {
  auto stays = spawn([] { return ask("name"); });
  auto is_killed = spawn([] { return ask("name"); });
  auto times_out = spawn([] { return ask("name", "80", deadline_after(20ms)); });
  ASSERT_TRUE(eventually([&] { return since(&look_up_counts::coalesced) == 2; }));
  is_killed.kill();
  EXPECT_EQ(times_out.get(), EAI_SYSTEM);
  EXPECT_FALSE(stays.ready());
  EXPECT_EQ(since(&look_up_counts::given_up), 2u);
  may_return = true;
  EXPECT_EQ(stays.get(), 80);
  EXPECT_EQ(calls, 1);
}

TEST_F(shared_look_up_test, the_one_that_asked_first_may_give_up_before_the_others) {
  auto first = spawn([] { return ask("name"); });
  yield();
  auto second = spawn([] { return ask("name"); });
  ASSERT_TRUE(eventually_waiting(2));
  first.kill();
  may_return = true;
  EXPECT_EQ(second.get(), 80);
  EXPECT_EQ(calls, 1);
}

TEST_F(shared_look_up_test, who_tries_again_joins_the_look_up_that_was_given_up) {
  auto impatient = spawn([] { return ask("name"); });
  ASSERT_TRUE(eventually([] { return at_work == 1; }));
  impatient.kill();
  auto again = spawn([] { return ask("name"); });
  ASSERT_TRUE(eventually_waiting(1));
  may_return = true;
  EXPECT_EQ(again.get(), 80);
  EXPECT_EQ(calls, 1);
}

TEST_F(shared_look_up_test, a_failure_reaches_all_and_counts_once) {
  auto one = spawn([] { return ask("unknown"); });
  auto other = spawn([] { return ask("unknown"); });
  ASSERT_TRUE(eventually_waiting(2));
  may_return = true;
  EXPECT_EQ(one.get(), EAI_NONAME);
  EXPECT_EQ(other.get(), EAI_NONAME);
  EXPECT_EQ(since(&look_up_counts::failed), 1u);
}

TEST_F(shared_look_up_test, each_who_shares_an_answer_owns_a_whole_list) {
  const auto take = [] {
    addrinfo hints{};
    hints.ai_flags = AI_CANONNAME;
    addrinfo* result = nullptr;
    int error = 0;
    EXPECT_EQ(io::getaddrinfo("name", "80", &hints, &result, &error, never, resolve_when_allowed,
                              ::freeaddrinfo),
              0);
    return result;
  };
  auto one = spawn(take);
  auto other = spawn(take);
  ASSERT_TRUE(eventually_waiting(2));
  may_return = true;
  addrinfo* const lists[] = {one.get(), other.get()};
  int elements = 0;
  for (addrinfo* const list : lists) {
    EXPECT_STREQ(list->ai_canonname, "127.0.0.1");
    for (const addrinfo* each = list; each; each = each->ai_next) {
      EXPECT_EQ(each->ai_addr->sa_family, AF_INET);
      ++elements;
    }
    ::freeaddrinfo(list);
  }
  EXPECT_EQ(elements, 6) << "stream, datagram and raw, twice";
  EXPECT_EQ(calls, 1);
}

/// Look-ups of so many names, begun.
std::vector<fiber<int>> ask_names(int count) {
  std::vector<fiber<int>> asking;
  for (int i = 0; i < count; ++i) {
    asking.push_back(spawn([i] { return ask("slow" + std::to_string(i)); }));
  }
  return asking;
}

TEST_F(shared_look_up_test, slow_names_take_no_more_than_their_threads_and_none_from_other_work) {
  std::vector<fiber<int>> slow = ask_names(30);
  ASSERT_TRUE(eventually_waiting(30));
  EXPECT_TRUE(eventually([] { return at_work == 8; }));
  for (int i = 0; i < 20; ++i) EXPECT_EQ(offload([i] { return i; }), i);
  EXPECT_EQ(at_work, 8);
  may_return = true;
  for (fiber<int>& each : slow) EXPECT_EQ(each.get(), 80);
  EXPECT_EQ(most_at_work, 8);
  EXPECT_EQ(calls, 30);
  const look_up_counts now = metrics().look_ups;
  EXPECT_GT(now.queued, before.queued);
  EXPECT_GT(now.queued_longest.count(), 0);
}

TEST_F(shared_look_up_test, a_look_up_that_nobody_waits_for_any_more_is_not_begun) {
  std::vector<fiber<int>> slow = ask_names(8);
  ASSERT_TRUE(eventually([] { return at_work == 8; }));
  EXPECT_EQ(ask("dropped", "80", deadline_after(5ms)), EAI_SYSTEM);
  may_return = true;
  for (fiber<int>& each : slow) EXPECT_EQ(each.get(), 80);
  EXPECT_EQ(ask("after"), 80);  // what is asked first is begun first
  EXPECT_FALSE(was_dropped_one_asked);
}

TEST_F(shared_look_up_test, metrics_show_look_ups_in_both_forms) {
  may_return = true;
  EXPECT_EQ(ask("unknown"), EAI_NONAME);
  const runtime_metrics now = metrics();
  const std::string begun = std::to_string(now.look_ups.begun);
  EXPECT_EQ(count_of(now.text(), "look-ups " + begun + " begun, "), 1) << now.text();
  const std::string text = now.prometheus();
  EXPECT_EQ(count_of(text, "\ncoir_look_ups_begun_total " + begun + "\n"), 1) << text;
  EXPECT_EQ(count_of(text, "# TYPE coir_look_ups_waiting gauge\n"), 1) << text;
}

using resolver_setting_test = fresh_process_test;

/// 0 when 10 slow names are at work on `count` threads at a time.
int threads_are(int count) {
  may_return = false;
  calls = most_at_work = at_work = 0;
  std::vector<fiber<int>> slow = ask_names(10);
  const bool came = eventually([&] { return at_work == count; });
  may_return = true;
  for (fiber<int>& each : slow) each.get();
  return came && most_at_work == count ? 0 : 1;
}

TEST_F(resolver_setting_test, the_environment_says_how_many_threads) {
  EXPECT_EXIT(
      {
        ::setenv("COIR_RESOLVER_THREADS", "2", 1);
        leave(threads_are(2));
      },
      testing::ExitedWithCode(0), "");
}

TEST_F(resolver_setting_test, what_is_no_number_of_threads_is_said_and_not_used) {
  EXPECT_EXIT(
      {
        ::setenv("COIR_RESOLVER_THREADS", "none", 1);
        leave(threads_are(8));
      },
      testing::ExitedWithCode(0),
      contains("coir: COIR_RESOLVER_THREADS=none is no number from 1 to 1024; using 8"));
}

TEST_F(resolver_setting_test, the_child_of_a_fork_looks_up_what_its_parent_was_looking_up) {
#if defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "the thread sanitizer allows no thread after the fork of a process with several";
#endif
  const without_leak_check guard;
  EXPECT_EXIT(
      {
        auto asking = spawn([] { return ask("name"); });
        eventually([] { return at_work == 1; });
        const int child = result_of_child([] {
          may_return = true;
          const bool is_fresh = metrics().look_ups.begun == 0 && metrics().look_ups.waiting == 0;
          return is_fresh && ask("name") == 80 ? 0 : 1;
        });
        may_return = true;
        leave(child != 0 || asking.get() != 80);
      },
      testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace coir::test
