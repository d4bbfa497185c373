/// Operations that fork. The child makes threads of its own and ends.
#include "board.hpp"
#include "operations.hpp"
#include "times.hpp"

#include <cerrno>

#include <fcntl.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

namespace stress {
namespace {

/// Two threads of the child add up under a lock, and pass a byte to each other.
int live_in_the_child(int rounds) {
  struct {
    pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
    int turn = 0;
    int sum = 0;
  } shared;
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return 201;
  std::vector<started> threads;
  for (int own = 0; own < 2; ++own)
    threads.push_back(start(making::ordinary, "in a child", own, [&shared, &ends, own, rounds] {
      for (int i = 0; i < rounds; ++i) {
        ::pthread_mutex_lock(&shared.lock);
        while (shared.turn != own) ::pthread_cond_wait(&shared.changed, &shared.lock);
        shared.turn = 1 - own;
        ++shared.sum;
        ::pthread_cond_signal(&shared.changed);
        ::pthread_mutex_unlock(&shared.lock);
        char byte = static_cast<char>(i);
        if (own == 0) {
          STRESS_CHECK(::write(ends[1], &byte, 1) == 1);
        } else {
          STRESS_CHECK(::read(ends[0], &byte, 1) == 1 && byte == static_cast<char>(i));
        }
        if (i % 4 == 0) nap(10'000);
      }
    }));
  for (started& one : threads) finish_well(one);
  return shared.sum;
}

void fork_and_wait(worker& me) {
  const int rounds = me.random.between(1, 20);
  const bool makes_threads = !me.random.one_in(4);
  const bool asks_repeatedly = me.random.one_in(2);
  doing("forks");
  const pid_t child = ::fork();
  STRESS_CHECK(child >= 0);
  if (child == 0) {
    leave_board();
    ::_exit(makes_threads ? live_in_the_child(rounds) : 2 * rounds);
  }
  doing("waits for child", static_cast<std::uint64_t>(child));
  int status = 0;
  for (;;) {
    const pid_t ended = ::waitpid(child, &status, asks_repeatedly ? WNOHANG : 0);
    if (ended == child) break;
    STRESS_CHECK(ended == 0 && asks_repeatedly);
    nap(200'000);
  }
  STRESS_CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 2 * rounds);
}

constexpr operation all[] = {{"fork", 1, fork_and_wait}};

}  // namespace

std::span<const operation> process_operations() { return all; }

}  // namespace stress
