// Handshakes: which host, which session, and whether the peer is who it should be.
#include "net/cooperative.hpp"
#include "net/tls_engine.hpp"
#include "net/tls_steps.hpp"
#include "runtime/io/io.hpp"

#include <cerrno>
#include <memory>
#include <new>

namespace coir::net::detail {
namespace {

std::string lower_case(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return lower;
}

/// The host name in the extension server_name of a client's first message; empty when there is
/// none: RFC 6066.
std::string_view name_in_hello(SSL* ssl) noexcept {
  const unsigned char* bytes = nullptr;
  std::size_t size = 0;
  constexpr std::size_t head_bytes = 5;  // length of the list, kind of name, length of the name
  if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &bytes, &size) != 1) return {};
  if (size < head_bytes || bytes[2] != TLSEXT_NAMETYPE_host_name) return {};
  const std::size_t name_size = static_cast<std::size_t>(bytes[3]) << 8 | bytes[4];
  if (name_size > size - head_bytes || name_size > TLSEXT_MAXLEN_host_name) return {};
  return {reinterpret_cast<const char*>(bytes) + head_bytes, name_size};
}

}  // namespace

void tls_engine::handshake(deadline until, std::error_code& ec) {
  ec.clear();
  use keep(*this);
  turn reading(readers_, until, ec);
  if (ec || is_secure_) return;
  if (!is_open()) {
    ec = code_of(-EBADF);
    return;
  }
  struct closing {
    tls_engine& engine;
    ~closing() {
      if (!engine.is_secure_) engine.give_up();
    }
  } closes_what_failed{*this};
  ec = unusable_;
  if (!ec && !ensure_worker(ec)) return;
  if (!ec) shake_hands(until, ec);
}

void tls_engine::shake_hands(deadline until, std::error_code& ec) {
  if (!is_server_) offer_session();
  for (bool is_last_try = false;;) {
    const step made = step_of_handshake();
    if (made == step::failed || made == step::ended) {
      ec = failure_ ? failure_ : tls_errc::truncated;
      return;
    }
    // An error of the socket is left to the first write: the peer may have said why it went away.
    std::error_code unsent;
    send_backlog(until, unsent);
    if (unsent && !send_error_) {
      ec = unsent;
      return;
    }
    if (made == step::done && is_open()) return finish_handshake(ec);
    if (made == step::wants_choice) {
      choose_context();
    } else if (made == step::wants_input && !await_input(until, is_last_try, ec)) {
      return;
    }
    if (!is_open()) {  // closed by another fiber meanwhile
      ec = code_of(-EBADF);
      return;
    }
  }
}

/// A step with all that it says in one piece: two tickets, say.
tls_engine::step tls_engine::step_of_handshake() noexcept {
  const gathering together(*this);
  return make([](SSL* ssl) { return SSL_do_handshake(ssl); });
}

/// OpenSSL does not verify anew what it resumes: a session from elsewhere might never have been.
void tls_engine::finish_handshake(std::error_code& ec) {
  const long found = SSL_get_verify_result(ssl_.get());
  const bool is_verified = found == X509_V_OK || !chosen_->verifies;
  if (!is_verified) {
    verification_ = found;
    failure_ = ec = code_of_verification(found);
    return;
  }
  is_secure_ = true;
  io::stream_socket::count_call();
}

/// Ends a handshake that failed. What the peer has sent is taken out first, as far as it is there:
/// closing a socket over unread bytes would reset the connection, and the alert that says why would
/// be lost on its way.
void tls_engine::give_up() noexcept {
  if (!is_open()) return;
  if (io::on_worker()) take_leave();
  std::error_code ignored;
  transport_.close(ignored);
}

void tls_engine::take_leave() noexcept {
  try_backlog();
  std::error_code ignored;
  transport_.shutdown(direction::write, ignored);
  char dropped[2048];
  for (int rounds = 0; rounds < 32; ++rounds) {
    if (transport_.socket().try_recv(dropped, sizeof dropped, 0) <= 0) break;
  }
}

/// Asks the program which host the client means.
void tls_engine::choose_context() {
  setup_handle chosen = setup_->choose_host(server_name_);
  const bool is_suitable = chosen && chosen->is_server;
  choice_ =
      is_suitable || !setup_->refuses_unknown_hosts ? host_choice::settled : host_choice::refused;
  if (is_suitable) adopt(std::move(chosen));
}

/// Goes on with the settings of another context.
void tls_engine::adopt(setup_handle chosen) {
  SSL* const ssl = ssl_.get();
  SSL_CTX* const context = chosen->context.get();
  if (!SSL_set_SSL_CTX(ssl, context)) throw std::bad_alloc();
  SSL_set_verify(ssl, SSL_CTX_get_verify_mode(context), note_verification);
  SSL_clear_options(ssl, SSL_get_options(ssl));
  SSL_set_options(ssl, SSL_CTX_get_options(context));
  SSL_set_min_proto_version(ssl, static_cast<int>(SSL_CTX_get_min_proto_version(context)));
  SSL_set_max_proto_version(ssl, static_cast<int>(SSL_CTX_get_max_proto_version(context)));
  chosen_ = std::move(chosen);
}

// --- hosts ---------------------------------------------------------------------------------------

/// Learns the name that the client asks for, and picks the host's settings; or has the handshake
/// stop here until the program has picked them.
int tls_engine::note_client_hello(int& alert) noexcept {
  alert = SSL_AD_UNRECOGNIZED_NAME;
  try {
    if (choice_ == host_choice::unknown) choice_ = find_host(name_in_hello(ssl_.get()));
  } catch (const std::bad_alloc&) {
    alert = SSL_AD_INTERNAL_ERROR;
    return SSL_CLIENT_HELLO_ERROR;
  }
  if (choice_ == host_choice::settled) return SSL_CLIENT_HELLO_SUCCESS;
  return choice_ == host_choice::open ? SSL_CLIENT_HELLO_RETRY : SSL_CLIENT_HELLO_ERROR;
}

tls_engine::host_choice tls_engine::find_host(std::string_view asked_for) {
  server_name_ = lower_case(asked_for);
  const auto& hosts = setup_->hosts;
  auto found = hosts.find(server_name_);
  const std::size_t dot = server_name_.find('.');
  if (found == hosts.end() && dot != server_name_.npos) {
    found = hosts.find('*' + server_name_.substr(dot));
  }
  if (found != hosts.end()) {
    adopt(found->second);
    return host_choice::settled;
  }
  if (setup_->choose_host) return host_choice::open;
  return setup_->refuses_unknown_hosts ? host_choice::refused : host_choice::settled;
}

// --- sessions ------------------------------------------------------------------------------------

/// Where the context keeps the sessions with this server.
std::string tls_engine::cache_key() const {
  std::error_code unknown;
  const address peer = transport_.peer_address(unknown);
  return server_name_ + ' ' + (peer.is_unix() ? peer.to_string() : std::to_string(peer.port()));
}

void tls_engine::resume(const tls_session& earlier) { given_session_ = earlier.state_; }

void tls_engine::offer_session() {
  session_handle offered = std::move(given_session_);
  if (!offered && setup_->keeps_sessions) offered = setup_->sessions.take(cache_key());
  if (!offered || offered->server_name != server_name_) return;
  if (setup_->verifies && !offered->is_verified) return;
  SSL_set_session(ssl_.get(), offered->session.get());
}

bool tls_engine::note_session(SSL_SESSION* session) noexcept {
  try {
    auto noted = std::make_shared<tls_session_state>();
    noted->server_name = server_name_;
    noted->is_verified = setup_->verifies && SSL_get_verify_result(ssl_.get()) == X509_V_OK;
    const std::string key = cache_key();
    noted->session.reset(session);
    newest_session_ = noted;
    if (setup_->keeps_sessions) setup_->sessions.put(key, std::move(noted));
  } catch (const std::bad_alloc&) {
    // A session less to resume. If it is in `noted` it is ours, and gone with it
  }
  return newest_session_ && newest_session_->session.get() == session;
}

tls_session tls_engine::session() const {
  tls_session newest;
  if (newest_session_ && SSL_SESSION_is_resumable(newest_session_->session.get())) {
    newest.state_ = newest_session_;
  }
  return newest;
}

// --- verification --------------------------------------------------------------------------------

/// Keeps what is wrong, and with whose certificate; decides nothing.
int tls_engine::note_verification(int is_good, X509_STORE_CTX* at) noexcept {
  if (is_good) return is_good;
  void* const ssl = X509_STORE_CTX_get_ex_data(at, SSL_get_ex_data_X509_STORE_CTX_idx());
  tls_engine& self = static_cast<tls_engine&>(of(static_cast<SSL*>(ssl)));
  self.verification_ = X509_STORE_CTX_get_error(at);
  const X509* const whose = X509_STORE_CTX_get_current_cert(at);
  if (whose) {
    try {
      self.unverified_subject_ = text_of(X509_get_subject_name(whose));
    } catch (const std::bad_alloc&) {
      self.unverified_subject_.clear();
    }
  }
  return is_good;
}

std::error_code tls_engine::verification() const noexcept {
  if (verification_ != X509_V_OK) return code_of_verification(verification_);
  return ssl_ ? code_of_verification(SSL_get_verify_result(ssl_.get())) : std::error_code();
}

}  // namespace coir::net::detail
