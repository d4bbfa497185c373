// TLS against programs that are not ours: `openssl s_server` and `s_client`, and python3's ssl
// module, in processes of their own.
#include "tests/net/tls_support.hpp"
#include "tests/support/program.hpp"

#include <array>
#include <fstream>

namespace coir::net::test {
namespace {

using coir::test::program;

/// The certificates of this test as files.
class certificate_files : public testing::Test {
 protected:
  certificate_files() {
    std::ofstream(folder / "ca.pem") << authority().certificate_pem;
    std::ofstream(folder / "cert.pem") << local_server().certificate_pem;
    std::ofstream(folder / "key.pem") << local_server().key_pem;
  }

  tls_options server_from_files() {
    tls_options options;
    options.identities = {
        {.certificate_file = folder / "cert.pem", .key_file = folder / "key.pem"}};
    options.alpn = {"coir"};
    return options;
  }
  tls_options client_from_files() {
    tls_options options;
    options.trust.ca_file = folder / "ca.pem";
    return options;
  }

  scratch_directory folder;
};

void echo(stream& s) {
  std::array<char, 40'000> bytes;
  while (const std::size_t size = s.read_some(bytes)) s.write_all({bytes.data(), size});
  s.shutdown(direction::write);
}

#ifdef COIR_TEST_OPENSSL

/// `openssl s_server` on a port that it chooses.
struct s_server {
  program process;
  std::string port;

  s_server(const scratch_directory& folder, std::vector<std::string> more)
      : process(words(folder, more), program::errors::to_its_output) {
    process.said_up_to("ACCEPT ");
    const std::string address = process.said_up_to("\n");
    port = address.substr(address.rfind(':') + 1);
    port.pop_back();
  }
  static std::vector<std::string> words(const scratch_directory& folder,
                                        const std::vector<std::string>& more) {
    std::vector<std::string> all = {
        COIR_TEST_OPENSSL,   "s_server", "-accept",          "127.0.0.1:0", "-cert",
        folder / "cert.pem", "-key",     folder / "key.pem", "-naccept",    "1"};
    all.insert(all.end(), more.begin(), more.end());
    return all;
  }
};

using openssl_server = certificate_files;

TEST_F(openssl_server, answers_our_client_in_both_versions) {
  for (const char* version : {"-tls1_2", "-tls1_3"}) {
    s_server server(folder, {version, "-rev", "-alpn", "other,coir"});
    tls_options options = client_from_files();
    options.alpn = {"coir"};
    tls_stream client =
        tls_stream::connect("localhost", server.port, tls_context::client(options), patience);
    client.expires_after(patience);
    EXPECT_EQ(client.alpn(), "coir");
    EXPECT_EQ(client.version(), std::string(version) == "-tls1_2" ? "TLSv1.2" : "TLSv1.3");
    client.write_all("stressed\n");
    std::string got(9, ' ');
    client.read_exactly(got);
    EXPECT_EQ(got, "desserts\n");
    client.shutdown(direction::write);
    EXPECT_EQ(0u, drain(client));
  }
}

TEST_F(openssl_server, may_change_keys_while_our_writer_waits) {
  s_server server(folder, {"-tls1_3"});
  tls_stream client = tls_stream::connect("localhost", server.port,
                                          tls_context::client(client_from_files()), patience);
  client.expires_after(patience);
  // It prints what it gets; nobody reads that for now, so that our writer comes to a stop.
  const std::string line(99, 'a');
  constexpr int lines = 20'000;
  auto writing = spawn([&] {
    for (int i = 0; i < lines; ++i) client.write_parts({line, "\n"});
    client.write_all("the end\n");
  });
  std::string got;
  auto reading = spawn([&] {
    std::string bytes(100, ' ');
    while (got.find("hello") == got.npos) got.append(bytes, 0, client.read_some(bytes));
  });
  for (int i = 0; i < 5; ++i) this_fiber::yield();
  EXPECT_FALSE(writing.ready());
  server.process.tell("K\n");  // new keys on both sides
  const std::string all = server.process.said_up_to("the end\n");
  EXPECT_GT(all.size(), std::size_t{lines} * 100);
  writing.get();
  EXPECT_NE(all.find("SSL_do_handshake -> 1"), all.npos);
  server.process.tell("K\n");
  server.process.tell("hello\n");
  reading.get();
  client.write_all("with new keys\n");
  EXPECT_TRUE(server.process.said_up_to("with new keys\n").ends_with("with new keys\n"));
}

TEST_F(openssl_server, that_is_killed_has_truncated_the_stream) {
  s_server server(folder, {});
  tls_stream client = tls_stream::connect("localhost", server.port,
                                          tls_context::client(client_from_files()), patience);
  client.expires_after(patience);
  server.process.said_up_to("-----END SSL SESSION PARAMETERS-----\n");
  client.write_all("hello\n");
  server.process.said_up_to("hello\n");
  server.process.end();
  char byte;
  EXPECT_EQ(thrown_by([&] { client.read_some({&byte, 1}); }), tls_errc::truncated);
}

using openssl_client = certificate_files;

TEST_F(openssl_client, is_served_and_resumes_its_session) {
  const tls_context context = tls_context::server(server_from_files());
  tcp_listener listener = tcp_listener::listen(address::ipv4_loopback());
  listener.expires_after(patience);
  const std::string port = std::to_string(listener.local_address().port());
  for (const char* version : {"-tls1_2", "-tls1_3"}) {
    const std::string session = folder / "session";
    for (const bool is_second : {false, true}) {
      auto serving = spawn([&] {
        tls_stream s(listener.accept(), context);
        s.expires_after(patience);
        s.handshake(patience);
        EXPECT_EQ(s.is_resumed(), is_second) << version;
        EXPECT_EQ(s.server_name(), "localhost");
        EXPECT_EQ(s.alpn(), "coir");
        echo(s);
      });
      program client({COIR_TEST_OPENSSL, "s_client", "-connect", "127.0.0.1:" + port, "-servername",
                      "localhost", "-CAfile", folder / "ca.pem", "-verify_hostname", "localhost",
                      "-verify_return_error", "-alpn", "coir", version, "-ign_eof",
                      is_second ? "-sess_in" : "-sess_out", session},
                     program::errors::to_its_output);
      client.tell("hello from s_client\n");
      const std::string said = client.said_up_to("hello from s_client\n");
      EXPECT_TRUE(said.ends_with("hello from s_client\n")) << said;
      EXPECT_NE(said.find("Verify return code: 0 (ok)"), std::string::npos) << said;
      client.end();
      EXPECT_EQ(thrown_by([&] { serving.get(); }), tls_errc::truncated);
    }
  }
}

#endif

#ifdef COIR_TEST_PYTHON

constexpr const char* python_client = R"(
import socket, ssl, sys, threading
port, ca = int(sys.argv[1]), sys.argv[2]
context = ssl.create_default_context(cafile=ca)
context.set_alpn_protocols(["coir"])
def exchange(seed):
    sent = bytes((i * i + seed) % 251 for i in range(300000))
    with socket.create_connection(("127.0.0.1", port), timeout=20) as plain:
        with context.wrap_socket(plain, server_hostname="localhost") as s:
            assert s.selected_alpn_protocol() == "coir", s.selected_alpn_protocol()
            got = b""
            for begin in range(0, len(sent), 20000):
                s.sendall(sent[begin:begin + 20000])
                while len(got) < begin + 20000 and len(got) < len(sent):
                    got += s.recv(65536)
            assert got == sent
            s.unwrap().close()
    results.append(seed)
results = []
threads = [threading.Thread(target=exchange, args=(n,)) for n in range(8)]
for t in threads: t.start()
for t in threads: t.join()
try:
    with socket.create_connection(("127.0.0.1", port), timeout=20) as plain:
        context.wrap_socket(plain, server_hostname="other.test")
except ssl.SSLCertVerificationError as e:
    results.append(e.verify_message)
print(len(results), results[-1], flush=True)
)";

using python_peer = certificate_files;

TEST_F(python_peer, eight_python_clients_get_all_their_bytes_back) {
  const tls_context context = tls_context::server(server_from_files());
  tcp_listener listener = tcp_listener::listen(address::ipv4_loopback());
  std::error_code refused;
  auto serving = spawn([&] {
    for (;;) {
      spawn([&, socket = listener.accept()]() mutable {
        tls_stream s(std::move(socket), context);
        s.expires_after(patience);
        std::error_code ec;
        s.handshake(patience, ec);
        if (ec) {
          refused = ec;
        } else {
          echo(s);
        }
      });
    }
  });
  program client({COIR_TEST_PYTHON, "-c", python_client,
                  std::to_string(listener.local_address().port()), folder / "ca.pem"});
  const std::string said = client.said_up_to("\n");
  EXPECT_TRUE(said.starts_with("9 Hostname mismatch")) << said;
  EXPECT_EQ(0, client.exit_status());
  EXPECT_EQ(refused, tls_errc::alert_bad_certificate) << refused.message();
  serving.kill();
}

constexpr const char* python_server = R"(
import socket, ssl, sys
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1], sys.argv[2])
listener = socket.create_server(("127.0.0.1", 0))
listener.settimeout(20)
print(listener.getsockname()[1], flush=True)
for turn in range(3):
    plain, _ = listener.accept()
    plain.settimeout(20)
    with context.wrap_socket(plain, server_side=True) as s:
        size = int(s.recv(20))
        left = size
        while left > 0:
            left -= len(s.recv(65536))
        s.sendall(b"x" * size)
        if turn == 0:
            s.unwrap().close()
print("done", flush=True)
)";

TEST_F(python_peer, python_server_answers_and_what_it_cuts_off_is_truncated) {
  program server({COIR_TEST_PYTHON, "-c", python_server, folder / "cert.pem", folder / "key.pem"});
  std::string port = server.said_up_to("\n");
  port.pop_back();
  const tls_context context = tls_context::client(client_from_files());
  for (int turn = 0; turn < 3; ++turn) {
    tls_stream client = tls_stream::connect("localhost", port, context, patience);
    client.expires_after(patience);
    EXPECT_EQ(client.is_resumed(), turn > 0);
    client.write_all("500000");
    client.write_all(std::vector<char>(500'000));
    std::string got(500'000, ' ');
    client.read_exactly(got);
    EXPECT_EQ(got, std::string(500'000, 'x'));
    if (turn == 0) {
      client.shutdown(direction::write);
      EXPECT_EQ(0u, drain(client));
    } else {
      EXPECT_EQ(thrown_by([&] { drain(client); }), tls_errc::truncated);
    }
  }
  EXPECT_EQ(server.said_up_to("\n"), "done\n");
}

#endif

}  // namespace
}  // namespace coir::net::test
