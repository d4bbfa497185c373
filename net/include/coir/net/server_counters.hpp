/// What a server has counted.
#pragma once

#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>

namespace coir::net {

class address;

/// Counts since the server was made; of one moment each, but not of the same one.
struct server_counters {
  std::uint64_t accepted = 0;   ///< connections, or datagrams, that a handler was begun for
  std::uint64_t refused = 0;    ///< those dropped without a handler: no memory, wrap gave none
  std::uint64_t truncated = 0;  ///< datagrams that were longer than the server takes
  std::uint64_t accept_failures = 0;  ///< times that accepting or receiving failed
  std::uint64_t errors = 0;           ///< handlers that ended with an exception
  std::size_t active = 0;             ///< handlers that run now
};

/// Hears of an exception that left a handler, and of whose peer it served. Called in the handler's
/// fiber; may park. What it throws itself is reported on stderr.
using server_error_handler = std::function<void(const std::exception_ptr&, const address& peer)>;

}  // namespace coir::net
