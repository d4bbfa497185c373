/// Sockets that the service manager has opened for this program: systemd's socket activation.
#pragma once

#include <coir/export.hpp>
#include <coir/net/endpoints.hpp>
#include <coir/net/udp_socket.hpp>
#include <coir/net/unix_datagram.hpp>

#include <string>
#include <variant>
#include <vector>

namespace coir::net {

/// A socket that was handed to the program.
struct activated_socket {
  std::string name;  ///< FileDescriptorName= of its unit, by default the unit's name; or "unknown"
  /// What it is; owns the descriptor.
  std::variant<tcp_listener, unix_listener, udp_socket, unix_datagram> socket{};
};

/// Takes over the sockets that LISTEN_PID, LISTEN_FDS and LISTEN_FDNAMES tell of, in their order;
/// none when they are not meant for this process. They are closed on exec from now on, and the
/// variables are unset, so that a second call finds none. Throws std::system_error, which names the
/// descriptor or the variable, when one is no socket of a kind above or a variable makes no sense;
/// then no descriptor is closed. To be called while no other thread uses the environment; never
/// parks.
COIR_API std::vector<activated_socket> activated_sockets();
/// Its twin; empty when `ec` is set.
COIR_API std::vector<activated_socket> activated_sockets(std::error_code& ec);

/// The same for programs that take connections only, as a server wants them:
/// `stream_server server(activated_listeners(), handler)`. A socket for datagrams among them is an
/// error, std::errc::wrong_protocol_type. Without sockets the result is empty, which a server
/// refuses.
COIR_API std::vector<any_listener> activated_listeners();
/// Its twin; empty when `ec` is set.
COIR_API std::vector<any_listener> activated_listeners(std::error_code& ec);

}  // namespace coir::net
