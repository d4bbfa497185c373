/// A consumer that takes calls out of an inbox and sleeps when there are none; producers that push
/// some; one that rouses it. In the end the consumer retires its reactor, as a worker does.
#pragma once

#include "tests/model/machine.hpp"

#include <coir/detail/remote_call.hpp>

#include <cstddef>
#include <cstdint>

namespace coir::model {

/// One that is handed over, with what its maker has written into it before.
struct marked_call : coir::detail::remote_call {
  plain<int> content;
};

template <class Kit>
class inbox_program {
 public:
  struct parameters {
    memory model = memory::sequential;
    bool follows_orders = true;
    int producers = 1;
    int pushes = 1;  ///< of each
    bool has_rouser = false;
    int excuses = 1;
    int threads = 1 + producers + has_rouser;
  };
  static constexpr const char* names[] = {"inbox", "signals"};

  explicit inbox_program(const parameters& with) : with_(with) {}

  const char* name_of(int thread) const {
    static constexpr const char* producers[] = {"producer 1", "producer 2", "producer 3"};
    if (thread == 0) return "consumer";
    return thread <= with_.producers ? producers[thread - 1] : "rouser";
  }

  void run(int thread) {
    if (thread == 0) return consume();
    if (thread > with_.producers) {
      if (inbox_.rouse()) signal(thread);
      return;
    }
    for (int i = 0; i < with_.pushes; ++i) {
      machine::current()->settle(i, owed_[thread]);
      marked_call& call = calls_[thread - 1][i];
      call.content.write(i + 1);
      if (inbox_.push(call)) signal(thread);
    }
  }

  bool is_done(const machine& m) const { return m.is_over(); }

  const char* fault_at_end() const {
    std::uint64_t owed = 0;
    for (const std::uint64_t n : owed_) owed += n;
    return owed == due_ ? nullptr : "not as many wake-ups were counted as others owed";
  }

 private:
  static constexpr int producers_max = 3, pushes_max = 2;

  void consume() {
    for (int left = with_.producers * with_.pushes;;) {
      for (coir::detail::remote_call *call = inbox_.take_all(), *after; call; call = after) {
        after = accept(*call);
        --left;
      }
      if (left == 0) break;
      machine::current()->settle(0, summary());
      Kit::sleep_behind(
          inbox_, due_, [] { return true; }, [this](bool may_wait) { wait(may_wait); }, [] {});
    }
    signals_.await(due_);
    reactor_.write(0);  // gone
  }

  std::uint64_t summary() const {
    std::uint64_t all = due_ << 8 | seen_;
    for (const int n : taken_) all = all << 8 | static_cast<unsigned>(n);
    return all;
  }

  coir::detail::remote_call* accept(coir::detail::remote_call& call) {
    for (int p = 0; p < with_.producers; ++p) {
      for (int i = 0; i < with_.pushes; ++i) {
        if (&calls_[p][i] != &call) continue;
        require(taken_[p] == i, "a call is taken twice, or before an earlier one of its producer");
        ++taken_[p];
        require(calls_[p][i].content.read() == i + 1, "a call is taken before it is written");
        return call.next;
      }
    }
    machine::current()->fail("what is taken is no call");
    return nullptr;
  }

  /// The kernel shows each signal once.
  void wait(bool may_wait) {
    const std::uint64_t count = may_wait ? signals_.await(seen_ + 1, true) : signals_.load();
    if (count > seen_) seen_ = count;
  }

  void signal(int thread) {
    ++owed_[thread];
    require(reactor_.read() == 1, "a reactor is signalled that is gone");
    signals_.fetch_add(1, std::memory_order_release);
  }

  const parameters with_;
  typename Kit::inbox inbox_;
  atomic<std::uint64_t> signals_{0};
  plain<int> reactor_{1};
  marked_call calls_[producers_max][pushes_max];
  std::uint64_t owed_[threads_max] = {};
  // The consumer's
  int taken_[producers_max] = {};
  std::uint64_t due_ = 0;
  std::uint64_t seen_ = 0;
};

}  // namespace coir::model
