/// Who waits for what, in words.
#pragma once

#include "runtime/sched/worker.hpp"

#include <string>

namespace coir::detail {

/// Reads what the fibers of one worker wait for. Only that worker's thread may ask.
struct wait_graph {
  /// A line for each fiber of `w`.
  static std::string describe_all(worker& w);
  /// A line without its end: `fiber "name" (#7) waits ...`.
  static std::string describe(const control_block& f, std::uint32_t now_ms);

 private:
  static std::string name_of(const control_block& f);
  static std::string state_of(const control_block& f, std::uint32_t now_ms);
  static std::string wait_of(const control_block& f);
  static std::string switch_of(const control_block& f);
  static std::string holder_of(const waiter& w);
  static std::string joined_by(const waiter& w);
};

}  // namespace coir::detail
