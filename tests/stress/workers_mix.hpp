/// The random operations on a set of workers, beside those of mix.hpp: spawns of all kinds, kills,
/// deadlines, channels that are closed, selects and pools.
#pragma once

#include <coir/workers.hpp>

#include "tests/stress/mix.hpp"

#include <atomic>
#include <vector>

namespace coir::test {

/// What the fibers of a set share, besides a world.
struct workers_world : world {
  explicit workers_world(std::size_t count) : set(count), places(set, 5) {}

  std::atomic<long> spawned{0};
  std::atomic<long> alive{0};  ///< functions and arguments of fibers that are not destroyed yet
  std::atomic<long> sent{0};   ///< over `shared`
  std::atomic<long> received{0};
  std::atomic<long> limits{0};  ///< deadlines that have come
  channel<int> shared{2};
  channel<int> straight{0};
  workers set;
  pool places;  ///< on the set
};

/// What keeps fibers going, in a row, and how they act.
struct workers_mix {
  workers_world& w;
  void (*act)(world&, dice&);  ///< act or act_inside

  /// Acts until the world is over.
  void live(dice d) const;
  /// One random operation, of the world or of the set's own.
  void act_once(dice& d, int depth) const;
  /// Makes a fiber somewhere that does `f`: on any worker, on a certain one, on the caller's.
  template <class Function>
  auto spawn_somewhere(dice& d, Function f) const;

 private:
  void spawn_and_leave(dice& d, int depth) const;
  void spawn_and_join(dice& d, int depth) const;
  void use_channel(dice& d) const;
  void close_channel(dice& d) const;
  void select_one(dice& d) const;
  void use_pool(dice& d) const;
};

/// One that counts as long as it lives, wherever it is moved.
class counted {
 public:
  explicit counted(workers_world& w) : w_(&w) { ++w_->alive; }
  counted(const counted& other) : w_(other.w_) { ++w_->alive; }
  counted& operator=(const counted&) = delete;
  ~counted() { --w_->alive; }

 private:
  workers_world* w_;
};

template <class Function>
auto workers_mix::spawn_somewhere(dice& d, Function f) const {
  ++w.spawned;
  auto marked = [f = std::move(f), mark = counted(w)]() mutable { return f(); };
  switch (d.roll(4)) {
    case 0:
      return spawn(std::move(marked));
    case 1:
      return w.set.spawn_on(static_cast<std::size_t>(d.roll(static_cast<int>(w.set.size()))),
                            std::move(marked));
    default:
      return w.set.spawn(std::move(marked));
  }
}

/// Expects that nothing is lost, left over or held, once all fibers have ended.
void expect_balance(workers_world& w);

}  // namespace coir::test
