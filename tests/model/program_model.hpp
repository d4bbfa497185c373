/// Lets an explorer visit all states of a program of a few threads that runs on a machine.
///
/// A program is made anew for each execution, in place, by a copy of its parameters:
///
///     explicit Program(const typename Program::parameters&);
///     static constexpr const char* names[];   // of its atomics, in the order of their making
///     int threads() const;
///     const char* name_of(int thread) const;
///     void run(int thread);                   // on the machine
///     bool is_done(const machine&) const;     // all that was wanted has come to pass
///     const char* fault_at_end() const;       // asked when all threads have ended
///
/// What a thread of it writes into plain memory must depend on what that thread has read, and on
/// nothing else: states are told apart by that.
#pragma once

#include "tests/model/explorer.hpp"
#include "tests/model/machine.hpp"

#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <new>
#include <string>
#include <unordered_map>
#include <vector>

namespace coir::model {

template <class Program>
class program_model {
 public:
  using parameters = typename Program::parameters;

  explicit program_model(const parameters& with)
      : with_(with), machine_(with.model, with.excuses, with.follows_orders) {
    for (std::size_t i = 0; i < choices_.size(); ++i) choices_[i] = std::to_string(i);
  }

  struct state {
    std::uint64_t print;
  };

  state initial() const {
    restart();
    return keep(0, 0);
  }

  template <class Visit>
  void for_each_step(const state& from, Visit visit) const {
    go_to(from.print);
    const std::vector<choice> possible = machine_.choices();
    bool is_there = true;
    for (const choice c : possible) {
      if (!is_there) go_to(from.print);
      is_there = false;
      machine_.take(c);
      visit(keep(from.print, code_of(c)), "", choices_[code_of(c)].c_str());
    }
  }

  const char* fault_of(const state& s) const { return nodes_.at(s.print).fault; }
  bool is_done(const state& s) const { return nodes_.at(s.print).is_done; }

  /// The steps of a verdict's trace in words.
  std::vector<std::string> in_words(const std::vector<std::string>& trace) const {
    std::vector<std::string> words;
    restart();
    const std::vector<const char*> names(std::begin(Program::names), std::end(Program::names));
    for (const std::string& step : trace) {
      const choice c = choice_of(static_cast<std::uint8_t>(std::stoi(step.substr(2))));
      words.push_back(std::string(program_->name_of(c.thread)) + " " + machine_.describe(c, names));
      machine_.take(c);
    }
    return words;
  }

 private:
  struct node {
    std::uint64_t before;
    std::uint8_t code;
    bool is_done;
    const char* fault;
  };

  static std::uint8_t code_of(choice c) {
    return static_cast<std::uint8_t>(c.thread | c.what << 3 | c.place << 5);
  }
  static choice choice_of(std::uint8_t code) {
    return {static_cast<std::uint8_t>(code & 7), static_cast<std::uint8_t>(code >> 3 & 3),
            static_cast<std::uint8_t>(code >> 5)};
  }

  void restart() const { machine_.begin(with_.threads, make_, run_); }

  /// Takes all choices that lead there again.
  void go_to(std::uint64_t print) const {
    path_.clear();
    for (std::uint64_t at = print; nodes_.at(at).before != 0; at = nodes_.at(at).before)
      path_.push_back(nodes_.at(at).code);
    restart();
    while (!path_.empty()) {
      machine_.take(choice_of(path_.back()));
      path_.pop_back();
    }
    if (machine_.fingerprint() == print) return;
    std::fputs("model: the same choices led to another state\n", stderr);
    std::abort();
  }

  state keep(std::uint64_t before, std::uint8_t code) const {
    const char* fault = machine_.fault();
    const bool is_over = machine_.is_over();
    if (!fault && is_over) fault = program_->fault_at_end();
    const bool is_done = !fault && program_->is_done(machine_);
    const std::uint64_t print = machine_.fingerprint();
    nodes_.try_emplace(print, node{before, code, is_done, fault});
    return {print};
  }

  parameters with_;
  mutable machine machine_;
  mutable Program* program_ = nullptr;
  alignas(64) mutable unsigned char memory_[sizeof(Program)];
  struct maker {
    const program_model& model;
    void operator()() const { model.program_ = new (model.memory_) Program(model.with_); }
  };
  struct runner {
    const program_model& model;
    void operator()(int thread) const { model.program_->run(thread); }
  };
  maker make_{*this};
  runner run_{*this};
  mutable std::unordered_map<std::uint64_t, node> nodes_;
  mutable std::vector<std::uint8_t> path_;
  std::array<std::string, 256> choices_;
};

/// Explores, and puts the trace into words.
template <class Program>
verdict explore(const typename Program::parameters& with, std::size_t states_max) {
  static_assert(alignof(Program) <= 64);
  const program_model<Program> model(with);
  verdict found = explorer<program_model<Program>>(model, states_max).run();
  if (!found.trace.empty()) found.trace = model.in_words(found.trace);
  return found;
}

}  // namespace coir::model
