/// How C++ calls a C library that waits in coir's hooks, and lets itself be interrupted.
///
/// No exception may cross the frames of the library. So when a deadline or a kill ends a wait in
/// it, the wait fails with an errno, the library takes that for trouble with its socket, cleans up
/// and returns an error. Control is in C++ again then, and that is where the exception belongs:
///
///     PGresult* result = PQexec(connection, query);             // the library's plain call
///     if (!result) call_failed(PQerrorMessage(connection));     // throws what ended it
///
/// What the library makes of its connection is another matter: most cannot go on in the middle of
/// an answer. Who wants to keep the connection sends the query, waits for the answer by
/// wait_readable(), which leaves the library out of it, and reads the answer once it is there.
#pragma once

#include <coir/coir.hpp>
#include <coir/hooks.hpp>

#include <cerrno>
#include <stdexcept>
#include <string>
#include <system_error>

#include <poll.h>

namespace example {

/// To be called when a call of a C library has failed, with the reason that the library gives:
/// throws coir::timeout or coir::fiber_exit if a deadline or a kill made it fail, and
/// std::runtime_error with that reason otherwise.
[[noreturn]] inline void call_failed(std::string reason) {
  coir::yield();  // any call of coir's that waits throws what is pending
  while (reason.ends_with('\n')) reason.pop_back();
  throw std::runtime_error(reason);
}

/// Parks until there is something to read at `fd`, or its peer has closed. Throws coir::timeout or
/// coir::fiber_exit, with which a library that uses the descriptor has nothing to do, and
/// std::system_error.
inline void wait_readable(int fd) {
  pollfd one{fd, POLLIN, 0};
  if (::poll(&one, 1, -1) > 0) return;
  const std::error_code error(errno, std::system_category());
  coir::yield();
  throw std::system_error(error, "poll");
}

/// Throws std::runtime_error unless libc's calls arrive at the hooks.
inline void require_hooks() {
  if (!coir::hooks::active()) throw std::runtime_error("the hooks are not in force");
}

}  // namespace example
