// C++ and the end of threads: destructors at pthread_exit and cancel, thread_local, exceptions,
// std::call_once, std::thread and its friends.
#include "check.h"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <future>
#include <mutex>
#include <semaphore>
#include <shared_mutex>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

using namespace std::chrono_literals;

static std::atomic<int> destroyed, order_next;
static int order_of_local, order_of_key;

struct counted {
  ~counted() { destroyed++; }
};

static void* cancelled_with_objects(void*) {
  counted first;
  std::string text(1000, 'x');
  {
    counted second;
    sleep(60);
  }
  return nullptr;
}
PROMISE(cancel_destroys, "Destructors of automatic objects run when a thread is cancelled") {
  pthread_t thread = start(cancelled_with_objects, nullptr);
  settle();
  pthread_cancel(thread);
  CHECK(join(thread) == PTHREAD_CANCELED);
  CHECK(destroyed == 2);
}

static void* exits_with_objects(void* argument) {
  counted first;
  [] {
    counted second;
    pthread_exit((void*)3);
  }();
  return argument;
}
PROMISE(exit_destroys, "Destructors of automatic objects run at pthread_exit") {
  CHECK(join_int(start(exits_with_objects, nullptr)) == 3);
  CHECK(destroyed == 2);
}

static void* catches_everything(void* argument) {
  try {
    counted object;
    sleep(60);
  } catch (...) {
    destroyed += 10;
    throw;  // a cancellation must be passed on
  }
  return argument;
}
PROMISE(cancel_through_catch, "A cancellation passes through catch (...) that throws it on") {
  pthread_t thread = start(catches_everything, nullptr);
  settle();
  pthread_cancel(thread);
  CHECK(join(thread) == PTHREAD_CANCELED);
  CHECK(destroyed == 11);
}

static pthread_key_t key;
static void note_key(void*) { order_of_key = ++order_next; }
struct ordered {
  int value = 0;
  ~ordered() { order_of_local = ++order_next; }
};
static thread_local ordered local;
static void* use_local_and_key(void* argument) {
  local.value = 1;
  pthread_setspecific(key, (void*)1);
  return argument;
}
PROMISE(locals_before_keys, "thread_local objects are destroyed before the values of keys") {
  CHECK(pthread_key_create(&key, note_key) == 0);
  join(start(use_local_and_key, nullptr));
  CHECK(order_of_local == 1 && order_of_key == 2);
}

static thread_local int plain_local = 5;
static thread_local std::string lazy_local = "begin";
PROMISE(locals_are_separate, "Every thread has its own thread_local objects, fresh at its start") {
  for (int round = 0; round < 3; round++) {
    std::vector<std::thread> threads;
    for (int i = 0; i < 20; i++) {
      threads.emplace_back([i] {
        CHECK(plain_local == 5 && lazy_local == "begin");
        plain_local = i;
        lazy_local += std::to_string(i);
        std::this_thread::sleep_for(2ms);
        CHECK(plain_local == i);
        CHECK(lazy_local == "begin" + std::to_string(i));
      });
    }
    for (auto& thread : threads) thread.join();
  }
  CHECK(plain_local == 5 && lazy_local == "begin");
}

PROMISE(exceptions_over_waits,
        "Exceptions in flight belong to their thread and survive its waits") {
  std::vector<std::thread> threads;
  std::atomic<int> right = 0;
  for (int i = 0; i < 20; i++) {
    threads.emplace_back([i, &right] {
      for (int round = 0; round < 10; round++) {
        try {
          try {
            throw std::runtime_error(std::to_string(i * 100 + round));
          } catch (std::exception&) {
            std::this_thread::sleep_for(100us);
            std::this_thread::yield();
            throw;
          }
        } catch (std::exception& error) {
          std::this_thread::sleep_for(100us);
          right += error.what() == std::to_string(i * 100 + round);
        }
        CHECK(std::uncaught_exceptions() == 0);
      }
    });
  }
  for (auto& thread : threads) thread.join();
  CHECK(right == 200);
}

static void waiter_of_unwinding(std::atomic<int>& seen) {
  struct waits {
    std::atomic<int>& seen;
    ~waits() {
      std::this_thread::sleep_for(1ms);
      seen += std::uncaught_exceptions() == 1;
    }
  };
  try {
    waits object{seen};
    throw 1;
  } catch (int) {
  }
}
PROMISE(waits_in_destructors,
        "A destructor may wait while an exception unwinds in several threads") {
  std::atomic<int> seen = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 10; i++) threads.emplace_back(waiter_of_unwinding, std::ref(seen));
  for (auto& thread : threads) thread.join();
  CHECK(seen == 10);
}

PROMISE(once_with_exception, "std::call_once tries again after its function threw") {
  std::once_flag flag;
  std::atomic<int> tries = 0, failures = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 10; i++) {
    threads.emplace_back([&] {
      try {
        std::call_once(flag, [&] {
          if (++tries < 3) throw std::runtime_error("not yet");
        });
      } catch (std::runtime_error&) {
        failures++;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  CHECK(tries == 3 && failures == 2);
}

static int& slow_static() {
  static int value = [] {
    std::this_thread::sleep_for(5ms);
    return ++destroyed;
  }();
  return value;
}
PROMISE(local_statics, "A local static is initialised once while twenty threads come to it") {
  std::vector<std::thread> threads;
  for (int i = 0; i < 20; i++) threads.emplace_back([] { CHECK(slow_static() == 1); });
  for (auto& thread : threads) thread.join();
  CHECK(destroyed == 1);
}

PROMISE(futures, "Promises, futures, packaged tasks and async give values and exceptions") {
  std::promise<int> promise;
  auto future = promise.get_future();
  CHECK(future.wait_for(1ms) == std::future_status::timeout);
  std::thread giver([&] { promise.set_value(7); });
  CHECK(future.get() == 7);
  giver.join();
  auto thrower = std::async(std::launch::async, []() -> int { throw std::string("no"); });
  bool was_thrown = false;
  try {
    thrower.get();
  } catch (std::string& text) {
    was_thrown = text == "no";
  }
  CHECK(was_thrown);
  std::promise<void> at_exit;
  auto ended = at_exit.get_future();
  std::thread([&] { at_exit.set_value_at_thread_exit(); }).detach();
  CHECK(ended.wait_for(20s) == std::future_status::ready);
}

PROMISE(stop_tokens, "std::jthread is stopped while it waits on a condition_variable_any") {
  std::mutex mutex;
  std::condition_variable_any condition;
  bool was_stopped = false;
  {
    std::jthread thread([&](std::stop_token token) {
      std::unique_lock lock(mutex);
      was_stopped = !condition.wait(lock, token, [] { return false; });
    });
    settle();
  }
  CHECK(was_stopped);
}

PROMISE(atomic_wait, "std::atomic wait and notify, latches and semaphores meet between threads") {
  std::atomic<int> number = 0;
  std::counting_semaphore<100> permits(0);
  std::thread waiter([&] {
    for (int i = 0; i < 100; i++) {
      number.wait(i);
      permits.release();
    }
  });
  for (int i = 0; i < 100; i++) {
    number++;
    number.notify_all();
    permits.acquire();
  }
  waiter.join();
  CHECK(!permits.try_acquire_for(1ms));
}

PROMISE(timed_mutexes,
        "Timed and shared mutexes of the standard library time out and are handed on") {
  std::timed_mutex timed;
  std::shared_timed_mutex shared;
  timed.lock();
  shared.lock_shared();
  std::thread other([&] {
    CHECK(!timed.try_lock_for(5ms));
    CHECK(!shared.try_lock_for(5ms));
    CHECK(shared.try_lock_shared_for(5s));
    shared.unlock_shared();
    CHECK(timed.try_lock_until(std::chrono::steady_clock::now() + 20s));
    timed.unlock();
  });
  sleep_ms(20);
  timed.unlock();
  other.join();
  shared.unlock_shared();
}

PROMISE_ENDING(uncaught, -SIGABRT,
               "An exception that leaves a thread ends the process by SIGABRT") {
  std::set_terminate([] {
    puts("terminate was called");
    fflush(stdout);
    abort();
  });
  std::thread([] { throw 1; }).join();
}

PROMISE_ENDING(unjoined, -SIGABRT, "Destroying a joinable std::thread calls terminate") {
  std::set_terminate([] {
    puts("terminate was called");
    fflush(stdout);
    abort();
  });
  std::thread thread([] { sleep(60); });
}
