// Everything at once: fibers on three workers put, get, lock, sleep, time out, talk over sockets
// that others close, and are killed at any moment. Afterwards nothing may be lost, left over or
// held.
#include "runtime/io/io.hpp"
#include "tests/stress/stress.hpp"

#include <array>
#include <atomic>
#include <memory>
#include <thread>

namespace coir::test {
namespace {

using mix_test = runtime_test;

/// What all fibers of all workers share, and the books that must balance in the end.
struct world {
  queue<int> bounded{4};
  queue<int> rendezvous{0};
  queue<int> unbounded;
  mutex lock;
  long guarded = 0;  // guarded by lock
  condition_variable changed;
  counting_semaphore units{3};
  event flag;
  std::atomic<long> put{0};
  std::atomic<long> got{0};
  std::atomic<long> locked{0};
  std::atomic<int> holding{0};
  std::atomic<int> holding_max{0};
  std::atomic<long> actions{0};
  std::atomic<long> kills{0};
  std::atomic<bool> is_over{false};
};

void use_queues(world& w, dice& d) {
  queue<int>& q = d.roll(3) == 0 ? w.rendezvous : d.roll(2) ? w.bounded : w.unbounded;
  switch (d.roll(4)) {
    case 0:
      w.put += q.put_for(1, d.short_time());
      break;
    case 1:
      w.got += q.get_for(d.short_time()).has_value();
      break;
    case 2:
      w.put += q.try_put(1);
      break;
    default:
      w.got += q.try_get().has_value();
      break;
  }
}

void use_mutex(world& w, dice& d) {
  std::unique_lock lock(w.lock, std::defer_lock);
  if (d.roll(2)) {
    lock.lock();
  } else if (!lock.try_lock_for(d.short_time())) {
    return;
  }
  ++w.locked;
  const long before = ++w.guarded;
  if (d.roll(4) == 0) yield();
  if (w.guarded != before) ADD_FAILURE() << "two fibers hold the mutex";
  if (d.roll(4) == 0) w.changed.wait_for(lock, d.short_time());
  if (d.roll(2)) w.changed.notify_one();
}

/// Gives the unit back however the scope ends.
struct unit {
  explicit unit(world& w) : w_(w) {
    const int now = ++w.holding;
    for (int seen = w.holding_max; seen < now && !w.holding_max.compare_exchange_weak(seen, now);) {
    }
  }
  ~unit() {
    --w_.holding;
    w_.units.release();
  }
  world& w_;
};

void use_semaphore(world& w, dice& d) {
  if (!w.units.try_acquire_for(d.short_time())) return;
  unit held(w);
  if (d.roll(2)) sleep(d.short_time(50));
}

void use_event(world& w, dice& d) {
  switch (d.roll(3)) {
    case 0:
      w.flag.set();
      break;
    case 1:
      w.flag.clear();
      break;
    default:
      w.flag.wait_for(d.short_time());
  }
}

void use_children(world& w, dice& d) {
  std::vector<fiber<int>> children;
  for (int i = d.roll(5); i >= 0; --i) {
    children.push_back(spawn([seed = d.fork()] {
      dice own(seed);
      own.roll(2) ? yield() : sleep(own.short_time());
      return 1;
    }));
  }
  for (const auto& child : children) {
    if (d.roll(3)) continue;
    child.kill(d.roll(2));
    ++w.kills;
  }
  joinall(children, d.short_time());
}

/// A conversation of two fibers over a pair of sockets that a third closes or shuts down at some
/// time.
void use_sockets(dice& d) {
  auto pair = std::make_shared<socket_ends>(d.roll(2) ? make_socket_pair() : make_tcp_pair());
  auto talk = [pair](int fd, std::uint32_t seed) {
    dice own(seed);
    char data[256];
    for (int i = 0; i < 20; ++i) {
      const io::wait_mode mode{detail::deadline_after(own.short_time(1000))};
      const ssize_t result = own.roll(2) ? io::recv(fd, data, sizeof data, 0, mode)
                                         : io::send(fd, data, sizeof data, MSG_NOSIGNAL, mode);
      passed(result);
      if (result < 0 && result != -ETIMEDOUT) break;
    }
  };
  std::vector<fiber<>> talkers{spawn(talk, pair->one.get(), d.fork()),
                               spawn(talk, pair->one.get(), d.fork()),
                               spawn(talk, pair->other.get(), d.fork())};
  sleep(d.short_time(500));
  switch (d.roll(4)) {
    case 0:
      io::close(pair->one.release());
      break;
    case 1:
      ::shutdown(pair->other.get(), SHUT_RDWR);
      break;
    case 2:
      talkers[0].kill(false);
      break;
    default:
      break;
  }
  for (const auto& talker : talkers) talker.join();
}

void act(world& w, dice& d) {
  ++w.actions;
  switch (d.roll(16)) {
    case 0:
      return use_sockets(d);
    case 1:
      return use_children(w, d);
    case 2:
      return sleep(d.short_time());
    case 3:
      return yield();
    case 4:
      if (d.roll(10) == 0) offload([] {});
      return;
    case 5:
    case 6:
      return use_event(w, d);
    case 7:
    case 8:
      return use_semaphore(w, d);
    case 9:
    case 10:
    case 11:
      return use_mutex(w, d);
    default:
      return use_queues(w, d);
  }
}

/// One worker: keeps some fibers acting and kills now and then one, waited for or not.
void run_worker(world& w, std::uint32_t seed) {
  dice d(seed);
  std::array<fiber<>, 12> actors;
  auto live = [&w](std::uint32_t own_seed) {
    dice own(own_seed);
    while (!w.is_over) act(w, own);
  };
  for (auto& actor : actors) actor = spawn(live, d.fork());
  while (!w.is_over) {
    sleep(d.short_time(2000));
    fiber<>& victim = actors[static_cast<std::size_t>(d.roll(static_cast<int>(actors.size())))];
    victim.kill(d.roll(2));
    ++w.kills;
    victim.join();
    EXPECT_TRUE(victim.successful());
    victim = spawn(live, d.fork());
  }
  EXPECT_EQ(joinall(actors, 20s), actors.size()) << "a fiber hangs";
}

TEST_F(mix_test, nothing_is_lost_or_held_after_random_use_with_kills_and_timeouts) {
  dice d(stress_seed());
  auto w = std::make_unique<world>();
  std::vector<std::thread> threads;
  for (int i = 0; i < 2; ++i) threads.emplace_back([&w, seed = d.fork()] { run_worker(*w, seed); });
  fiber<> timekeeper = spawn([&] {
    sleep(stress_length());
    w->is_over = true;
  });
  run_worker(*w, d.fork());
  timekeeper.join();
  for (auto& t : threads) t.join();

  long left = 0;
  for (queue<int>* q : {&w->bounded, &w->rendezvous, &w->unbounded}) {
    while (q->try_get()) ++left;
  }
  EXPECT_EQ(w->put, w->got + left);
  EXPECT_TRUE(w->lock.try_lock());
  EXPECT_EQ(w->guarded, w->locked);
  w->lock.unlock();
  EXPECT_EQ(w->units.available(), 3);
  EXPECT_LE(w->holding_max, 3);
  EXPECT_GT(w->actions, 100);
  std::printf("%ld actions, %ld kills\n", w->actions.load(), w->kills.load());
}

}  // namespace
}  // namespace coir::test
