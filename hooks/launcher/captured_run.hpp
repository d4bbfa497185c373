/// A short run of another program, for what it prints.
#pragma once

#include <string>
#include <vector>

namespace coir::launcher {

/// How such a run went.
struct captured_run {
  std::string output;          ///< stdout and stderr, as they came; at most a megabyte
  int status = -1;             ///< the exit status; -1 when it did not start or a signal ended it
  bool has_timed_out = false;  ///< it was killed after the time given
};

/// Runs `command` with stdin at its end and nothing preloaded, for at most `patience_ms`.
captured_run run_captured(const std::vector<std::string>& command, int patience_ms);

}  // namespace coir::launcher
