/// What a call throws, as a code that a test can compare.
#pragma once

#include <system_error>

namespace coir::test {

/// The code of the `Error` that `call` throws; no error when it throws nothing.
template <class Error = std::system_error, class Call>
std::error_code error_of(Call call) {
  try {
    call();
  } catch (const Error& e) {
    return e.code();
  }
  return {};
}

}  // namespace coir::test
