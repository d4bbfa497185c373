#include "net/tls_engine.hpp"

#include "net/cooperative.hpp"
#include "runtime/io/io.hpp"
#include "runtime/kernel/calls.hpp"

#include <algorithm>
#include <cerrno>
#include <memory>
#include <mutex>
#include <new>

#include <openssl/err.h>

namespace coir::net::detail {
namespace {

/// What a record of TLS holds at most.
constexpr std::size_t record_bytes = 16 * 1024;

std::string lower_case(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return lower;
}

/// A host name or address as certificates have it: without the dot that ends a full name, and
/// without the zone of an address ("%eth0").
std::string name_to_verify(std::string_view given) {
  if (given.find(':') != given.npos) given = given.substr(0, given.find('%'));
  if (given.ends_with('.')) given.remove_suffix(1);
  return std::string(given);
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

/// Keeps an engine for the length of a call: another fiber may abandon it meanwhile.
class tls_engine::use {
 public:
  explicit use(tls_engine& engine) noexcept : engine_(engine) { engine_.users_.add(); }
  use(const use&) = delete;
  use& operator=(const use&) = delete;
  ~use() { engine_.release(); }

 private:
  tls_engine& engine_;
};

/// The turn of one reader or writer; others wait for theirs in order.
class tls_engine::turn {
 public:
  turn(coir::mutex& of, deadline until, std::error_code& ec) : turn_(of, std::defer_lock) {
    if (turn_.try_lock()) return;
    if (until == coir::detail::never) {
      turn_.lock();
    } else if (!turn_.try_lock_until(point_of(until))) {
      ec = code_of(-ETIMEDOUT);
    }
  }

 private:
  using clock = std::chrono::steady_clock;
  static clock::time_point point_of(deadline until) {
    return clock::time_point(std::chrono::nanoseconds(until));
  }

  std::unique_lock<coir::mutex> turn_;
};

// --- beginning and end ---------------------------------------------------------------------------

tls_engine::tls_engine(socket_stream&& socket, const tls_context& context, bool is_server,
                       std::string_view server_name)
    : transport_(std::move(socket)),
      is_server_(is_server),
      process_(kernel::call(SYS_getpid)),
      server_name_(is_server ? "" : name_to_verify(server_name)) {
  prepare(context);
}

void tls_engine::prepare(const tls_context& context) {
  setup_ = chosen_ = context.setup_;
  if (!setup_ || setup_->is_server != is_server_) {
    unusable_ = tls_errc::unsuitable_option;
    return;
  }
  drop_errors();
  ssl_.reset(SSL_new(setup_->context.get()));
  if (!ssl_) throw std::bad_alloc();
  SSL_set_app_data(ssl_.get(), static_cast<tls_observer*>(this));
  attach_bio();
  SSL_set_verify(ssl_.get(), SSL_CTX_get_verify_mode(setup_->context.get()), note_verification);
  if (is_server_) {
    SSL_set_accept_state(ssl_.get());
  } else {
    SSL_set_connect_state(ssl_.get());
    prepare_client();
  }
  drop_errors();
}

/// What a client's handshake says, and checks, of the server's name.
void tls_engine::prepare_client() {
  if (server_name_.empty()) {
    if (setup_->verifies) unusable_ = tls_errc::no_server_name;
    return;
  }
  SSL* const ssl = ssl_.get();
  X509_VERIFY_PARAM* const checked = SSL_get0_param(ssl);
  if (X509_VERIFY_PARAM_set1_ip_asc(checked, server_name_.c_str()) == 1) return;
  X509_VERIFY_PARAM_set_hostflags(checked, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
  const bool is_sayable = server_name_.find('\0') == server_name_.npos;
  if (!is_sayable || X509_VERIFY_PARAM_set1_host(checked, server_name_.c_str(), 0) != 1 ||
      SSL_set_tlsext_host_name(ssl, server_name_.c_str()) != 1) {
    unusable_ = std::make_error_code(std::errc::invalid_argument);
  }
}

void tls_engine::attach_bio() {
  BIO* const bio = BIO_new(bio_methods());
  if (!bio) throw std::bad_alloc();
  BIO_set_data(bio, this);
  BIO_set_init(bio, 1);
  SSL_set_bio(ssl_.get(), bio, bio);
}

void tls_engine::abandon() noexcept {
  std::error_code ignored;
  close(ignored);
  release();
}

void tls_engine::release() noexcept {
  if (users_.drop()) delete this;
}

// --- steps ---------------------------------------------------------------------------------------

/// Makes one step, and looks at its errors before anybody else can make another.
template <class Call>
tls_engine::step tls_engine::make(Call call) noexcept {
  drop_errors();
  const int result = call(ssl_.get());
  switch (SSL_get_error(ssl_.get(), result)) {
    case SSL_ERROR_NONE:
      return step::done;
    case SSL_ERROR_WANT_READ:
      return step::wants_input;
    case SSL_ERROR_WANT_CLIENT_HELLO_CB:
      return step::wants_choice;
    case SSL_ERROR_ZERO_RETURN:
      has_ended_ = true;
      return step::ended;
    default:
      break;
  }
  failure_ = reason_of_failure();
  return step::failed;
}

/// The socket's error comes first, since OpenSSL's is then only that it got nothing; and a
/// certificate's, since OpenSSL's is then only that there was one.
std::error_code tls_engine::reason_of_failure() const noexcept {
  const std::error_code by_openssl = take_error();
  if (choice_ == host_choice::refused) return tls_errc::unknown_host;
  if (receive_error_) return receive_error_;
  if (has_eof_) return tls_errc::truncated;
  constexpr int verify_failed = (ERR_LIB_SSL << 23) | SSL_R_CERTIFICATE_VERIFY_FAILED;
  const bool is_certificate = by_openssl == std::error_code(verify_failed, tls_category());
  return is_certificate && verification_ != X509_V_OK ? code_of_verification(verification_)
                                                      : by_openssl;
}

/// True when a call that moves bytes is to go on; else `ec` is set.
bool tls_engine::begin(std::error_code& ec) const noexcept {
  if (!is_open()) {
    ec = code_of(-EBADF);
  } else if (!is_secure_) {
    ec = tls_errc::no_handshake;
  } else {
    ec = failure_;
  }
  return !ec;
}

/// Waits for the socket. False when the call is over, with `ec` set. After a deadline there is one
/// more try: what has come meanwhile counts.
bool tls_engine::await_input(deadline until, bool& is_last_try, std::error_code& ec) {
  if (is_last_try) {
    ec = code_of(-ETIMEDOUT);
    return false;
  }
  const int error = transport_.socket().wait_readable(until);
  is_last_try = error == -ETIMEDOUT;
  if (!is_last_try) finish(error, ec);
  return !ec;
}

/// Sends what the socket takes now; 0 when all is gone, else -EAGAIN or the error of the socket.
int tls_engine::try_backlog() noexcept {
  while (backlog_sent_ < backlog_.size()) {
    const ssize_t sent = transport_.socket().try_send(backlog_.data() + backlog_sent_,
                                                      backlog_.size() - backlog_sent_, 0);
    if (sent < 0) return static_cast<int>(sent);
    backlog_sent_ += static_cast<std::size_t>(sent);
  }
  backlog_ = {};
  backlog_sent_ = 0;
  return 0;
}

/// Parks until the backlog is gone.
void tls_engine::send_backlog(deadline until, std::error_code& ec) {
  bool is_last_try = false;
  while (!send_error_) {
    const int error = try_backlog();
    if (error == 0) break;
    if (error != -EAGAIN) {
      send_error_ = code_of(error);
      break;
    }
    const int waited = is_last_try ? -ETIMEDOUT : transport_.socket().wait_writable(until);
    if (is_last_try || (waited < 0 && waited != -ETIMEDOUT)) {
      finish(waited, ec);
      return;
    }
    is_last_try = waited == -ETIMEDOUT;
  }
  ec = is_open() ? send_error_ : code_of(-EBADF);
}

// --- handshake -----------------------------------------------------------------------------------

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
    const step made = make([](SSL* ssl) { return SSL_do_handshake(ssl); });
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

// --- reading and writing -------------------------------------------------------------------------

std::size_t tls_engine::read(mutable_buffer into, deadline until, std::error_code& ec) {
  use keep(*this);
  turn reading(readers_, until, ec);
  std::size_t count = 0;
  const auto read_record = [&](SSL* ssl) {
    return SSL_read_ex(ssl, into.data(), into.size(), &count);
  };
  if (ec || !step_until_readable(read_record, until, ec)) return 0;
  count += read_more(into.from(count));
  io::stream_socket::count_call();
  return count;
}

bool tls_engine::wait_readable(deadline until, std::error_code& ec) {
  use keep(*this);
  turn reading(readers_, until, ec);
  const auto look = [](SSL* ssl) {
    char byte;
    std::size_t count = 0;
    return SSL_peek_ex(ssl, &byte, 1, &count);
  };
  return !ec && step_until_readable(look, until, ec);
}

/// Repeats a step of the reader until it yields something. False at the end, or with `ec` set.
template <class Call>
bool tls_engine::step_until_readable(Call call, deadline until, std::error_code& ec) {
  for (bool is_last_try = false;;) {
    if (!is_open()) {
      ec = code_of(-EBADF);
      return false;
    }
    if (has_ended_ || !begin(ec)) return false;
    const step made = make(call);
    if (made == step::done) return true;
    if (made == step::failed) ec = failure_;
    if (made == step::failed || has_ended_) return false;  // ended by shutdown(), too
    if (!await_input(until, is_last_try, ec)) return false;
  }
}

/// Reads on as far as OpenSSL has received already. An error meets the next call.
std::size_t tls_engine::read_more(mutable_buffer into) noexcept {
  std::size_t count = 0;
  may_receive_ = false;
  while (count < into.size() && SSL_has_pending(ssl_.get())) {
    const mutable_buffer rest = into.from(count);
    std::size_t more = 0;
    const step made =
        make([&](SSL* ssl) { return SSL_read_ex(ssl, rest.data(), rest.size(), &more); });
    if (made != step::done) break;
    count += more;
  }
  may_receive_ = true;
  return count;
}

std::size_t tls_engine::write(const_buffer from, deadline until, std::error_code& ec) {
  use keep(*this);
  return write_some(from, until, ec);
}

/// Makes and sends as many records as the socket takes at once, at least one.
std::size_t tls_engine::write_some(const_buffer from, deadline until, std::error_code& ec) {
  turn writing(writers_, until, ec);
  if (ec || !begin(ec)) return 0;
  send_backlog(until, ec);
  std::size_t count = 0;
  while (!ec && count < from.size() && backlog_.empty()) {
    count += write_record(from.from(count), until, ec);
  }
  if (!ec) send_backlog(until, ec);
  return count;
}

/// Makes one record of the first bytes of `from`; parks only where OpenSSL wants to read first.
std::size_t tls_engine::write_record(const_buffer from, deadline until, std::error_code& ec) {
  const std::size_t size = std::min(from.size(), record_bytes);
  for (bool is_last_try = false;;) {
    if (!begin(ec)) return 0;
    if (is_write_shut_) {
      ec = code_of(-EPIPE);
      return 0;
    }
    std::size_t count = 0;
    const step made = make([&](SSL* ssl) { return SSL_write_ex(ssl, from.data(), size, &count); });
    if (made == step::done) {
      if (send_error_) {
        ec = send_error_;
        return 0;
      }
      io::stream_socket::count_call();
      return count;
    }
    if (made != step::wants_input) {
      ec = failure_ ? failure_ : code_of(-EPIPE);
      return 0;
    }
    if (!await_input(until, is_last_try, ec)) return 0;
  }
}

/// Small parts are copied together, so that they share a record; large ones are not copied.
std::size_t tls_engine::write_parts(std::span<const const_buffer> parts, deadline until,
                                    std::error_code& ec) {
  use keep(*this);
  std::unique_ptr<char[]> together;
  std::size_t filled = 0;
  std::size_t count = 0;
  const auto write_out = [&](const_buffer bytes) {
    for (std::size_t done = 0; !ec && done < bytes.size();) {
      const std::size_t more = write_some(bytes.from(done), until, ec);
      done += more;
      count += more;
    }
  };
  const auto write_filled = [&] {
    if (filled > 0) write_out({together.get(), filled});
    filled = 0;
  };
  for (const_buffer rest : parts) {
    while (!ec && rest.size() > 0) {
      if (filled == 0 && rest.size() >= record_bytes) {
        write_out({rest.data(), rest.size() / record_bytes * record_bytes});
        rest = rest.from(rest.size() / record_bytes * record_bytes);
        continue;
      }
      if (!together) together = std::make_unique_for_overwrite<char[]>(record_bytes);
      const std::size_t more = std::min(rest.size(), record_bytes - filled);
      std::copy_n(static_cast<const char*>(rest.data()), more, together.get() + filled);
      filled += more;
      rest = rest.from(more);
      if (filled == record_bytes) write_filled();
    }
  }
  if (!ec) write_filled();
  return count;
}

// --- the end -------------------------------------------------------------------------------------

void tls_engine::shutdown(direction which, deadline until, std::error_code& ec) {
  use keep(*this);
  ec.clear();
  if (!is_open()) ec = code_of(-EBADF);
  if (!ec && which != direction::read) end_writing(until, ec);
  if (!ec && which != direction::write) {
    is_read_shut_ = true;
    transport_.shutdown(direction::read, ec);
  }
}

/// Says that nothing more comes (close_notify), behind what was written before.
void tls_engine::end_writing(deadline until, std::error_code& ec) {
  if (!ensure_worker(ec)) return;
  turn writing(writers_, until, ec);
  if (ec || is_write_shut_ || !begin(ec)) return;
  send_backlog(until, ec);
  bool is_last_try = false;
  while (!ec && SSL_in_init(ssl_.get())) {  // a message has come in part
    const step made = make([](SSL* ssl) { return SSL_do_handshake(ssl); });
    if (made == step::failed) ec = failure_;
    if (made == step::wants_input && await_input(until, is_last_try, ec)) begin(ec);
  }
  if (ec) return;
  is_write_shut_ = true;
  // 0: said, and the peer has not said it yet; its answer is for the readers.
  const step made = make([](SSL* ssl) { return SSL_shutdown(ssl) >= 0 ? 1 : -1; });
  if (made == step::failed) ec = failure_;
  if (!ec) send_backlog(until, ec);
}

void tls_engine::close(std::error_code& ec) noexcept {
  ec.clear();
  if (!is_open()) return;
  end_at_once();
  transport_.close(ec);
}

/// Says that nothing more comes, if that can be done without waiting.
void tls_engine::end_at_once() noexcept {
  if (!is_secure_ || is_write_shut_ || failure_ || send_error_) return;
  if (kernel::call(SYS_getpid) != process_ || !io::on_worker()) return;
  if (try_backlog() != 0 || SSL_in_init(ssl_.get())) return;
  is_write_shut_ = true;
  make([](SSL* ssl) { return SSL_shutdown(ssl) >= 0 ? 1 : -1; });
}

// --- what OpenSSL calls --------------------------------------------------------------------------

BIO_METHOD* tls_engine::bio_methods() noexcept {
  static BIO_METHOD* const methods = [] {
    BIO_METHOD* const made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "coir");
    if (!made) return made;
    BIO_meth_set_read_ex(made, receive);
    BIO_meth_set_write_ex(made, send);
    BIO_meth_set_ctrl(made, control);
    return made;
  }();
  return methods;
}

int tls_engine::receive(BIO* bio, char* into, std::size_t size, std::size_t* got) noexcept {
  tls_engine& self = *static_cast<tls_engine*>(BIO_get_data(bio));
  BIO_clear_retry_flags(bio);
  *got = 0;
  const ssize_t result =
      self.may_receive_ ? self.transport_.socket().try_recv(into, size, 0) : -EAGAIN;
  if (result > 0) {
    *got = static_cast<std::size_t>(result);
    return 1;
  }
  // The end that shutdown() made looks to OpenSSL like a pause: it would take it for a truncation,
  // and then refuse to write.
  if (result == 0) (self.is_read_shut_ ? self.has_ended_ : self.has_eof_) = true;
  if (result == -EAGAIN || (result == 0 && self.is_read_shut_)) BIO_set_retry_read(bio);
  if (result < 0 && result != -EAGAIN) self.receive_error_ = code_of(result);
  return 0;
}

int tls_engine::send(BIO* bio, const char* from, std::size_t size, std::size_t* taken) noexcept {
  tls_engine& self = *static_cast<tls_engine*>(BIO_get_data(bio));
  BIO_clear_retry_flags(bio);
  *taken = size;
  if (self.send_error_) return 1;
  try {
    self.take_output(from, size);
  } catch (const std::bad_alloc&) {
    self.send_error_ = std::make_error_code(std::errc::not_enough_memory);
  }
  return 1;
}

/// Sends what the socket takes, unless older bytes wait; keeps the rest.
void tls_engine::take_output(const char* from, std::size_t size) {
  std::size_t sent = 0;
  while (backlog_.empty() && sent < size) {
    const ssize_t result = transport_.socket().try_send(from + sent, size - sent, 0);
    if (result == -EAGAIN) break;
    if (result < 0) {
      send_error_ = code_of(result);
      return;
    }
    sent += static_cast<std::size_t>(result);
  }
  backlog_.insert(backlog_.end(), from + sent, from + size);
}

long tls_engine::control(BIO* bio, int command, long, void*) noexcept {
  const tls_engine& self = *static_cast<const tls_engine*>(BIO_get_data(bio));
  switch (command) {
    case BIO_CTRL_FLUSH:
      return 1;
    case BIO_CTRL_EOF:
      return self.has_eof_;
    default:
      return 0;
  }
}

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

std::error_code tls_engine::verification() const noexcept {
  if (verification_ != X509_V_OK) return code_of_verification(verification_);
  return ssl_ ? code_of_verification(SSL_get_verify_result(ssl_.get())) : std::error_code();
}

}  // namespace coir::net::detail
