/// Members of a crew that begin what is there and sleep when there is nothing, and an outsider who
/// adds work. Inbox, deques, idle set, common queue and the steps of the hand-shake are coir's own;
/// how a member takes from them is that of crew.cpp, without batches and dice.
#pragma once

#include "tests/runtime/model/inbox_program.hpp"

namespace coir::model {

template <class Kit>
class crew_program {
 public:
  struct parameters {
    memory model = memory::sequential;
    bool follows_orders = true;
    int members = 2;
    /// What the outsider does: 'c' adds a call to the common queue, 'p' posts one to member 1.
    const char* script = "c";
    /// How many calls the first one that begins adds to the deque of its member.
    int children = 0;
    int excuses = 0;  ///< waits in the kernel that end without a cause
    int threads = members + 1;
  };
  static constexpr const char* names[] = {
      "common lock", "common length", "idle set", "idle 2",    "idle 3",  "idle 4",    "idle 5",
      "idle 6",      "idle 7",        "idle 8",   "idle 9",    "idle 10", "idle 11",   "idle 12",
      "idle 13",     "idle 14",       "idle 15",  "idle 16",   "inbox 1", "signals 1", "top 1",
      "bottom 1",    "ring 1",        "inbox 2",  "signals 2", "top 2",   "bottom 2",  "ring 2"};

  explicit crew_program(const parameters& with) : with_(with) {}

  const char* name_of(int thread) const {
    static constexpr const char* all[] = {"member 1", "member 2", "member 3"};
    return thread < with_.members ? all[thread] : "outsider";
  }

  void run(int thread) {
    if (thread < with_.members) return serve(thread);
    int next = 0;
    for (const char* step = with_.script; *step; ++step) {
      machine::current()->settle(next, 0);
      marked_call& call = calls_[next++];
      call.content.write(1);
      if (*step == 'c') {
        common_.push(call);
        machine::current()->settle(calls_max + next, 0);
        wake_idle();
      } else if (members_[0].inbox.push(call)) {
        members_[0].signals.fetch_add(1, std::memory_order_release);
      }
    }
  }

  /// The members sleep in the end, for good.
  bool is_done(const machine& m) const {
    int begun = 0;
    for (const member& one : members_) begun += one.begun;
    return begun == calls() && m.has_ended(with_.members);
  }
  const char* fault_at_end() const { return nullptr; }

 private:
  static constexpr int members_max = 3, calls_max = 4;

  struct member {
    typename Kit::inbox inbox;
    atomic<std::uint64_t> signals{0};
    typename Kit::deque deque;
    // The member's own
    std::uint64_t seen = 0;
    std::uint64_t due = 0;
    int begun = 0;
    bool has_begun[calls_max] = {};
  };

  int added() const {
    int count = 0;
    for (const char* step = with_.script; *step; ++step) ++count;
    return count;
  }
  int calls() const { return added() + with_.children; }

  void serve(int self) {
    member& me = members_[self];
    for (;;) {
      machine::current()->settle(0, summary(me));
      for (coir::detail::remote_call *call = me.inbox.take_all(), *after; call; call = after) {
        after = call->next;
        begin(self, *call);
      }
      while (coir::detail::remote_call* const call = take(self)) begin(self, *call);
      machine::current()->settle(1, summary(me));
      bool has_mark = false;
      Kit::sleep_behind(
          me.inbox, me.due,
          [&] {
            has_mark = true;
            machine::current()->settle(2, summary(me));
            return Kit::enter_idle(idle_, static_cast<std::size_t>(self),
                                   [this] { return has_work(); });
          },
          [&](bool may_wait) {
            machine::current()->settle(3 + may_wait + 2 * has_mark, summary(me));
            wait(me, may_wait);
            machine::current()->settle(7 + may_wait + 2 * has_mark, summary(me));
          },
          [&] { idle_.remove(static_cast<std::size_t>(self)); });
    }
  }

  static std::uint64_t summary(const member& me) {
    std::uint64_t all = me.due << 8 | me.seen;
    for (const bool has : me.has_begun) all = all << 1 | has;
    return all;
  }

  coir::detail::remote_call* take(int self) {
    if (with_.children > 0) {
      if (coir::detail::remote_call* const own = members_[self].deque.pop()) return own;
    }
    coir::detail::remote_call* common = nullptr;
    if (!common_.seems_empty() && common_.take(&common, 1, 1) == 1) return common;
    for (int i = 0; with_.children > 0 && i < with_.members; ++i) {
      if (i == self) continue;
      if (coir::detail::remote_call* const work = members_[i].deque.steal()) {
        if (!members_[i].deque.empty()) wake_idle();
        return work;
      }
    }
    return nullptr;
  }

  void begin(int self, coir::detail::remote_call& call) {
    for (int i = 0; i < calls(); ++i) {
      if (&calls_[i] != &call) continue;
      for (const member& one : members_) require(!one.has_begun[i], "a call is begun twice");
      members_[self].has_begun[i] = true;
      ++members_[self].begun;
      require(calls_[i].content.read() == 1, "a call is begun before it is written");
      if (i > 0) return;
      for (int child = added(); child < calls(); ++child) {
        calls_[child].content.write(1);
        require(members_[self].deque.push(calls_[child]), "there is no memory");
        wake_idle();
      }
      return;
    }
    machine::current()->fail("what is begun is no call");
  }

  bool has_work() const {
    if (!common_.empty()) return true;
    for (int i = 0; with_.children > 0 && i < with_.members; ++i) {
      if (!members_[i].deque.empty()) return true;
    }
    return false;
  }

  void wake_idle() {
    Kit::wake_one(idle_, static_cast<std::size_t>(with_.members), [this](std::size_t number) {
      if (!members_[number].inbox.rouse()) return false;
      members_[number].signals.fetch_add(1, std::memory_order_release);
      return true;
    });
  }

  void wait(member& me, bool may_wait) {
    const std::uint64_t count = may_wait ? me.signals.await(me.seen + 1, true) : me.signals.load();
    if (count > me.seen) me.seen = count;
  }

  const parameters with_;
  typename Kit::common_queue common_;
  typename Kit::idle_set idle_;
  member members_[members_max];
  marked_call calls_[calls_max];
};

}  // namespace coir::model
