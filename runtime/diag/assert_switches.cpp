#include <coir/assert_switches.hpp>

#include "runtime/sched/worker.hpp"

#include <algorithm>
#include <string>

namespace coir {

switch_error::~switch_error() = default;

namespace detail {
namespace {

std::string milliseconds(std::int64_t ns) {
  const std::string digits = std::to_string(ns / 1000 % 1000);
  return std::to_string(ns / 1'000'000) + '.' + std::string(3 - digits.size(), '0') + digits +
         " ms";
}

std::string who(const control_block& f) {
  return "coir: fiber \"" + std::string(f.record->name) + "\" (#" + std::to_string(f.record->id) +
         ") ";
}

std::string at(const std::source_location& where) {
  return std::string(" at ") + where.file_name() + ':' + std::to_string(where.line()) + ", in " +
         where.function_name();
}

}  // namespace

switch_watch::switch_watch()
    : fiber_(*worker::current().running),
      turns_(worker::of(fiber_).count().turns_given()),
      begun_(real_now_ns()),
      own_{.outer = fiber_.record->measured, .since = begun_} {
  fiber_.record->measured = &own_;
  fiber_.is_measured = true;
  worker::of(fiber_).expect_measured();
}

switch_watch::~switch_watch() {
  fiber_.record->measured = own_.outer;
  fiber_.is_measured = own_.outer != nullptr;
}

/// The count is the worker's. That is exact here: as long as the calling fiber has not given up the
/// worker, nobody else could.
bool switch_watch::has_switched() const noexcept {
  return worker::of(fiber_).count().turns_given() != turns_;
}

void switch_watch::expect_switch(const std::source_location& where) const {
  if (has_switched()) return;
  throw switch_error(who(fiber_) + "did not give up its worker in the " +
                     milliseconds(real_now_ns() - begun_) + " of what was called" + at(where));
}

void switch_watch::expect_no_switch(const std::source_location& where) const {
  if (!has_switched()) return;
  throw switch_error(who(fiber_) + "gave up its worker in what was called" + at(where));
}

void switch_watch::expect_stretches_up_to(std::int64_t longest_ns,
                                          const std::source_location& where) const {
  const std::int64_t longest = std::max(own_.longest, real_now_ns() - own_.since);
  if (longest <= longest_ns) return;
  throw switch_error(who(fiber_) + "held its worker for " + milliseconds(longest) +
                     " at a stretch, more than " + milliseconds(longest_ns) +
                     ", in what was called" + at(where));
}

}  // namespace detail
}  // namespace coir
