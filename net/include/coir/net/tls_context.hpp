/// What a program's TLS connections have in common: whom they trust, who they are, what they speak.
#pragma once

#include <coir/export.hpp>
#include <coir/net/error.hpp>
#include <coir/net/tls_error.hpp>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

struct ssl_ctx_st;  // OpenSSL's SSL_CTX

namespace coir::net {

class tls_context;
namespace detail {
struct tls_setup;
struct tls_session_state;
class tls_engine;
}  // namespace detail

/// Versions of the protocol. Older ones are not offered.
enum class tls_version {
  tls12,  ///< RFC 5246
  tls13,  ///< RFC 8446
};

/// A certificate and its private key, in PEM, from files or as text. The certificate comes first,
/// then the intermediate ones that lead to an issuer whom the peer trusts.
struct tls_identity {
  std::string certificate_file{};  ///< a file with the certificate and its chain
  std::string key_file{};          ///< a file with the key; empty: it stands beside the certificate
  std::string certificate_pem{};   ///< the text, in place of a file
  std::string key_pem{};           ///< the text, in place of a file
  std::string password{};          ///< opens an encrypted key
};

/// Whose signatures are believed. All that is given counts.
struct tls_trust {
  std::string ca_file{};      ///< a file of certificates in PEM
  std::string ca_folder{};    ///< a folder of them by hash, as `openssl rehash` makes it
  std::string ca_pem{};       ///< certificates in PEM, as text
  bool system_store = false;  ///< the system's, too; a client to whom nothing is given takes it
};

/// Whether a server asks its clients for certificates.
enum class client_certificates {
  ignored,    ///< it does not
  requested,  ///< it asks; a client may have none, but not one that fails verification
  required,   ///< a handshake without one fails
};

/// How to make a tls_context.
struct tls_options {
  /// Who we are. A server has at least one identity, several if they differ in the kind of key.
  std::vector<tls_identity> identities{};
  /// Whom we believe.
  tls_trust trust{};
  /// The protocols above TLS that we speak (ALPN), the best first: "h2", "http/1.1". A server takes
  /// the first of its own that the client has too; if there is none the handshake fails. A client
  /// or server that names none leaves it open.
  std::vector<std::string> alpn{};
  /// The oldest version of the protocol that is spoken.
  tls_version version_min = tls_version::tls12;
  /// The newest one.
  tls_version version_max = tls_version::tls13;
  /// Ciphers of TLS 1.2, as ciphers(1) of OpenSSL writes them; empty: OpenSSL's choice.
  std::string ciphers{};
  /// Ciphers of TLS 1.3; empty: OpenSSL's choice.
  std::string cipher_suites{};
  /// Connections may go on where an earlier one to the same server left off, which saves half of
  /// the handshake. A client keeps a few sessions per host and port; a server hands out tickets.
  bool resumption = true;

  /// Servers only: see client_certificates. Needs `trust`.
  client_certificates from_clients = client_certificates::ignored;
  /// Servers only: contexts for the names that clients ask for (SNI), in lower case;
  /// "*.example.org" stands for each name with one more label. Clients that ask for another name,
  /// or none, get this context.
  std::map<std::string, tls_context> hosts{};
  /// Servers only: asked for names that `hosts` does not have, "" included; an empty context means
  /// this one. It is called on the fiber of the handshake and may park; what it throws comes out of
  /// handshake(). It may be called by several fibers, of any worker, at a time.
  std::function<tls_context(std::string_view name)> choose_host{};
  /// Servers only: a client that asks for a name which neither of the two knows is turned away.
  bool refuses_unknown_hosts = false;
};

/// A session that a client may take up again in a later connection. Cheap to copy. Any thread.
class COIR_API tls_session {
 public:
  /// No session.
  tls_session() noexcept = default;
  /// False when there is none.
  explicit operator bool() const noexcept { return state_ != nullptr; }

 private:
  friend class detail::tls_engine;
  std::shared_ptr<const detail::tls_session_state> state_;
};

/// The settings of TLS connections, for all of them: cheap to copy, since copies share one thing,
/// which never changes; any thread may use it. Making one reads files and parses certificates,
/// which takes some milliseconds and blocks; nothing in it parks. A process keeps few of them, for
/// long, since they also keep the sessions that later connections resume.
class COIR_API tls_context {
 public:
  /// Empty: connections with it fail.
  tls_context() noexcept = default;

  /// For clients. The server's chain must lead to an issuer that is trusted, the system's if
  /// `options` names none, and its certificate must be for the host name, or IP address, that the
  /// connection asks for. Throws what is wrong with the options, with the file at fault.
  static tls_context client(const tls_options& options = {});
  /// Its twin; the context is empty when `ec` is set.
  static tls_context client(const tls_options& options, std::error_code& ec);
  /// For clients that believe whoever answers: anybody on the way can read and change everything.
  /// For tests, and where tls_stream::peer_certificate is compared with a known one.
  static tls_context client_without_verification(const tls_options& options = {});
  /// Its twin; the context is empty when `ec` is set.
  static tls_context client_without_verification(const tls_options& options, std::error_code& ec);
  /// For servers. Throws what is wrong with the options, with the file at fault.
  static tls_context server(const tls_options& options);
  /// Its twin; the context is empty when `ec` is set.
  static tls_context server(const tls_options& options, std::error_code& ec);

  /// False for an empty one.
  explicit operator bool() const noexcept { return setup_ != nullptr; }
  /// True when it is for servers.
  bool is_server() const noexcept;
  /// OpenSSL's SSL_CTX, for what has no word here; to be changed before the first connection only.
  /// Null when empty. The context owns it.
  ssl_ctx_st* native_handle() const noexcept;

 private:
  friend class detail::tls_engine;
  explicit tls_context(std::shared_ptr<const detail::tls_setup> setup) noexcept;

  std::shared_ptr<const detail::tls_setup> setup_;
};

}  // namespace coir::net
