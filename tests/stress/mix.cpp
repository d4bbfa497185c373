#include "tests/stress/mix.hpp"

#include "runtime/io/io.hpp"

#include <memory>
#include <mutex>

namespace coir::test {
namespace {

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

}  // namespace

void act(world& w, dice& d) {
  switch (d.roll(16)) {
    case 0:
      ++w.actions;
      return use_sockets(d);
    case 1:
      ++w.actions;
      if (d.roll(10) == 0) offload([] {});
      return;
    default:
      return act_inside(w, d);
  }
}

void act_inside(world& w, dice& d) {
  ++w.actions;
  switch (d.roll(14)) {
    case 0:
      return use_children(w, d);
    case 1:
      return sleep(d.short_time());
    case 2:
      return yield();
    case 3:
    case 4:
      return use_event(w, d);
    case 5:
    case 6:
      return use_semaphore(w, d);
    case 7:
    case 8:
    case 9:
      return use_mutex(w, d);
    default:
      return use_queues(w, d);
  }
}

void expect_balance(world& w) {
  long left = 0;
  for (queue<int>* q : {&w.bounded, &w.rendezvous, &w.unbounded}) {
    while (q->try_get()) ++left;
  }
  EXPECT_EQ(w.put, w.got + left);
  EXPECT_TRUE(w.lock.try_lock());
  EXPECT_EQ(w.guarded, w.locked);
  w.lock.unlock();
  EXPECT_EQ(w.units.available(), 3);
  EXPECT_LE(w.holding_max, 3);
}

}  // namespace coir::test
