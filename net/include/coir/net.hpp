/// All of coir's network library.
#pragma once

#include <coir/net/address.hpp>
#include <coir/net/buffer.hpp>
#include <coir/net/error.hpp>
#include <coir/net/expiry.hpp>
#include <coir/net/resolver.hpp>
#include <coir/net/socket_stream.hpp>
#include <coir/net/stream.hpp>
#include <coir/net/tcp_listener.hpp>
#include <coir/net/tcp_stream.hpp>
#include <coir/net/tls_certificate.hpp>
#include <coir/net/tls_context.hpp>
#include <coir/net/tls_error.hpp>
#include <coir/net/tls_stream.hpp>
#include <coir/net/udp_socket.hpp>
#include <coir/net/unix_datagram.hpp>
#include <coir/net/unix_listener.hpp>
#include <coir/net/unix_stream.hpp>
