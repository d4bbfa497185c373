/// Starting a child process.
#pragma once

#include "runtime/system/edge.hpp"

#include <coir/process_options.hpp>

#include <string>
#include <vector>

#include <sys/types.h>

namespace coir {

/// A child that runs, and the caller's ends of its pipes.
struct started_child {
  pid_t pid = 0;
  detail::owned_fd pidfd;
  detail::owned_fd input;
  detail::owned_fd output;
  detail::owned_fd error;
};

/// What a start has failed with: an errno, and what was attempted.
struct start_failure {
  int error = 0;  ///< positive; 0: it has not failed
  std::string what;
};

/// Starts a child; parks. Throws std::invalid_argument and std::bad_alloc. On a worker only.
started_child start_child(const std::vector<std::string>& arguments, const process_options& how,
                          start_failure& failure);

}  // namespace coir
