// TLS clients of C, libcurl and OpenSSL itself, in the fibers of one kernel thread, against a web
// server of Python's in a process of its own.
#include "tests/hooks/curl_transfer.hpp"
#include "tests/hooks/openssl.hpp"
#include "tests/hooks/support.hpp"
#include "tests/support/program.hpp"

#include <coir/group.hpp>
#include <coir/hooks.hpp>
#include <coir/timeout.hpp>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/stat.h>

namespace coir::testing {
namespace {

using coir::test::program;

/// /gate/COUNT/NUMBER is answered once COUNT of its kind have come, /slow never.
constexpr const char* server_script = R"(
import collections, http.server, ssl, sys, threading
come = collections.Counter()
news = threading.Condition()
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/slow":
            self.rfile.read(1)
            return
        _, kind, count, number = self.path.split("/")
        with news:
            come[count] += 1
            news.notify_all()
            news.wait_for(lambda: come[count] >= int(count), 20)
        body = b"page %d " % int(number) * (int(number) * 100 + 1)
        self.send_response(200 if come[count] >= int(count) else 503)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass
class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 256
    daemon_threads = True
    def handle_error(self, *_):
        pass  # a client that went away
server = Server(("127.0.0.1", 0), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1], sys.argv[2])
server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
print(server.server_address[1], flush=True)
server.serve_forever()
)";

std::string page(int number) {
  std::string text;
  for (int i = 0; i <= number * 100; ++i) text += "page " + std::to_string(number) + ' ';
  return text;
}

std::string gate(int count, int number) {
  return "/gate/" + std::to_string(count) + '/' + std::to_string(number);
}

class tls_clients : public ::testing::Test {
 protected:
  tls_clients()
      : ca_file(write("ca.pem", authority().certificate_pem)),
        server({COIR_TEST_PYTHON, "-c", server_script,
                write("cert.pem", coir::test::local_server().certificate_pem),
                write("key.pem", coir::test::local_server().key_pem)}),
        port(server.line()) {
    signal(SIGPIPE, SIG_IGN);  // OpenSSL's sockets write without MSG_NOSIGNAL
  }
  ~tls_clients() override { std::filesystem::remove_all(folder); }

  std::string write(const char* name, const std::string& text) {
    std::ofstream(folder + '/' + name) << text;
    return folder + '/' + name;
  }
  std::string url(const std::string& path) const { return "https://127.0.0.1:" + port + path; }

  static std::string make_folder() {
    char name[] = "/tmp/coir-hooks-XXXXXX";
    return mkdtemp(name);
  }

  const std::string folder = make_folder();
  const std::string ca_file;
  program server;
  const std::string port;
};

/// How many kernel threads the process has.
long kernel_threads() {
  struct stat tasks;
  EXPECT_EQ(0, ::stat("/proc/self/task", &tasks));
  return static_cast<long>(tasks.st_nlink) - 2;
}

TEST_F(tls_clients, fifty_transfers_of_libcurl_are_under_way_at_once_on_one_kernel_thread) {
  ASSERT_EQ(CURLE_OK, curl_global_init(CURL_GLOBAL_DEFAULT));
  constexpr int count = 50;
  const long threads_before = kernel_threads();
  const bystander other;
  int good = 0;
  group all;
  for (int i = 0; i < count; ++i) {
    all.spawn([&, i] {
      transfer t(ca_file);
      EXPECT_EQ(CURLE_OK, t.perform(url(gate(count, i))));
      EXPECT_EQ(200, t.status()) << "the server has met all of them at the gate";
      good += t.page() == page(i);
      EXPECT_EQ(threads_before, kernel_threads());
    });
  }
  all.join();
  EXPECT_EQ(good, count);
  EXPECT_GT(other.turns(), 1) << "others ran meanwhile";
}

TEST_F(tls_clients, a_deadline_ends_a_slow_transfer_of_libcurl_and_no_other) {
  constexpr int count = 20;
  int good = 0;
  group all;
  transfer slow(ca_file);
  CURLcode code = CURLE_OK;
  auto limited = spawn([&] {
    EXPECT_THROW(with_timeout(100ms, [&] { code = slow.perform(url("/slow")); }), timeout);
    EXPECT_NE(CURLE_OK, code) << "libcurl saw that its call had failed, and returned";
    EXPECT_EQ(CURLE_OK, slow.perform(url(gate(1, 7)))) << "the handle can be used again";
    EXPECT_EQ(slow.page(), page(7));
    // It was the last to come to the gate of the others.
    EXPECT_EQ(CURLE_OK, slow.perform(url(gate(count, count))));
  });
  for (int i = 1; i < count; ++i) {
    all.spawn([&, i] {
      transfer t(ca_file);
      EXPECT_EQ(CURLE_OK, t.perform(url(gate(count, i))));
      good += t.status() == 200 && t.page() == page(i);
    });
  }
  all.join();
  limited.get();
  EXPECT_EQ(good, count - 1);
}

TEST_F(tls_clients, transfers_of_libcurl_that_distrust_the_server_fail_beside_those_that_do_not) {
  const credential stranger = make_credential({.name = "strange CA", .is_authority = true});
  const std::string strange_file = write("strange.pem", stranger.certificate_pem);
  constexpr int pairs = 15;
  int right = 0;
  group all;
  for (int i = 0; i < pairs; ++i) {
    all.spawn([&, i] {
      transfer t(ca_file);
      right += t.perform(url(gate(pairs, i))) == CURLE_OK && t.page() == page(i);
    });
    all.spawn([&, i] {
      transfer t(strange_file);
      right += t.perform(url(gate(pairs, i))) == CURLE_PEER_FAILED_VERIFICATION;
    });
  }
  all.join();
  EXPECT_EQ(right, 2 * pairs);
}

/// One page by OpenSSL's own calls over a blocking socket; empty when one of them fails.
std::string fetch_by_openssl(SSL_CTX* context, const std::string& port, const std::string& path) {
  const descriptor socket(::socket(AF_INET, SOCK_STREAM, 0));
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(static_cast<std::uint16_t>(std::stoi(port)));
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(socket.fd, reinterpret_cast<sockaddr*>(&to), sizeof to) != 0) return {};
  const ssl_ptr ssl = over(context, socket.fd);
  SSL_set1_host(ssl.get(), "localhost");
  if (SSL_connect(ssl.get()) != 1) return {};
  const std::string request = "GET " + path + " HTTP/1.0\r\n\r\n";
  if (SSL_write(ssl.get(), request.data(), static_cast<int>(request.size())) <= 0) return {};
  std::string answer;
  char bytes[4096];
  for (int size; (size = SSL_read(ssl.get(), bytes, sizeof bytes)) > 0;)
    answer.append(bytes, static_cast<std::size_t>(size));
  const std::size_t head = answer.find("\r\n\r\n");
  return head == answer.npos ? std::string() : answer.substr(head + 4);
}

TEST_F(tls_clients, twenty_blocking_clients_of_openssl_are_at_the_gate_at_once) {
  const context_ptr context = client_context();
  constexpr int count = 20;
  const long threads_before = kernel_threads();
  const bystander other;
  int good = 0;
  group all;
  for (int i = 0; i < count; ++i) {
    all.spawn([&, i] {
      good += fetch_by_openssl(context.get(), port, gate(count, i)) == page(i);
      EXPECT_EQ(threads_before, kernel_threads());
    });
  }
  std::string cut = "not asked";
  EXPECT_THROW(with_timeout(50ms, [&] { cut = fetch_by_openssl(context.get(), port, "/slow"); }),
               timeout);
  EXPECT_EQ(cut, "") << "its SSL_read failed, and it returned";
  all.join();
  EXPECT_EQ(good, count);
  EXPECT_GT(other.turns(), 1) << "others ran meanwhile";
}

}  // namespace
}  // namespace coir::testing
