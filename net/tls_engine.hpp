/// A TLS connection: OpenSSL's state machine over a socket. tls_stream is its public face.
///
/// Terms. A *step* is one call into OpenSSL (SSL_read, SSL_write, SSL_do_handshake, SSL_shutdown).
/// The *backlog* is what OpenSSL has encrypted and the socket has not taken.
///
/// Protocol. OpenSSL reads and writes through a BIO of ours that only tries. Receiving, it takes
/// what the socket has, or says "again". Sending, it takes everything: what the socket does not
/// take at once is appended to the backlog. A call therefore is: make a step; read the thread's
/// queue of errors; and then, outside of OpenSSL, park until the socket is readable, or until the
/// backlog has gone out; again.
///
///   reader   takes the turn of readers; steps until one yields bytes, waiting for the socket to be
///            readable in between. Readers wait for the turn and not for the socket, because the
///            one before them may have drained the socket and left them data inside OpenSSL.
///   writer   takes the turn of writers; sends the backlog that somebody left; while the socket
///            takes all of it, makes a few records, which are *gathered* in a buffer of the thread,
///            and sends them at once; sends the backlog.
///
/// Invariants
///   1. A step never parks, so that no fiber sees OpenSSL in the middle of a step, and no other
///      fiber's step gets between a step and the look at its errors. All fibers of a connection
///      belong to one worker; there is no further lock. Nobody parks either while records are
///      gathered, since all connections of a thread gather in one buffer.
///   2. No step ever leaves a half-sent record inside OpenSSL, since the BIO takes everything. So a
///      step of the reader may come between two of the writer and the other way round, although
///      SSL_write must be repeated with the same bytes once it has said "again".
///   3. Bytes enter the backlog in the order of the steps that made them, and nothing is sent past
///      it. Only a writer with an empty backlog makes application data, so the backlog never holds
///      more than the few records gathered and what the protocol itself says (alerts, new keys).
///   4. What a write has counted as written is sent or in the backlog. A deadline or a kill while
///      the backlog goes out leaves it there for the next writer: the stream stays whole.
///   5. A writer whose step wants to read (a message of the handshake has come in part) waits for
///      the socket as the readers do; each arrival wakes all who wait, so that it does not matter
///      who takes the rest of the message.
///   6. close() may come while fibers wait. They hold a use of the engine; after each park they
///      look at is_open() before anything else.
///
/// Rejected: memory BIOs on both sides, which copy each byte once more and hold 34 KiB of an idle
/// connection; a buffer of each connection to gather in, which holds 64 KiB of an idle one, or is
/// allocated for each write, at a size that the allocator gives back to the kernel every time;
/// SSL_set_fd, whose writes stop in the middle of a record and then forbid the reader to send
/// anything; one lock around all of it, with which a blocked writer stops the reader.
#pragma once

#include <coir/detail/reference_count.hpp>
#include <coir/mutex.hpp>
#include <coir/net/socket_stream.hpp>
#include <coir/net/tls_context.hpp>

#include "net/openssl.hpp"
#include "net/tls_session_cache.hpp"
#include "net/tls_setup.hpp"

#include <string>
#include <vector>

namespace coir::net::detail {

class record_buffer;

class tls_engine final : private tls_observer {
 public:
  using deadline = coir::detail::deadline;

  /// Takes over the socket. `server_name` counts for clients only. Throws std::bad_alloc.
  tls_engine(socket_stream&& socket, const tls_context& context, bool is_server,
             std::string_view server_name);
  tls_engine(const tls_engine&) = delete;
  tls_engine& operator=(const tls_engine&) = delete;

  /// Closes it and drops the owner's use; the last user, maybe a call that still waits, frees it.
  void abandon() noexcept;

  // As tls_stream has them.
  void handshake(deadline until, std::error_code& ec);
  void resume(const tls_session& earlier);
  std::size_t read(mutable_buffer into, deadline until, std::error_code& ec);
  bool wait_readable(deadline until, std::error_code& ec);
  std::size_t write(const_buffer from, deadline until, std::error_code& ec);
  std::size_t write_parts(std::span<const const_buffer> parts, deadline until, std::error_code& ec);
  void shutdown(direction which, deadline until, std::error_code& ec);
  void close(std::error_code& ec) noexcept;
  bool is_open() const noexcept { return transport_.is_open(); }
  const socket_stream& transport() const noexcept { return transport_; }

  bool is_secure() const noexcept { return is_secure_; }
  /// Null when there is none, as for a context that is empty.
  SSL* ssl() const noexcept { return ssl_.get(); }
  const std::string& server_name() const noexcept { return server_name_; }
  std::error_code verification() const noexcept;
  /// The subject of the certificate that failed verification; empty when none did.
  const std::string& unverified_subject() const noexcept { return unverified_subject_; }
  tls_session session() const;

 private:
  /// How a step ended.
  enum class step {
    done,          ///< it did what it was to do
    wants_input,   ///< once the socket is readable it is to be repeated
    wants_choice,  ///< the handshake goes on once the server has chosen a context
    ended,         ///< the peer has said that it ends
    failed,        ///< failure_ says why
  };

  /// Which of a server's contexts it will be.
  enum class host_choice {
    unknown,  ///< the client has not said which host it means
    open,     ///< the program is to be asked
    settled,  ///< chosen_ is it
    refused,  ///< the client asked for a host that there is not
  };

  /// The socket with its tries.
  class plain_socket final : public socket_stream {
   public:
    explicit plain_socket(socket_stream&& taken) : socket_stream(std::move(taken)) {}
    using socket_stream::socket;
  };
  class use;
  class turn;
  class gathering;

  ~tls_engine() = default;
  void release() noexcept;

  void prepare(const tls_context& context);
  void prepare_client();
  void attach_bio();
  void shake_hands(deadline until, std::error_code& ec);
  step step_of_handshake() noexcept;
  void finish_handshake(std::error_code& ec);
  void give_up() noexcept;
  void take_leave() noexcept;
  void choose_context();
  void adopt(setup_handle chosen);
  void offer_session();
  std::string cache_key() const;

  template <class Call>
  step make(Call call) noexcept;
  std::error_code reason_of_failure() const noexcept;
  bool begin(std::error_code& ec) const noexcept;
  bool await_input(deadline until, bool& is_last_try, std::error_code& ec);
  void send_backlog(deadline until, std::error_code& ec);
  int try_backlog() noexcept;
  template <class Call>
  bool step_until_readable(Call call, deadline until, std::error_code& ec);
  std::size_t read_more(mutable_buffer into) noexcept;
  std::size_t write_some(const_buffer from, deadline until, std::error_code& ec);
  std::size_t write_records(const_buffer from, deadline until, std::error_code& ec);
  std::size_t write_record(const_buffer from, deadline until, std::error_code& ec);
  void end_writing(deadline until, std::error_code& ec);
  void end_at_once() noexcept;

  // What OpenSSL calls. None of them parks or throws.
  static BIO_METHOD* bio_methods() noexcept;
  static int receive(BIO* bio, char* into, std::size_t size, std::size_t* got) noexcept;
  static int send(BIO* bio, const char* from, std::size_t size, std::size_t* taken) noexcept;
  static long control(BIO* bio, int command, long number, void* pointer) noexcept;
  static int note_verification(int is_good, X509_STORE_CTX* at) noexcept;
  int note_client_hello(int& alert) noexcept override;
  bool note_session(SSL_SESSION* session) noexcept override;
  void end_gathering() noexcept;
  void pass_on(const char* from, std::size_t size) noexcept;
  host_choice find_host(std::string_view asked_for);

  coir::detail::reference_count users_;
  plain_socket transport_;
  const bool is_server_;
  const long process_;  ///< who may send on it: not a child that came by fork
  setup_handle setup_;
  setup_handle chosen_;  ///< the setup of the host that the client asked for; or setup_
  std::string server_name_;
  std::error_code unusable_;  ///< what is wrong with context or name; handshake() tells
  ssl_ptr ssl_;               ///< freed before the setups that its callbacks use

  coir::mutex readers_;
  coir::mutex writers_;

  bool is_secure_ = false;
  bool may_receive_ = true;     ///< false while a step may only use what OpenSSL has received
  bool has_eof_ = false;        ///< the socket has ended, and not by shutdown()
  bool is_read_shut_ = false;   ///< by shutdown(): the socket's end is the stream's
  bool has_ended_ = false;      ///< the peer has said that it ends
  bool is_write_shut_ = false;  ///< our own end is said
  host_choice choice_ = host_choice::unknown;
  std::error_code receive_error_;  ///< of the socket, not yet in failure_
  std::error_code send_error_;     ///< of the socket; later writes fail with it
  std::error_code failure_;        ///< of TLS, or of reading; later calls fail with it

  std::vector<char> backlog_;
  std::size_t backlog_sent_ = 0;       ///< how much of it has gone out
  record_buffer* gathered_ = nullptr;  ///< borrowed while what comes is to be sent together

  long verification_ = X509_V_OK;
  std::string unverified_subject_;
  session_handle given_session_;  ///< to be resumed
  session_handle newest_session_;
};

}  // namespace coir::net::detail
