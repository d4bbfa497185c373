// Name look-ups that do not block the thread.
#include "runtime/io/resolve.hpp"
#include "tests/runtime/support.hpp"

#include <atomic>
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

std::atomic<bool> may_return;
std::atomic<int> freed;
addrinfo answer;

int wait_for_leave(const char*, const char*, const addrinfo*, addrinfo** result) {
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
  may_return = false;
  freed = 0;
  addrinfo* result = nullptr;
  int error = 0;
  const stopwatch watch;
  EXPECT_EQ(io::getaddrinfo("x", nullptr, nullptr, &result, &error, deadline_after(20ms),
                            wait_for_leave, count_free),
            EAI_SYSTEM);
  expect_took(watch, 20ms);
  EXPECT_EQ(error, ETIMEDOUT);
  EXPECT_EQ(freed, 0);
  may_return = true;
  EXPECT_TRUE(eventually([] { return freed == 1; }));
}

TEST_F(resolve_test, the_names_need_not_outlive_the_call) {
  may_return = false;
  freed = 0;
  static std::atomic<bool> was_right;
  was_right = false;
  auto late_reader = [](const char* node, const char* service, const addrinfo*, addrinfo** result) {
    const stopwatch watch;
    while (!may_return && watch.elapsed() < 20s) std::this_thread::sleep_for(1ms);
    was_right = std::string(node) == "short-lived.example" && std::string(service) == "https";
    *result = &answer;
    return 0;
  };
  {
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

}  // namespace
}  // namespace coir::test
