// A program of several threads, each of them a coir worker, whose fibers wait for those of the
// others. It makes threads, not coir's own ones, and calls coir in each; so under `coir run` its
// workers are fibers themselves. Linked with libcoir.so and with coir inside.
//   workers_program PART     prints what it found; exits with 0 when all was as it must be
#include <coir/coir.hpp>
#include <coir/net.hpp>

#include <array>
#include <atomic>
#include <climits>
#include <condition_variable>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/single_threaded.h>
#include <sys/wait.h>
#include <unistd.h>

namespace {

using namespace std::chrono_literals;
namespace net = coir::net;
using clock = std::chrono::steady_clock;

constexpr auto patience = 30s;

void check(bool is_right, const char* what) {
  if (is_right) return;
  std::fprintf(stderr, "FAILED: %s\n", what);
  std::_Exit(1);
}

/// Looks at `condition` until it holds, or the program fails.
template <class Condition>
void await(const char* what, Condition condition) {
  const auto end = clock::now() + patience;
  while (!condition()) {
    check(clock::now() < end, what);
    coir::sleep(1ms);
  }
}

// --- talk ----------------------------------------------------------------------------------------

constexpr int producers = 8;
constexpr int items_each = 200;
constexpr int clerks = 2;
constexpr int fibers_of_a_clerk = 6;

/// What the threads share.
struct company {
  coir::queue<int> work{64};
  coir::channel<long> results;
  coir::mutex lock;
  long sum_under_lock = 0;
  std::atomic<long> sum_offloaded{0};
  std::atomic<int> timeouts{0};
  std::atomic<int> killed{0};
  coir::queue<coir::fiber<>> victims;
  coir::queue<net::address> echo_address;
  coir::queue<coir::fiber<>> echo_fiber;
};

void echo(net::tcp_stream peer) {
  std::array<std::byte, 64> bytes;
  std::error_code error;
  while (!error) {
    const std::size_t size = peer.read_some({bytes.data(), bytes.size()}, error);
    if (size == 0) return;
    peer.write_all({bytes.data(), size}, error);
  }
}

/// Serves until its fiber is killed, by the main thread.
void run_echo_thread(company& all) {
  coir::fiber<> server = coir::spawn([&] {
    auto listener = net::tcp_listener::listen(net::address::ipv4("127.0.0.1", 0));
    all.echo_address.put(listener.local_address());
    for (;;) coir::spawn(echo, listener.accept());
  });
  all.echo_fiber.put(server);
  server.join();
}

void run_producer_thread(company& all) {
  std::vector<coir::fiber<>> fibers;
  for (int p = 0; p < producers; ++p) {
    fibers.push_back(coir::spawn([&all, p] {
      for (int i = 0; i < items_each; ++i) all.work.put(p * items_each + i + 1);
    }));
  }
  coir::joinall(fibers);
  all.work.shutdown();
}

/// Sends `number` through a connection and back.
long by_network(net::tcp_stream& connection, long number) {
  connection.write_all({reinterpret_cast<const std::byte*>(&number), sizeof number});
  long back = 0;
  connection.read_exactly({reinterpret_cast<std::byte*>(&back), sizeof back});
  return back;
}

void do_work(company& all, const net::address& where) {
  auto connection = net::tcp_stream::connect(where);
  for (int number : all.work) {
    const long back = by_network(connection, number);
    {
      const std::lock_guard guard(all.lock);
      all.sum_under_lock += back;
    }
    if (number % 16 == 0) all.sum_offloaded += coir::offload([number] { return long{number}; });
    if (number % 64 == 0) coir::sleep(1ms);
    all.results.send(back);
  }
}

void time_out(company& all) {
  coir::queue<int> nothing;
  for (int i = 0; i < 5; ++i) {
    const auto start = clock::now();
    const auto got = nothing.get_for(10ms);
    check(!got && clock::now() - start >= 10ms, "a wait ended before its time limit");
    ++all.timeouts;
  }
}

/// Waits for ever, and counts its end.
void be_a_victim(company& all) {
  struct at_end {
    company& all;
    ~at_end() { ++all.killed; }
  } const counts{all};
  coir::event never;
  never.wait();
}

void run_clerk_thread(company& all, const net::address& where) {
  check(!__libc_single_threaded, "libc takes the process for one with one thread");
  std::vector<coir::fiber<>> fibers;
  for (int i = 0; i < fibers_of_a_clerk; ++i)
    fibers.push_back(coir::spawn([&] { do_work(all, where); }));
  fibers.push_back(coir::spawn([&] { time_out(all); }));
  const coir::fiber<> victim = coir::spawn([&] { be_a_victim(all); });
  all.victims.put(victim);
  coir::joinall(fibers);
  victim.join();
}

void talk() {
  coir::sleep(1ms);  // a worker before there are threads
  company all;
  std::vector<std::thread> threads;
  threads.emplace_back(run_echo_thread, std::ref(all));
  const net::address where = all.echo_address.get();
  for (int i = 0; i < clerks; ++i)
    threads.emplace_back(run_clerk_thread, std::ref(all), std::cref(where));
  threads.emplace_back(run_producer_thread, std::ref(all));

  constexpr long count = producers * items_each;
  long sum = 0;
  for (long i = 0; i < count; ++i) {
    const auto result = all.results.recv_for(patience);
    check(result.has_value(), "a result did not come");
    sum += *result;
  }
  for (int i = 0; i < clerks; ++i) {
    const coir::fiber<> victim = all.victims.get();
    await("a fiber does not begin", [&] { return !victim.ready(); });
    check(victim.kill_for(patience), "a fiber of another thread could not be killed");
  }
  check(all.echo_fiber.get().kill_for(patience), "the echo server could not be killed");
  for (std::thread& thread : threads) thread.join();
  constexpr long expected = count * (count + 1) / 2;
  check(sum == expected, "the sum of the results");
  check(all.sum_under_lock == expected, "the sum under the lock");
  constexpr long sixteens = count / 16;
  check(all.sum_offloaded == 16 * sixteens * (sixteens + 1) / 2, "the sum of what was offloaded");
  check(all.timeouts == 5 * clerks, "the number of timeouts");
  std::printf("sum %ld\n", sum);
}

// --- idle ----------------------------------------------------------------------------------------

double cpu_ms() {
  rusage used{};
  getrusage(RUSAGE_SELF, &used);
  auto ms = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) * 1e3 + static_cast<double>(t.tv_usec) / 1e3;
  };
  return ms(used.ru_utime) + ms(used.ru_stime);
}

/// Three workers and two offload threads wait for a second; the main thread sleeps.
void idle() {
  constexpr int count = 3;
  std::atomic<int> started{0};
  coir::event end;
  std::vector<std::thread> threads;
  for (int i = 0; i < count; ++i) {
    threads.emplace_back([&] {
      auto listener = net::tcp_listener::listen(net::address::ipv4("127.0.0.1", 0));
      const coir::fiber<> server = coir::spawn([&] { listener.accept(); });
      coir::yield();
      coir::offload([&] { ++started; });
      end.wait();
      server.kill();
    });
  }
  await("a thread does not begin", [&] { return started == count; });
  coir::sleep(200ms);
  const double before = cpu_ms();
  coir::sleep(1s);
  std::printf("cpu_ms %.1f\n", cpu_ms() - before);
  end.set();
  for (std::thread& thread : threads) thread.join();
}

// --- mixed ---------------------------------------------------------------------------------------

/// Workers whose threads also wait for each other by libc, between waits of their fibers: there
/// they may change the kernel thread.
void mixed() {
  constexpr int count = 4;
  constexpr int rounds = 500;
  std::mutex lock;
  std::condition_variable changed;
  int turn = 0;
  coir::queue<int> turns;
  std::vector<std::thread> threads;
  for (int t = 0; t < count; ++t) {
    threads.emplace_back([&, t] {
      coir::queue<int> own;
      const coir::fiber<> server = coir::spawn([&] {
        for (int number : own) turns.put(number);
      });
      for (int round = 0; round < rounds; ++round) {
        {
          std::unique_lock guard(lock);
          const bool is_mine = changed.wait_for(guard, patience, [&] { return turn % count == t; });
          check(is_mine, "a condition");
          ++turn;
        }
        changed.notify_all();
        own.put(round);
        if (round % 8 == 0) coir::sleep(100us);
      }
      own.shutdown();
      server.join();
    });
  }
  for (int i = 0; i < count * rounds; ++i) check(turns.get_for(patience).has_value(), "a turn");
  for (std::thread& thread : threads) thread.join();
  std::printf("turns %d\n", turn);
}

// --- crew ----------------------------------------------------------------------------------------

/// coir's own set of workers beside a thread of the program's: fibers that any of them begins.
void crew() {
  constexpr int fibers = 300;
  coir::workers all(3);
  coir::queue<int> numbers;
  std::atomic<int> asked{0};
  std::thread asker([&] {
    for (int i = 0; i < 100; ++i) asked += all.spawn([i] { return i; }).get();
  });
  for (int i = 1; i <= fibers; ++i) {
    all.spawn([&, i] {
      coir::sleep(std::chrono::microseconds(i));
      numbers.put(i);
    });
  }
  int sum = 0;
  for (int i = 0; i < fibers; ++i) {
    const auto number = numbers.get_for(patience);
    check(number.has_value(), "a number did not come");
    sum += *number;
  }
  asker.join();
  check(sum == fibers * (fibers + 1) / 2, "the sum of the numbers");
  check(asked == 4950, "the sum of the answers");
  std::printf("crew %d\n", sum);
}

// --- signals -------------------------------------------------------------------------------------

pthread_t signal_target;
volatile sig_atomic_t handled = 0;
volatile sig_atomic_t handled_elsewhere = 0;

void on_signal(int) {
  handled = handled + 1;
  if (!pthread_equal(pthread_self(), signal_target)) handled_elsewhere = handled_elsewhere + 1;
}

/// A worker that waits for an event of another worker gets signals meanwhile.
void signals() {
  struct sigaction action {};
  action.sa_handler = on_signal;
  sigaction(SIGUSR1, &action, nullptr);
  std::atomic<bool> has_started{false};
  std::atomic<int> ticks{0};
  coir::event end;
  std::thread thread([&] {
    signal_target = pthread_self();
    has_started = true;
    const coir::fiber<> ticker = coir::spawn([&] {
      for (;; ++ticks) coir::sleep(5ms);
    });
    end.wait();
    ticker.kill();
  });
  await("the thread does not begin", [&] { return has_started.load(); });
  for (int i = 1; i <= 100; ++i) {
    check(pthread_kill(signal_target, SIGUSR1) == 0, "pthread_kill");
    await("a signal is not handled", [&] { return handled >= i; });
  }
  const int seen = ticks;
  await("the timers of the worker do not go on", [&] { return ticks > seen + 3; });
  end.set();
  thread.join();
  check(handled == 100 && handled_elsewhere == 0, "a handler ran on another thread");
  std::puts("100 signals");
}

// --- fork ----------------------------------------------------------------------------------------

/// What a child does: fibers, a time limit, a thread of its own that is a worker, blocking work.
[[noreturn]] void be_a_child() {
  coir::queue<int> numbers;
  std::thread thread([&] {
    coir::spawn([&] {
      for (int i = 1; i <= 100; ++i) numbers.put(i);
    }).join();
  });
  int sum = 0;
  const coir::fiber<> taker = coir::spawn([&] {
    for (int i = 0; i < 100; ++i) sum += numbers.get();
  });
  const bool is_over = taker.join_for(patience);
  thread.join();
  const bool has_timed_out = !numbers.get_for(5ms);
  const int offloaded = coir::offload([] { return 7; });
  std::_Exit(is_over && sum == 5050 && has_timed_out && offloaded == 7 ? 0 : 1);
}

void fork_and_wait() {
  const pid_t child = ::fork();
  if (child == 0) be_a_child();
  check(child > 0, "fork");
  const int status = coir::offload([child] {
    int how = -1;
    ::waitpid(child, &how, 0);
    return how;
  });
  check(WIFEXITED(status) && WEXITSTATUS(status) == 0, "a child failed");
}

void forks() {
  fork_and_wait();
  coir::queue<int> ticks;
  std::thread thread([&] {
    const coir::fiber<> ticker = coir::spawn([&] {
      for (;;) {
        ticks.put(1);
        coir::sleep(1ms);
      }
    });
    for (int i = 0; i < 5; ++i) coir::spawn(fork_and_wait).get();
    ticker.kill();
  });
  for (int i = 0; i < 5; ++i) check(ticks.get_for(patience).has_value(), "a tick");
  thread.join();
  std::puts("6 children");
}

// --- ends of threads -----------------------------------------------------------------------------

/// Threads end while fibers of theirs wait: those are unwound first, whatever kernel thread the
/// thread runs on at its end. Those of the main thread end with the process.
void ends() {
  constexpr int rounds = 60;
  constexpr int fibers = 3;
  std::atomic<int> unwound{0};
  struct at_end {
    std::atomic<int>& count;
    ~at_end() { ++count; }
  };
  for (int round = 0; round < rounds; ++round) {
    auto work = [&] {
      for (int i = 0; i < fibers; ++i) {
        coir::spawn([&] {
          const at_end counts{unwound};
          coir::event never;
          never.wait();
        });
      }
      coir::sleep(1ms);
    };
    std::thread one(work), other(work);
    one.join();
    other.join();
  }
  check(unwound == 2 * rounds * fibers, "fibers of a thread that ended were not unwound");
  struct at_exit {
    ~at_exit() { std::puts("a fiber of the main thread was unwound"); }
  };
  coir::spawn([] {
    const at_exit tells;
    coir::event never;
    never.wait();
  });
  coir::sleep(1ms);
  std::printf("unwound %d\n", unwound.load());
}

// --- files, overflow, deadlock, backend ----------------------------------------------------------

/// libc's calls on files, made by fibers of workers.
void files() {
  std::vector<std::thread> threads;
  for (int t = 0; t < 2; ++t) {
    threads.emplace_back([] {
      std::FILE* const file = std::tmpfile();
      check(file != nullptr, "tmpfile");
      const int fd = fileno(file);
      coir::spawn([fd] {
        const std::string text(256 * 1024, 'x');
        std::string back(text.size(), ' ');
        for (int i = 0; i < 4; ++i) {
          const auto size = static_cast<ssize_t>(text.size());
          check(::pwrite(fd, text.data(), text.size(), 0) == size, "pwrite");
          check(::fsync(fd) == 0, "fsync");
          check(::pread(fd, back.data(), back.size(), 0) == size, "pread");
          check(text == back, "what was read");
        }
      }).get();
      std::fclose(file);
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::puts("files");
}

/// Recursive, to overflow its stack.
int use_up_stack(int depth) {
  volatile char room[4096];
  room[0] = static_cast<char>(depth);
  return depth == INT_MAX ? 0 : use_up_stack(depth + 1) + room[0];
}

void overflow() {
  std::thread([] { coir::spawn([] { std::printf("%d\n", use_up_stack(0)); }).join(); }).join();
}

/// The main thread, which was a worker before there were threads.
void main_overflow() {
  coir::sleep(1ms);
  std::thread([] { coir::sleep(1ms); }).join();
  coir::spawn([] { std::printf("%d\n", use_up_stack(0)); }).join();
}

/// Of all threads only the main one is left, and those for blocking work; nothing can wake it.
void deadlock() {
  std::thread([] { coir::offload([] {}); }).join();
  coir::event never;
  try {
    never.wait();
  } catch (const coir::deadlock&) {
    std::puts("deadlock");
  }
}

void backend() {
  std::string of_thread;
  std::thread([&] { of_thread = coir::backend(); }).join();
  std::printf("%s %s\n", coir::backend(), of_thread.c_str());
}

}  // namespace

int main(int argc, char** argv) {
  const struct {
    const char* name;
    void (*run)();
  } parts[] = {{"talk", talk},         {"idle", idle},
               {"mixed", mixed},       {"crew", crew},
               {"signals", signals},   {"forks", forks},
               {"ends", ends},         {"files", files},
               {"overflow", overflow}, {"main_overflow", main_overflow},
               {"deadlock", deadlock}, {"backend", backend}};
  for (const auto& part : parts) {
    if (argc == 2 && std::strcmp(argv[1], part.name) == 0) {
      part.run();
      return EXIT_SUCCESS;
    }
  }
  std::fprintf(stderr, "usage: workers_program PART\n");
  return EXIT_FAILURE;
}
