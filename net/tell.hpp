/// Lines on stderr for the operator of a server.
#pragma once

#include <coir/net/address.hpp>

#include <exception>
#include <string>

namespace coir::net::detail {

/// Writes "coir: ", `line` and a newline to stderr, in one raw write. Any thread.
void tell(const std::string& line);

/// Says that a handler of the server on `local` has failed.
void tell_failure(const address& local, const address& peer, const std::exception_ptr& error);

}  // namespace coir::net::detail
