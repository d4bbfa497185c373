/// Operations on what all workers share, and on a worker's own time.
#include "board.hpp"
#include "operations.hpp"
#include "times.hpp"

#include <cerrno>
#include <stdexcept>

#include <sched.h>

namespace stress {
namespace {

/// Something that takes a little while, with the lock held or not.
void dawdle(worker& me) {
  switch (me.random.below(12)) {
    case 0:
      ::sched_yield();
      break;
    case 1:
      nap(me.random.between(1, 300'000));
      break;
    case 2:
      compute(me.random.between(1, 50'000));
      break;
    default:
      break;
  }
}

void change(worker& me, guarded& thing) {
  STRESS_CHECK(thing.first == thing.second);
  const std::uint64_t before = thing.first;
  thing.first = before + 1;
  dawdle(me);
  STRESS_CHECK(thing.first == before + 1 && thing.second == before);
  thing.second = before + 1;
  thing.entries.fetch_add(1);
}

guarded& some_lock(worker& me) {
  return *me.shared.locks[static_cast<std::size_t>(
      me.random.below(static_cast<int>(me.shared.locks.size())))];
}
guarded_by_readers& some_table(worker& me) {
  return *me.shared.tables[static_cast<std::size_t>(
      me.random.below(static_cast<int>(me.shared.tables.size())))];
}

void take_lock(worker& me) {
  guarded& thing = some_lock(me);
  doing("locks, type", static_cast<std::uint64_t>(thing.type));
  STRESS_CHECK(::pthread_mutex_lock(&thing.lock) == 0);
  doing("holds a lock");
  if (thing.type == PTHREAD_MUTEX_RECURSIVE) {
    STRESS_CHECK(::pthread_mutex_lock(&thing.lock) == 0);
    change(me, thing);
    STRESS_CHECK(::pthread_mutex_unlock(&thing.lock) == 0);
  } else if (thing.type == PTHREAD_MUTEX_ERRORCHECK) {
    STRESS_CHECK(::pthread_mutex_lock(&thing.lock) == EDEADLK);
    change(me, thing);
  } else {
    STRESS_CHECK(::pthread_mutex_trylock(&thing.lock) == EBUSY);
    change(me, thing);
  }
  STRESS_CHECK(::pthread_mutex_unlock(&thing.lock) == 0);
  if (thing.type == PTHREAD_MUTEX_ERRORCHECK)
    STRESS_CHECK(::pthread_mutex_unlock(&thing.lock) == EPERM);
}

void take_lock_in_time(worker& me) {
  guarded& thing = some_lock(me);
  doing("locks in time, type", static_cast<std::uint64_t>(thing.type));
  const bool is_monotonic = me.random.one_in(2);
  const clockid_t clock = is_monotonic ? CLOCK_MONOTONIC : CLOCK_REALTIME;
  const timespec until = time_in(clock, me.random.between(0, 2'000'000));
  const int error = is_monotonic ? ::pthread_mutex_clocklock(&thing.lock, clock, &until)
                                 : ::pthread_mutex_timedlock(&thing.lock, &until);
  if (error == ETIMEDOUT) {
    STRESS_CHECK(is_past(clock, until));
    return;
  }
  STRESS_CHECK(error == 0);
  change(me, thing);
  STRESS_CHECK(::pthread_mutex_unlock(&thing.lock) == 0);
}

void look_into_table(worker& me) {
  guarded_by_readers& table = some_table(me);
  doing("locks to read");
  if (me.random.one_in(3)) {
    const timespec until = time_in(CLOCK_REALTIME, me.random.between(0, 2'000'000));
    const int error = ::pthread_rwlock_timedrdlock(&table.lock, &until);
    if (error == ETIMEDOUT) {
      STRESS_CHECK(is_past(CLOCK_REALTIME, until));
      return;
    }
    STRESS_CHECK(error == 0);
  } else {
    STRESS_CHECK(::pthread_rwlock_rdlock(&table.lock) == 0);
  }
  doing("reads");
  table.readers.fetch_add(1);
  const std::uint64_t before = table.first;
  STRESS_CHECK(table.second == before);
  dawdle(me);
  STRESS_CHECK(table.first == before && table.second == before);
  table.readers.fetch_sub(1);
  STRESS_CHECK(::pthread_rwlock_unlock(&table.lock) == 0);
}

void change_table(worker& me) {
  guarded_by_readers& table = some_table(me);
  doing("locks to write");
  if (me.random.one_in(3)) {
    const timespec until = time_in(CLOCK_MONOTONIC, me.random.between(0, 2'000'000));
    const int error = ::pthread_rwlock_clockwrlock(&table.lock, CLOCK_MONOTONIC, &until);
    if (error == ETIMEDOUT) {
      STRESS_CHECK(is_past(CLOCK_MONOTONIC, until));
      return;
    }
    STRESS_CHECK(error == 0);
  } else {
    STRESS_CHECK(::pthread_rwlock_wrlock(&table.lock) == 0);
  }
  doing("writes");
  STRESS_CHECK(table.readers.load() == 0);
  const std::uint64_t before = table.first;
  STRESS_CHECK(table.second == before);
  table.first = before + 1;
  dawdle(me);
  STRESS_CHECK(table.readers.load() == 0 && table.second == before);
  table.second = before + 1;
  table.entries.fetch_add(1);
  STRESS_CHECK(::pthread_rwlock_unlock(&table.lock) == 0);
}

void pass_gate(worker& me) {
  permits& gate = *me.shared.gates[static_cast<std::size_t>(me.random.below(2))];
  doing("waits for a semaphore");
  const int manner = me.random.below(3);
  if (manner == 0) {
    if (::sem_trywait(&gate.free) != 0) {
      STRESS_CHECK(errno == EAGAIN);
      return;
    }
  } else if (manner == 1) {
    const timespec until = time_in(CLOCK_REALTIME, me.random.between(0, 3'000'000));
    if (::sem_timedwait(&gate.free, &until) != 0) {
      STRESS_CHECK(errno == ETIMEDOUT && is_past(CLOCK_REALTIME, until));
      return;
    }
  } else {
    while (::sem_wait(&gate.free) != 0) STRESS_CHECK(errno == EINTR);
  }
  doing("holds a semaphore");
  STRESS_CHECK(gate.inside.fetch_add(1) < gate.count);
  dawdle(me);
  gate.inside.fetch_sub(1);
  STRESS_CHECK(::sem_post(&gate.free) == 0);
}

void ask_somebody(worker& me) {
  doing("waits for its turn to ask");
  const int count = static_cast<int>(me.shared.answerers.size());
  me.shared.answerers[static_cast<std::size_t>(me.random.below(count))]->ask(
      static_cast<std::uint64_t>(me.random.between(1, 1'000'000)));
}

void fill_queue(worker& me) {
  doing("puts into a queue");
  bounded_queue& queue = *me.shared.queues[static_cast<std::size_t>(me.random.below(2))];
  for (int i = me.random.between(1, 5); i > 0; --i)
    queue.put(static_cast<std::uint64_t>(me.random.between(1, 1000)));
}

void sleep_shortly(worker& me) {
  const std::int64_t ns = me.random.between(1, 3'000'000);
  doing("sleeps, ns", static_cast<std::uint64_t>(ns));
  const std::int64_t start = now_ns();
  nap(ns);
  STRESS_CHECK(now_ns() - start >= ns);
}

void give_way(worker& me) {
  doing("yields");
  for (int i = me.random.between(1, 20); i > 0; --i) STRESS_CHECK(::sched_yield() == 0);
}

void burst(worker& me) {
  const std::int64_t ns =
      me.random.one_in(8) ? me.random.between(1, 20'000'000) : me.random.between(1, 2'000'000);
  doing("computes, ns", static_cast<std::uint64_t>(ns));
  compute(ns);
}

/// errno, and an exception that is in flight while others run.
void keep_thread_locals(worker& me) {
  doing("keeps its thread-locals");
  const int mark = me.random.between(1000, 2000);
  errno = mark;
  ::sched_yield();
  STRESS_CHECK(errno == mark);
  try {
    throw std::runtime_error(std::to_string(mark));
  } catch (const std::runtime_error& error) {
    dawdle(me);
    ::sched_yield();
    try {
      throw;
    } catch (const std::runtime_error& same) {
      STRESS_CHECK(&same == &error && std::stoi(same.what()) == mark);
    }
  }
  STRESS_CHECK(std::uncaught_exceptions() == 0);
}

constexpr operation all[] = {
    {"lock", 12, take_lock},
    {"timed lock", 6, take_lock_in_time},
    {"read lock", 6, look_into_table},
    {"write lock", 4, change_table},
    {"semaphore", 6, pass_gate},
    {"ask", 24, ask_somebody},
    {"queue", 8, fill_queue},
    {"sleep", 4, sleep_shortly},
    {"yield", 6, give_way},
    {"burst", 1, burst},
    {"thread-locals", 4, keep_thread_locals},
};

}  // namespace

std::span<const operation> lock_operations() { return all; }

}  // namespace stress
