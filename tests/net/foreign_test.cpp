// Against a network program that is not ours: python3 in a process of its own, as client and as
// server.
#include "tests/net/python.hpp"
#include "tests/net/support.hpp"

#include <array>

namespace coir::net::test {
namespace {

void echo(stream& s) {
  std::array<char, 10'000> bytes;
  while (const std::size_t size = s.read_some(bytes)) s.write_all({bytes.data(), size});
}

constexpr const char* client_script = R"(
import socket, sys, threading
socket.setdefaulttimeout(20)
def exchange(seed):
    sent = bytes((i * i + seed) % 251 for i in range(300000))
    with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as s:
        threading.Thread(target=lambda: (s.sendall(sent), s.shutdown(socket.SHUT_WR))).start()
        got = b""
        while chunk := s.recv(65536):
            got += chunk
    results.append(got == sent)
results = []
threads = [threading.Thread(target=exchange, args=(n,)) for n in range(8)]
for t in threads: t.start()
for t in threads: t.join()
sys.exit(0 if results == [True] * 8 else 1)
)";

TEST(foreign_client, eight_python_clients_get_all_their_bytes_back) {
  tcp_listener listener = tcp_listener::listen(address::ipv4_loopback());
  auto serving = spawn([&] {
    for (;;) spawn([s = listener.accept()]() mutable { echo(s); });
  });
  python client(client_script, std::to_string(listener.local_address().port()));
  EXPECT_EQ(0, client.exit_status());
  serving.kill();
}

constexpr const char* server_script = R"(
import socket, sys
socket.setdefaulttimeout(20)
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
for turn in range(int(sys.argv[1])):
    s, _ = listener.accept()
    with s:
        while chunk := s.recv(65536):
            s.sendall(chunk)
)";

TEST(foreign_server, python_server_answers_our_client) {
  python server(server_script, "3");
  const std::string port = server.line();
  for (std::uint64_t turn = 0; turn < 3; ++turn) {
    tcp_stream client = tcp_stream::connect("127.0.0.1", port, patience);
    client.expires_after(patience);
    const std::vector<unsigned char> sent = pattern(turn).take(1'000'000);
    auto sending = spawn([&] {
      client.write_all(sent);
      client.shutdown(direction::write);
    });
    std::vector<unsigned char> got(sent.size());
    client.read_exactly(got);
    EXPECT_TRUE(got == sent);
    EXPECT_EQ(0u, drain(client));
    sending.get();
  }
  EXPECT_EQ(0, server.exit_status());
}

constexpr const char* udp_script = R"(
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(20)
s.sendto(b"from python", ("127.0.0.1", int(sys.argv[1])))
data, _ = s.recvfrom(100)
sys.exit(0 if data == b"from coir" else 1)
)";

TEST(foreign_client, python_and_we_exchange_datagrams) {
  udp_socket server = udp_socket::bind(address::ipv4_loopback());
  server.expires_after(patience);
  python client(udp_script, std::to_string(server.local_address().port()));
  std::array<char, 64> bytes;
  address from;
  EXPECT_EQ("from python", std::string(bytes.data(), server.receive_from(bytes, from).size));
  server.send_to("from coir", from);
  EXPECT_EQ(0, client.exit_status());
}

constexpr const char* reset_script = R"(
import socket, struct, sys
s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
s.recv(1)
s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
)";

TEST(foreign_client, python_client_that_resets_is_an_error_of_its_connection_only) {
  tcp_listener listener = tcp_listener::listen(address::ipv4_loopback());
  listener.expires_after(patience);
  python client(reset_script, std::to_string(listener.local_address().port()));
  tcp_stream server = listener.accept();
  server.expires_after(patience);
  server.write_all("x");
  EXPECT_EQ(std::errc::connection_reset, thrown_by([&] { drain(server); }));
  const tcp_stream next = tcp_stream::connect(listener.local_address());
  EXPECT_TRUE(listener.accept().is_open());
}

}  // namespace
}  // namespace coir::net::test
