// serve_in_processes and activated_sockets: servers whose sockets come from, or go to, other
// processes.
#include "tests/net/server_support.hpp"

#include <cstdlib>
#include <set>

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

namespace coir::net::test {
namespace {

const address loopback = address::ipv4_loopback();

/// A process of the test's own, which is killed at the end if it still runs.
class child_process {
 public:
  template <class Function>
  explicit child_process(Function body) : pid_(fork()) {
    if (pid_ == 0) {
      alarm(60);
      _exit(body());
    }
  }
  child_process(const child_process&) = delete;
  child_process& operator=(const child_process&) = delete;
  ~child_process() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  pid_t pid() const { return pid_; }
  /// The exit status, or -1 when it does not end in time or was killed.
  int status() {
    int status = 0;
    if (!eventually([&] { return waitpid(pid_, &status, WNOHANG) == pid_; })) return -1;
    pid_ = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

 private:
  pid_t pid_;
};

/// Tells which process serves; 'w' waits before it answers.
void tell_process(stream& client) {
  char kind = 0;
  std::error_code ec;
  while (client.read_some(mutable_buffer(&kind, 1), ec)) {
    if (kind == 'w') coir::sleep(300ms);
    client.write_all(std::to_string(getpid()) + "\n", ec);
  }
}

int serve_with(tcp_listener& listener, std::size_t count) {
  try {
    server_process_options how;
    how.count = count;
    how.grace = 10s;
    serve_in_processes(std::move(listener), how, tell_process, stream_server::options());
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 3;
  }
}

pid_t answer(stream& client) {
  std::string text;
  for (char byte = 0; byte != '\n'; text += byte) client.read_exactly(mutable_buffer(&byte, 1));
  return std::stoi(text);
}

pid_t ask(stream& client) {
  client.write_all("?");
  return answer(client);
}

/// Connects until that many processes have served.
std::set<pid_t> processes_at(const address& where, std::size_t count) {
  std::set<pid_t> seen;
  std::vector<tcp_stream> open;
  const stopwatch since;
  while (seen.size() < count && since.elapsed() < patience) {
    open.push_back(client_of(where));
    seen.insert(ask(open.back()));
    if (open.size() > 50) open.clear();
  }
  return seen;
}

TEST(server_processes, one_that_is_killed_is_replaced_and_a_signal_ends_all_with_their_work_done) {
  tcp_listener listener = tcp_listener::listen(loopback);
  const address where = listener.local_address();
  child_process parent([&] { return serve_with(listener, 3); });
  listener.close();
  const std::set<pid_t> first = processes_at(where, 3);
  ASSERT_EQ(3u, first.size());
  EXPECT_FALSE(first.contains(parent.pid()));
  const pid_t victim = *first.begin();
  ASSERT_EQ(0, ::kill(victim, SIGKILL));
  std::set<pid_t> later;
  EXPECT_TRUE(eventually([&] {
    later = processes_at(where, 3);
    return !later.contains(victim);
  }));
  EXPECT_EQ(3u, later.size());
  tcp_stream busy = client_of(where);
  ask(busy);
  busy.write_all("w");
  coir::sleep(50ms);  // it has been read by then; if not, the answer comes all the same
  ASSERT_EQ(0, ::kill(parent.pid(), SIGTERM));
  EXPECT_TRUE(eventually([&] { return is_refused(where); }));
  EXPECT_TRUE(later.contains(answer(busy)));
  busy.close();
  EXPECT_EQ(0, parent.status());
  for (const pid_t each : later) EXPECT_NE(0, ::kill(each, 0));
}

TEST(server_processes, those_that_die_at_once_are_not_replaced_for_ever) {
  tcp_listener listener = tcp_listener::listen(loopback);
  const std::string errors = testing::TempDir() + "coir-early-" + std::to_string(getpid());
  child_process parent([&] {
    const int fd = open(errors.c_str(), O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
    dup2(fd, 2);
    server_process_options how;
    how.count = 2;
    how.early_deaths_max = 3;
    try {
      serve_in_processes(std::move(listener), how,
                         [](server_process&) { throw std::runtime_error("no configuration"); });
    } catch (const std::runtime_error& error) {
      std::fprintf(stderr, "%s\n", error.what());
      std::fflush(stderr);
      return 5;
    }
    return 0;
  });
  EXPECT_EQ(5, parent.status());
  std::string told(10'000, '\0');
  const int fd = open(errors.c_str(), O_RDONLY | O_CLOEXEC);
  const ssize_t size = read(fd, told.data(), told.size());
  ::close(fd);
  unlink(errors.c_str());
  told.resize(size > 0 ? static_cast<std::size_t>(size) : 0);
  EXPECT_NE(told.npos, told.find("failed: no configuration")) << told;
  EXPECT_NE(told.npos, told.find("another one takes its place")) << told;
  EXPECT_NE(told.npos, told.find("each within a second")) << told;
}

TEST(server_processes, they_end_with_their_parent) {
  tcp_listener listener = tcp_listener::listen(loopback);
  const address where = listener.local_address();
  child_process parent([&] { return serve_with(listener, 2); });
  listener.close();
  ASSERT_EQ(2u, processes_at(where, 2).size());
  ASSERT_EQ(0, ::kill(parent.pid(), SIGKILL));
  EXPECT_TRUE(eventually([&] { return is_refused(where); }));
}

TEST(server_processes, nothing_to_listen_on_is_an_error) {
  EXPECT_THROW(serve_in_processes({}, {}, [](server_process&) {}), std::invalid_argument);
  tcp_listener taken = tcp_listener::listen(loopback);
  EXPECT_EQ(std::errc::address_in_use, thrown_by([&] {
              serve_in_processes(taken.local_address(), {}, [](server_process&) {});
            }));
}

constexpr char role[] = "COIR_TEST_ACTIVATED";

/// Runs this program anew, with `sockets` from descriptor 3 on, as the service manager would.
template <class... Socket>
int run_activated(const char* part, const char* names, const Socket&... sockets) {
  return child_process([&] {
           std::vector<int> high;
           (high.push_back(fcntl(sockets.native_handle(), F_DUPFD, 100)), ...);
           for (std::size_t i = 0; i < high.size(); ++i) dup2(high[i], static_cast<int>(3 + i));
           setenv("LISTEN_PID", std::to_string(getpid()).c_str(), 1);
           setenv("LISTEN_FDS", std::to_string(high.size()).c_str(), 1);
           setenv("LISTEN_FDNAMES", names, 1);
           setenv(role, part, 1);
           execl("/proc/self/exe", "test", "--gtest_filter=activation_child.*", nullptr);
           return 127;
         })
      .status();
}

/// What the tests below start: passes when it finds what they say.
TEST(activation_child, finds_its_sockets) {
  const char* const part = std::getenv(role);
  if (!part) GTEST_SKIP() << "is run by the tests of activation";
  if (part == std::string("wrong")) {
    const std::string text = text_thrown_by([] { activated_sockets(); });
    EXPECT_NE(text.npos, text.find("descriptor 3 (odd) of LISTEN_FDS")) << text;
    return;
  }
  if (part == std::string("mixed")) {
    std::error_code ec;
    EXPECT_TRUE(activated_listeners(ec).empty());
    EXPECT_EQ(std::errc::wrong_protocol_type, ec);
    return;
  }
  std::vector<activated_socket> found = activated_sockets();
  ASSERT_EQ(3u, found.size());
  EXPECT_EQ("web", found[0].name);
  EXPECT_EQ("local", found[1].name);
  EXPECT_EQ("unknown", found[2].name);
  EXPECT_TRUE(std::holds_alternative<udp_socket>(found[2].socket));
  for (const int fd : {3, 4, 5}) EXPECT_EQ(FD_CLOEXEC, fcntl(fd, F_GETFD));
  EXPECT_EQ(nullptr, std::getenv("LISTEN_FDS"));
  EXPECT_TRUE(activated_sockets().empty());
  endpoints where(std::get<tcp_listener>(std::move(found[0].socket)));
  where.add(std::get<unix_listener>(std::move(found[1].socket)));
  stream_server* served_by = nullptr;
  stream_server server(std::move(where), [&](stream& client) {
    client.write_all("hello");
    if (client.local_address().is_unix()) served_by->stop(patience);
  });
  served_by = &server;
  server.serve_forever();
}

TEST(activation, sockets_of_the_service_manager_are_served) {
  const scratch_directory folder;
  const tcp_listener web = tcp_listener::listen(loopback);
  const unix_listener local = unix_listener::listen(address::unix_path(folder / "socket"));
  const udp_socket datagrams = udp_socket::bind(loopback);
  auto running =
      coir::spawn([&] { return run_activated("all", "web:local", web, local, datagrams); });
  tcp_stream client = client_of(web.local_address());
  std::string text(5, '\0');
  client.read_exactly(text);
  EXPECT_EQ("hello", text);
  auto last = client_of<unix_stream>(local.local_address());
  last.read_exactly(text);
  EXPECT_EQ("hello", text);
  EXPECT_EQ(0, running.get());
}

TEST(activation, what_is_no_server_socket_is_refused_by_name) {
  const auto pair = unix_stream::pair();
  EXPECT_EQ(0, run_activated("wrong", "odd", pair.first));
  const udp_socket datagrams = udp_socket::bind(loopback);
  EXPECT_EQ(0, run_activated("mixed", "", tcp_listener::listen(loopback), datagrams));
}

TEST(activation, variables_for_another_process_are_let_be) {
  setenv("LISTEN_PID", "1", 1);
  setenv("LISTEN_FDS", "2", 1);
  EXPECT_TRUE(activated_sockets().empty());
  EXPECT_STREQ("2", std::getenv("LISTEN_FDS"));
  setenv("LISTEN_PID", std::to_string(getpid()).c_str(), 1);
  setenv("LISTEN_FDS", "many", 1);
  EXPECT_EQ(std::errc::invalid_argument, thrown_by([] { activated_sockets(); }));
  unsetenv("LISTEN_PID");
  unsetenv("LISTEN_FDS");
}

}  // namespace
}  // namespace coir::net::test
