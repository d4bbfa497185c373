/// A network program in Python, in a process of its own.
#pragma once

#include "tests/support/program.hpp"

#include <string>

namespace coir::net::test {

using coir::test::program;

/// A python3 that runs `script` with `argument`.
class python : public program {
 public:
  explicit python(const std::string& script, const std::string& argument = {})
      : program({COIR_TEST_PYTHON, "-c", script, argument}) {}
};

}  // namespace coir::net::test
