/// An owner that pushes into a deque and takes out of it, and thieves. The first ring has two
/// places, so a third entry makes it grow, or use a place anew.
#pragma once

#include "tests/runtime/model/inbox_program.hpp"

namespace coir::model {

template <class Kit>
class deque_program {
 public:
  struct parameters {
    memory model = memory::sequential;
    bool follows_orders = true;
    /// What the owner does: '+' push, '-' pop, 's' take the oldest. Then it takes all that is left.
    const char* script = "";
    int thieves = 1;
    int steals = 1;  ///< of each thief
    int excuses = 0;
    int threads = 1 + thieves;
  };
  static constexpr const char* names[] = {"top", "bottom", "ring"};

  explicit deque_program(const parameters& with) : with_(with) {}

  const char* name_of(int thread) const {
    static constexpr const char* all[] = {"owner", "thief 1", "thief 2", "thief 3"};
    return all[thread];
  }

  void run(int thread) {
    if (thread == 0) return own();
    for (int i = 0; i < with_.steals; ++i) accept(thread, deque_.steal());
  }

  bool is_done(const machine& m) const { return m.is_over(); }

  const char* fault_at_end() const {
    for (int i = 0; i < pushed_; ++i) {
      if (times_taken(i) == 0) return "what was pushed is taken by nobody";
    }
    return deque_.empty() ? nullptr : "there is something left in an empty deque";
  }

 private:
  static constexpr int entries_max = 6;

  void own() {
    for (const char* step = with_.script; *step; ++step) {
      if (*step == '+') push();
      if (*step == '-') accept(0, deque_.pop());
      if (*step == 's') accept(0, deque_.steal());
    }
    while (coir::detail::remote_call* const call = deque_.pop()) accept(0, call);
  }

  void push() {
    marked_call& call = calls_[pushed_];
    call.content.write(++pushed_);
    require(deque_.push(call), "there is no memory");
  }

  void accept(int thread, coir::detail::remote_call* call) {
    if (!call) return;
    for (int i = 0; i < entries_max; ++i) {
      if (&calls_[i] != call) continue;
      taken_[thread][i] = true;
      require(times_taken(i) == 1, "an entry is taken twice");
      require(thread == 0 || i >= oldest_[thread], "a thief takes a younger entry first");
      oldest_[thread] = i;
      require(calls_[i].content.read() == i + 1, "an entry is taken before it is written");
      return;
    }
    machine::current()->fail("what is taken is no entry");
  }

  int times_taken(int entry) const {
    int times = 0;
    for (const auto& own : taken_) times += own[entry];
    return times;
  }

  const parameters with_;
  typename Kit::deque deque_;
  marked_call calls_[entries_max];
  int pushed_ = 0;  ///< the owner's
  bool taken_[threads_max][entries_max] = {};
  int oldest_[threads_max] = {};
};

}  // namespace coir::model
