// The load of the TLS benchmark: HTTPS requests to one server, by OpenSSL over plain sockets, every
// answer checked.
//
// Terms. Without `--file BYTES` a request is a connection of its own: a handshake, a question, a
// short answer, and the server's orderly end; with `--resume 1` each but a place's first takes up
// the session of the one before it. With `--file` connections are kept, and a request is a file of
// so many bytes, each of which is compared with what the file must have.
//
// The server's certificate is compared with the file `--certificate`, and OpenSSL checks that the
// server has its key. TLS 1.3, X25519 and TLS_AES_128_GCM_SHA256 are all that is offered.
//
// Protocol, `--spin` and what a round is: bench/round_load.hpp.

#include "bench/http/answer_head.hpp"
#include "bench/round_load.hpp"

#include <algorithm>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fcntl.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

namespace {

using bench::fail;

constexpr std::size_t receive_bytes = 64 * 1024;
constexpr std::size_t head_bytes_max = 4096;
constexpr std::string_view short_answer = "Hello, World!\n";  // the servers' own text
constexpr std::size_t content_period = 251;                   // of the file: 0, 1, ... 250, 0, ...

struct options : bench::round_options {
  std::size_t file_bytes = 0;  ///< 0: a connection for each request
  bool is_resuming = false;
};

template <auto Free>
struct freed_by {
  template <class T>
  void operator()(T* object) const noexcept {
    Free(object);
  }
};
using context_ptr = std::unique_ptr<SSL_CTX, freed_by<SSL_CTX_free>>;
using ssl_ptr = std::unique_ptr<SSL, freed_by<SSL_free>>;
using session_ptr = std::unique_ptr<SSL_SESSION, freed_by<SSL_SESSION_free>>;
using certificate_ptr = std::unique_ptr<X509, freed_by<X509_free>>;

[[noreturn]] void fail_as_openssl_says(const char* what) {
  std::fprintf(stderr, "load: %s:\n", what);
  ERR_print_errors_fp(stderr);
  std::exit(1);
}

struct connection : bench::round_connection {
  ssl_ptr tls;
  session_ptr session;          ///< of the connection before
  std::uint64_t questions = 0;  ///< that were sent
  std::string head;             ///< of the answer, as far as it has come without its body
  bool is_ready = false;        ///< the handshake is done
  bool is_in_body = false;
  std::uint64_t body_bytes = 0;  ///< that have come
};

/// Clients, their sessions kept by the connection that they are of.
context_ptr make_context(bool is_resuming) {
  context_ptr made(SSL_CTX_new(TLS_client_method()));
  SSL_CTX* const context = made.get();
  if (!context || SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) != 1 ||
      SSL_CTX_set_ciphersuites(context, "TLS_AES_128_GCM_SHA256") != 1 ||
      SSL_CTX_set1_groups_list(context, "X25519") != 1) {
    fail_as_openssl_says("make a context");
  }
  // Instead of a chain; what is compared comes after the handshake.
  SSL_CTX_set_cert_verify_callback(
      context, [](X509_STORE_CTX*, void*) { return 1; }, nullptr);
  SSL_CTX_set_read_ahead(context, 1);
  SSL_CTX_set_default_read_buffer_len(context, receive_bytes);
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
  if (!is_resuming) return made;
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
  SSL_CTX_sess_set_new_cb(context, [](SSL* ssl, SSL_SESSION* session) {
    static_cast<connection*>(SSL_get_app_data(ssl))->session.reset(session);
    return 1;
  });
  return made;
}

certificate_ptr read_certificate(const char* file) {
  std::FILE* const opened = std::fopen(file, "r");
  if (!opened) bench::fail_with_errno("open the certificate");
  certificate_ptr read(PEM_read_X509(opened, nullptr, nullptr, nullptr));
  std::fclose(opened);
  if (!read) fail_as_openssl_says("read the certificate");
  return read;
}

/// The beginning of the file.
std::string content(std::size_t size) {
  std::string made(size, '\0');
  for (std::size_t i = 0; i < size; ++i) made[i] = static_cast<char>(i % content_period);
  return made;
}

class load : public bench::round_load<load, connection> {
 public:
  load(const options& how, const char* certificate_file);

 private:
  friend round_load;
  void open(connection& c);
  void flush(connection& c);
  void on_event(connection& c);
  void begin(connection& c);
  void end(connection& c);
  bool shake_hands(connection& c);
  void ask(connection& c);
  void on_received(connection& c, std::string_view bytes);
  bool on_body(connection& c, std::string_view bytes);

  bool keeps_connections() const { return file_bytes_ > 0; }
  std::uint64_t answer_bytes() const {
    return keeps_connections() ? file_bytes_ : short_answer.size();
  }

  const std::size_t file_bytes_;
  const bool is_resuming_;
  const certificate_ptr certificate_;
  const context_ptr context_;
  const std::string content_;  ///< as much as is received at once, and a period
  std::string question_;
  std::vector<char> buffer_;
};

load::load(const options& how, const char* certificate_file)
    : round_load(how),
      file_bytes_(how.file_bytes),
      is_resuming_(how.is_resuming),
      certificate_(read_certificate(certificate_file)),
      context_(make_context(how.is_resuming)),
      content_(content(receive_bytes + content_period)),
      buffer_(receive_bytes) {
  question_ = std::string("GET ") + (keeps_connections() ? "/files/content" : "/hello") +
              " HTTP/1.1\r\nHost: localhost\r\n" +
              (keeps_connections() ? "" : "Connection: close\r\n") + "\r\n";
}

void load::open(connection& c) {
  if (keeps_connections()) begin(c);
}

/// There are never more than one question and its answer under way.
void load::flush(connection& c) {
  if (!c.tls) begin(c);
  if (shake_hands(c)) ask(c);
}

void load::on_event(connection& c) {
  if (!c.tls || !shake_hands(c)) return;
  ask(c);
  while (c.tls) {
    std::size_t count = 0;
    const int result = SSL_read_ex(c.tls.get(), buffer_.data(), buffer_.size(), &count);
    switch (SSL_get_error(c.tls.get(), result)) {
      case SSL_ERROR_NONE:
        on_received(c, {buffer_.data(), count});
        break;
      case SSL_ERROR_WANT_READ:
        return;
      case SSL_ERROR_ZERO_RETURN:
        return end(c);
      default:
        fail_as_openssl_says("read an answer");
    }
  }
}

void load::begin(connection& c) {
  c.fd = connect_for(c);
  if (fcntl(c.fd, F_SETFL, O_NONBLOCK) != 0) bench::fail_with_errno("fcntl");
  c.tls.reset(SSL_new(context_.get()));
  if (!c.tls || SSL_set_fd(c.tls.get(), c.fd) != 1) fail_as_openssl_says("make a connection");
  SSL_set_app_data(c.tls.get(), &c);
  SSL_set_connect_state(c.tls.get());
  if (c.session && SSL_set_session(c.tls.get(), c.session.get()) != 1) {
    fail_as_openssl_says("take up a session");
  }
}

/// The server has ended a connection: after its answer, if it is to.
void load::end(connection& c) {
  if (keeps_connections() || c.is_in_body || c.body_bytes != answer_bytes()) {
    fail("the server has closed a connection");
  }
  if (is_resuming_ && !c.session) fail("the server gave no ticket");
  SSL_set_shutdown(c.tls.get(), SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);  // keeps its session
  c.tls.reset();
  close(c.fd);
  c.is_ready = false;
  c.body_bytes = 0;
  note_answers(c, 1);
}

/// True when the handshake is done.
bool load::shake_hands(connection& c) {
  SSL* const tls = c.tls.get();
  if (c.is_ready) return true;
  const int result = SSL_do_handshake(tls);
  if (result != 1) {
    if (SSL_get_error(tls, result) == SSL_ERROR_WANT_READ) return false;
    fail_as_openssl_says("handshake");
  }
  if (SSL_session_reused(tls) != (c.session ? 1 : 0)) fail("the server did not resume a session");
  c.session.reset();
  if (X509_cmp(SSL_get0_peer_certificate(tls), certificate_.get()) != 0) {
    fail("the certificate is not the server's");
  }
  c.is_ready = true;
  return true;
}

void load::ask(connection& c) {
  if (c.questions == c.asked) return;
  ++c.questions;
  std::size_t count = 0;
  // Few bytes: the socket takes them.
  if (SSL_write_ex(c.tls.get(), question_.data(), question_.size(), &count) != 1) {
    fail_as_openssl_says("send a question");
  }
}

void load::on_received(connection& c, std::string_view bytes) {
  if (!c.is_in_body) {
    c.head += bytes;
    const std::size_t end = c.head.find("\r\n\r\n");
    if (end == std::string::npos) {
      if (c.head.size() > head_bytes_max) fail("an answer has no end");
      return;
    }
    if (c.questions == c.answered || c.body_bytes > 0) fail("an answer has no question");
    bench::check_answer_head(std::string_view(c.head).substr(0, end), answer_bytes(),
                             keeps_connections());
    const std::string head = std::exchange(c.head, {});
    c.is_in_body = true;
    return on_received(c, std::string_view(head).substr(end + 4));
  }
  if (bytes.size() > answer_bytes() - c.body_bytes) fail("an answer is too long");
  const std::string_view expected =
      keeps_connections()
          ? std::string_view(content_).substr(c.body_bytes % content_period, bytes.size())
          : short_answer.substr(c.body_bytes, bytes.size());
  if (bytes != expected) fail("the body of an answer is not the right one");
  c.body_bytes += bytes.size();
  c.is_in_body = c.body_bytes < answer_bytes();
  if (!keeps_connections() || c.is_in_body) return note_answers(c, 0, bytes.size());
  c.body_bytes = 0;
  note_answers(c, 1, bytes.size());
}

options parse(int argc, char** argv) {
  options result;
  bench::parse_round_options(argc, argv, result,
                             {
                                 {"--file", [&](unsigned long n) { result.file_bytes = n; }},
                                 {"--resume", [&](unsigned long) { result.is_resuming = true; }},
                             });
  if (result.depth != 1) fail("one request at a time is all that can be under way here");
  return result;
}

}  // namespace

/// usage: load CERTIFICATE-FILE --port N ...
int main(int argc, char** argv) {
  if (argc < 2) fail("the file of the server's certificate is missing");
  const options how = parse(argc - 1, argv + 1);
  load(how, argv[1]).serve();
}
