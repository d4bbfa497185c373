/// What a worker may do next. Each operation ends by itself whatever the others do, and checks
/// what it can see.
#pragma once

#include "world.hpp"

#include <span>

namespace stress {

struct operation {
  const char* name;
  int weight;
  void (*perform)(worker&);
};

std::span<const operation> lock_operations();          // locks.cpp
std::span<const operation> company_operations();       // company.cpp: with threads made on the fly
std::span<const operation> interruption_operations();  // interruptions.cpp: signals, cancellation
std::span<const operation> process_operations();       // processes.cpp: forks

}  // namespace stress
