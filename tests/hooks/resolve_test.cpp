#include "runtime/io/resolve.hpp"
#include "tests/hooks/support.hpp"

#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>

namespace {

using namespace coir::testing;

sockaddr_in loopback() {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(80);
  return address;
}

const sockaddr* generic(const sockaddr_in& address) {
  return reinterpret_cast<const sockaddr*>(&address);
}

bool is_loopback(const hostent* host) {
  const in_addr expected{htonl(INADDR_LOOPBACK)};
  return host && host->h_addrtype == AF_INET && host->h_addr_list[0] &&
         std::memcmp(host->h_addr_list[0], &expected, sizeof expected) == 0;
}

constexpr int resolver_threads = 2;
/// Set before the first look-up: coir reads it once.
[[maybe_unused]] const int is_limited = ::setenv("COIR_RESOLVER_THREADS", "2", 1);

/// Keeps all threads for look-ups busy until release(): a look-up that is made meanwhile has to
/// wait.
class busy_resolver_threads {
 public:
  busy_resolver_threads() {
    auto read_byte = [](void* fd) {
      char byte;
      EXPECT_EQ(1, ::read(*static_cast<int*>(fd), &byte, 1));
    };
    for (int i = 0; i < resolver_threads; ++i) {
      jobs_.push_back(coir::spawn([this, read_byte] {
        int fd = pipe_[0];
        EXPECT_EQ(0, coir::io::run_look_up(read_byte, &fd));
      }));
    }
    let_others_park();
  }
  ~busy_resolver_threads() { EXPECT_EQ(jobs_.size(), coir::joinall(jobs_, patience)); }
  void release() {
    for (int i = 0; i < resolver_threads; ++i) EXPECT_EQ(1, ::write(pipe_[1], "x", 1));
  }

 private:
  pipe_pair pipe_;
  std::vector<coir::fiber<>> jobs_;
};

/// True when a fiber that was ready before `look_up` ran before it returned. The look-up cannot be
/// over before it runs.
template <class LookUp>
bool lets_others_run(LookUp look_up) {
  busy_resolver_threads threads;
  bool has_run = false;
  auto other = coir::spawn([&] {
    has_run = true;
    threads.release();
  });
  look_up();
  const bool has_run_meanwhile = has_run;
  other.join();
  return has_run_meanwhile;
}

TEST(ResolveHooks, GetaddrinfoParksAndReturnsWhatLibcFinds) {
  addrinfo hints{};
  hints.ai_family = AF_INET;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  EXPECT_TRUE(
      lets_others_run([&] { EXPECT_EQ(0, ::getaddrinfo("localhost", "8080", &hints, &found)); }));
  ASSERT_NE(nullptr, found);
  sockaddr_in address;
  std::memcpy(&address, found->ai_addr, sizeof address);
  EXPECT_EQ(htonl(INADDR_LOOPBACK), address.sin_addr.s_addr);
  EXPECT_EQ(htons(8080), address.sin_port);
  ::freeaddrinfo(found);
}

TEST(ResolveHooks, GetaddrinfoReportsItsErrors) {
  addrinfo hints{};
  hints.ai_flags = AI_NUMERICHOST;
  addrinfo* found = nullptr;
  EXPECT_EQ(EAI_NONAME, ::getaddrinfo("not a number", nullptr, &hints, &found));
}

TEST(ResolveHooks, ManyLookUpsRunAtTheSameTime) {
  std::vector<coir::fiber<int>> look_ups;
  for (int i = 0; i < 40; ++i) {
    look_ups.push_back(coir::spawn([i] {
      addrinfo* found = nullptr;
      const std::string port = std::to_string(1000 + i % 20);  // two fibers ask the same
      const int code = ::getaddrinfo("127.0.0.1", port.c_str(), nullptr, &found);
      if (code == 0) ::freeaddrinfo(found);
      return code;
    }));
  }
  EXPECT_EQ(40U, coir::joinall(look_ups, patience));
  for (auto& each : look_ups) EXPECT_EQ(0, each.get());
}

TEST(ResolveHooks, GetnameinfoParksUnlessItOnlyPrintsNumbers) {
  const sockaddr_in address = loopback();
  char host[256], service[32];
  auto ask = [&](int flags) {
    EXPECT_EQ(0, ::getnameinfo(generic(address), sizeof address, host, sizeof host, service,
                               sizeof service, flags));
  };
  EXPECT_FALSE(lets_others_run([&] { ask(NI_NUMERICHOST | NI_NUMERICSERV); }));
  EXPECT_STREQ("127.0.0.1", host);
  EXPECT_STREQ("80", service);
  EXPECT_TRUE(lets_others_run([&] { ask(NI_NUMERICSERV); }));
}

TEST(ResolveHooks, GethostbynameAndItsTwinsFindTheLoopback) {
  EXPECT_TRUE(lets_others_run([] { EXPECT_TRUE(is_loopback(::gethostbyname("127.0.0.1"))); }));
  EXPECT_TRUE(is_loopback(::gethostbyname2("localhost", AF_INET)));
  const in_addr address{htonl(INADDR_LOOPBACK)};
  const hostent* const found = ::gethostbyaddr(&address, sizeof address, AF_INET);
  if (found) {
    EXPECT_TRUE(is_loopback(found));  // a machine need not have a name for it
  }
}

TEST(ResolveHooks, ReentrantFormsFillTheBuffersOfTheirCaller) {
  char text[1024];
  hostent host{};
  hostent* found = nullptr;
  int h_error = 0;
  EXPECT_TRUE(lets_others_run([&] {
    EXPECT_EQ(0, ::gethostbyname_r("127.0.0.1", &host, text, sizeof text, &found, &h_error));
  }));
  EXPECT_EQ(&host, found);
  EXPECT_TRUE(is_loopback(found));
  EXPECT_EQ(0,
            ::gethostbyname2_r("127.0.0.1", AF_INET, &host, text, sizeof text, &found, &h_error));
  EXPECT_TRUE(is_loopback(found));
  char tiny[1];
  EXPECT_EQ(ERANGE, ::gethostbyname_r("127.0.0.1", &host, tiny, sizeof tiny, &found, &h_error));
}

TEST(ResolveHooks, TheSharedResultStaysWhileItsFiberDoesNotPark) {
  const hostent* const mine = ::gethostbyname("127.0.0.1");
  ASSERT_TRUE(is_loopback(mine));
  auto other = coir::spawn([] { return ::gethostbyname("127.0.0.2") != nullptr; });
  let_others_park();  // the other's look-up is under way, or has returned
  EXPECT_TRUE(other.get_for(patience));
  const hostent* const again = ::gethostbyname("127.0.0.1");
  EXPECT_TRUE(is_loopback(again));
}

TEST(ResolveHooks, AFailedLookUpSaysWhyInHErrno) {
  h_errno = 0;
  const in_addr address{htonl(INADDR_LOOPBACK)};
  EXPECT_EQ(nullptr, ::gethostbyaddr(&address, 3, AF_INET)) << "no address has three bytes";
  EXPECT_NE(0, h_errno);
}

}  // namespace
