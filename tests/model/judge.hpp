/// Prints what explorations found, and counts what should have come out otherwise.
#pragma once

#include "tests/model/explorer.hpp"

#include <cstdio>

namespace coir::model {

class judge {
 public:
  /// A protocol as it is: nothing may be wrong.
  void must_hold(const char* name, const verdict& found) {
    std::printf("%-62s %8zu states %9zu steps  %s\n", name, found.states, found.steps,
                found.fault.empty() ? "ok" : found.fault.c_str());
    if (!found.fault.empty()) {
      ++failures_;
      print_trace(found);
    }
    std::fflush(stdout);
  }

  /// A protocol with a mistake, which must be found.
  void must_fail(const char* name, const verdict& found) {
    const bool is_caught = !found.fault.empty() && found.is_complete;
    std::printf("mutant: %-54s %8zu states %9zu steps  %s\n", name, found.states, found.steps,
                is_caught ? found.fault.c_str() : "NOT CAUGHT");
    if (is_caught) {
      print_trace(found);
    } else {
      ++failures_;
    }
    std::fflush(stdout);
  }

  /// The last line, and the exit code.
  int sum_up() const {
    std::printf(failures_ ? "%d FAILED\n" : "all hold, all mutants are caught\n", failures_);
    return failures_ != 0;
  }

 private:
  static void print_trace(const verdict& found) {
    for (std::size_t i = 0; i < found.trace.size(); ++i)
      std::printf("    %3zu %s\n", i + 1, found.trace[i].c_str());
  }

  int failures_ = 0;
};

}  // namespace coir::model
