/// All of coir's network library.
#pragma once

#include <coir/net/activation.hpp>
#include <coir/net/address.hpp>
#include <coir/net/buffer.hpp>
#include <coir/net/datagram_server.hpp>
#include <coir/net/endpoints.hpp>
#include <coir/net/error.hpp>
#include <coir/net/expiry.hpp>
#include <coir/net/resolver.hpp>
#include <coir/net/server_counters.hpp>
#include <coir/net/server_processes.hpp>
#include <coir/net/socket_stream.hpp>
#include <coir/net/stream.hpp>
#include <coir/net/stream_server.hpp>
#include <coir/net/tcp_listener.hpp>
#include <coir/net/tcp_stream.hpp>
#include <coir/net/udp_socket.hpp>
#include <coir/net/unix_datagram.hpp>
#include <coir/net/unix_listener.hpp>
#include <coir/net/unix_stream.hpp>
