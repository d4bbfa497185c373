#include "tests/stress/workers_mix.hpp"

#include <coir/select.hpp>

#include <memory>

namespace coir::test {
namespace {

// How deep operations that consist of others go
constexpr int depth_max = 3;
// Fibers that nobody waits for, at a time
constexpr long alive_max = 500;

}  // namespace

void workers_mix::live(dice d) const {
  while (!w.is_over) act_once(d, 0);
}

void workers_mix::act_once(dice& d, int depth) const {
  const int kind = d.roll(12);
  if (depth >= depth_max || kind > 6) return act(w, d);
  ++w.actions;
  switch (kind) {
    case 0:
      return spawn_and_leave(d, depth);
    case 1:
      return spawn_and_join(d, depth);
    case 2:
      return use_channel(d);
    case 3:
      return close_channel(d);
    case 4:
      return select_one(d);
    case 5:
      return use_pool(d);
    default:
      if (!move_on_after(d.short_time(), [&] { act_once(d, depth + 1); })) ++w.limits;
  }
}

void workers_mix::spawn_and_leave(dice& d, int depth) const {
  if (w.alive > alive_max) return yield();
  auto left = spawn_somewhere(d, [self = *this, seed = d.fork(), depth] {
    dice own(seed);
    self.act_once(own, depth + 1);
  });
  if (d.roll(3)) return;
  left.kill(false);
  ++w.kills;
}

void workers_mix::spawn_and_join(dice& d, int depth) const {
  std::vector<fiber<int>> children;
  for (int i = d.roll(6); i >= 0; --i) {
    children.push_back(spawn_somewhere(d, [self = *this, seed = d.fork(), depth, i] {
      dice own(seed);
      self.act_once(own, depth + 1);
      return i;
    }));
  }
  std::vector<bool> is_killed;
  for (const auto& child : children) {
    is_killed.push_back(d.roll(3) == 0);
    if (!is_killed.back()) continue;
    child.kill(d.roll(2));
    ++w.kills;
  }
  if (d.roll(2)) (void)joinall(children, d.short_time());
  for (std::size_t n = 0; n < children.size(); ++n) {
    children[n].join();
    EXPECT_TRUE(children[n].successful());
    if (!is_killed[n] && !w.is_over && !d.roll(2)) {
      try {
        EXPECT_EQ(children[n].get(), static_cast<int>(children.size() - n) - 1);
      } catch (const fiber_exit&) {
        // Somebody has killed all of the set; the caller, if it is of the set, too
        yield();
      }
    }
  }
}

void workers_mix::use_channel(dice& d) const {
  channel<int>& c = d.roll(2) ? w.shared : w.straight;
  switch (d.roll(4)) {
    case 0:
      w.sent += c.send_for(1, d.short_time());
      break;
    case 1:
      w.received += c.recv_for(d.short_time()).has_value();
      break;
    case 2:
      w.sent += c.try_send(1);
      break;
    default:
      w.received += c.try_recv().has_value();
      break;
  }
}

/// A channel of its own, with senders and receivers anywhere, closed while they are at it.
void workers_mix::close_channel(dice& d) const {
  struct books {
    explicit books(std::size_t capacity) : items(capacity) {}
    channel<int> items;
    std::atomic<long> sent{0};
    std::atomic<long> received{0};
  };
  auto own = std::make_shared<books>(static_cast<std::size_t>(d.roll(3)));
  struct closing {
    channel<int>& what;
    ~closing() {
      if (!what.is_closed()) what.close();
    }
  };
  const closing also_when_killed{own->items};
  std::vector<fiber<>> fibers;
  for (int i = d.roll(3); i >= 0; --i) {
    fibers.push_back(spawn_somewhere(d, [own, seed = d.fork()] {
      dice dice_of_sender(seed);
      try {
        for (int n = dice_of_sender.roll(20); n >= 0; --n) {
          own->items.send(n);
          ++own->sent;
        }
      } catch (const channel_closed&) {
      }
    }));
    fibers.push_back(spawn_somewhere(d, [own] {
      while (own->items.recv()) ++own->received;
    }));
  }
  sleep(d.short_time());
  own->items.close();
  joinall(fibers);
  while (own->items.try_recv()) ++own->received;  // all receivers may have been killed
  EXPECT_EQ(own->sent, own->received);
}

void workers_mix::select_one(dice& d) const {
  select(on_recv(w.shared, [this](std::optional<int> item) { w.received += item.has_value(); }),
         on_recv(w.straight, [this](std::optional<int> item) { w.received += item.has_value(); }),
         on_send(d.roll(2) ? &w.straight : nullptr, 1, [this] { ++w.sent; }),
         on_get(w.rendezvous, [this](int) { ++w.got; }),
         on_put(d.roll(2) ? &w.bounded : nullptr, 1, [this] { ++w.put; }),
         on_set(w.flag, [this] { w.flag.clear(); }), after(d.short_time()));
}

void workers_mix::use_pool(dice& d) const {
  ++w.spawned;
  auto member = [self = *this, seed = d.fork(), mark = counted(w)] {
    dice own(seed);
    self.act_once(own, depth_max);  // which spawn into no pool
  };
  if (d.roll(2)) {
    if (auto f = w.places.try_spawn(member); f && d.roll(3) == 0) f->kill(false);
    return;
  }
  try {
    fiber<> f = w.places.spawn_for(d.short_time(), member);
    if (d.roll(2)) f.join();
  } catch (const pool_full&) {
  }
}

void expect_balance(workers_world& w) {
  expect_balance(static_cast<world&>(w));
  long left = 0;
  for (channel<int>* c : {&w.shared, &w.straight}) {
    while (c->try_recv()) ++left;
  }
  EXPECT_EQ(w.sent, w.received + left);
  EXPECT_EQ(w.alive, 0);
  EXPECT_EQ(w.places.free_count(), 5u);
  EXPECT_TRUE(w.places.empty());
}

}  // namespace coir::test
