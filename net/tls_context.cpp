// A context is made by steps; the first that fails throws std::system_error with what it was about,
// which make() hands on or turns into a code.
#include <coir/net/tls_context.hpp>

#include "net/cooperative.hpp"
#include "net/openssl.hpp"
#include "net/tls_setup.hpp"

#include <algorithm>
#include <array>
#include <filesystem>
#include <utility>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>

namespace coir::net {
namespace {

using detail::bio_ptr;
using detail::key_ptr;
using detail::take_error;
using detail::throw_error;
using detail::tls_setup;
using detail::x509_chain_ptr;
using detail::x509_ptr;

/// A record of 16 KiB and its neighbours by one system call.
constexpr std::size_t read_buffer_bytes = 64 * 1024;

enum class kind { client, unverified_client, server };

[[noreturn]] void fail(std::error_code ec, const std::string& what) {
  detail::drop_errors();
  throw_error(ec, "make a TLS context: " + what);
}

[[noreturn]] void fail_as_openssl_says(const std::string& what) { fail(take_error(), what); }

/// PEM from a file or a text; `name` says which in errors.
struct pem_source {
  bio_ptr bytes;
  std::string name;
};

pem_source open_pem(const std::string& file, const std::string& text, const std::string& what) {
  detail::drop_errors();
  if (!file.empty() && !text.empty()) {
    fail(tls_errc::unsuitable_option, what + " is given both as a file and as a text");
  }
  const std::string name = what + (file.empty() ? " in the text given" : " in " + file);
  bio_ptr bytes(file.empty() ? BIO_new_mem_buf(text.data(), static_cast<int>(text.size()))
                             : BIO_new_file(file.c_str(), "r"));
  if (!bytes) fail_as_openssl_says(name);
  return {std::move(bytes), name};
}

/// What opens an encrypted key. OpenSSL would ask on the terminal if there were no callback.
struct password {
  const std::string& text;
  bool was_asked = false;

  static int tell(char* into, int size, int, void* argument) noexcept {
    auto& self = *static_cast<password*>(argument);
    self.was_asked = true;
    if (self.text.empty() || self.text.size() > static_cast<std::size_t>(size)) return -1;
    std::copy(self.text.begin(), self.text.end(), into);
    return static_cast<int>(self.text.size());
  }
};

/// All certificates of a text, which must have one.
x509_chain_ptr read_certificates(const pem_source& from) {
  x509_chain_ptr all(sk_X509_new_null());
  const std::string none;
  password unknown{none};
  while (X509* each = PEM_read_bio_X509(from.bytes.get(), nullptr, password::tell, &unknown)) {
    if (!sk_X509_push(all.get(), each)) throw std::bad_alloc();
  }
  const unsigned long end = ERR_peek_last_error();
  const bool is_at_end =
      ERR_GET_LIB(end) == ERR_LIB_PEM && ERR_GET_REASON(end) == PEM_R_NO_START_LINE;
  if (!is_at_end) fail_as_openssl_says(from.name);
  detail::drop_errors();
  if (sk_X509_num(all.get()) == 0) fail(tls_errc::no_certificate, from.name);
  return all;
}

key_ptr read_key(const pem_source& from, const std::string& password_text) {
  password opens{password_text};
  key_ptr key(PEM_read_bio_PrivateKey(from.bytes.get(), nullptr, password::tell, &opens));
  if (!key) fail(opens.was_asked ? tls_errc::wrong_password : tls_errc::no_private_key, from.name);
  return key;
}

void use_identity(SSL_CTX* context, const tls_identity& who) {
  pem_source certificate_source =
      open_pem(who.certificate_file, who.certificate_pem, "the certificate");
  x509_chain_ptr chain = read_certificates(certificate_source);
  const bool has_own_key = !who.key_file.empty() || !who.key_pem.empty();
  const pem_source key_source =
      has_own_key ? open_pem(who.key_file, who.key_pem, "the private key")
                  : open_pem(who.certificate_file, who.certificate_pem, "the private key");
  const key_ptr key = read_key(key_source, who.password);
  const x509_ptr own(sk_X509_shift(chain.get()));
  detail::drop_errors();
  if (X509_check_private_key(own.get(), key.get()) != 1) {
    fail(tls_errc::key_mismatch, key_source.name + " for " + certificate_source.name);
  }
  if (SSL_CTX_use_cert_and_key(context, own.get(), key.get(), chain.get(), 1) != 1) {
    fail_as_openssl_says(certificate_source.name);
  }
}

/// Trusts all certificates of a text; a server also names them to its clients.
void trust_certificates(const tls_setup& setup, const pem_source& from) {
  const x509_chain_ptr all = read_certificates(from);
  SSL_CTX* const context = setup.context.get();
  for (int i = 0; i < sk_X509_num(all.get()); ++i) {
    X509* const each = sk_X509_value(all.get(), i);
    if (X509_STORE_add_cert(SSL_CTX_get_cert_store(context), each) != 1 ||
        (setup.is_server && SSL_CTX_add_client_CA(context, each) != 1)) {
      fail_as_openssl_says(from.name);
    }
  }
}

void use_trust(const tls_setup& setup, const tls_trust& trust) {
  SSL_CTX* const context = setup.context.get();
  if (!trust.ca_file.empty()) {
    trust_certificates(setup, open_pem(trust.ca_file, {}, "the certificates of issuers"));
  }
  if (!trust.ca_pem.empty()) {
    trust_certificates(setup, open_pem({}, trust.ca_pem, "the certificates of issuers"));
  }
  if (!trust.ca_folder.empty()) {
    std::error_code ec;
    const bool is_there = std::filesystem::is_directory(trust.ca_folder, ec);
    if (!ec && !is_there) ec = std::make_error_code(std::errc::not_a_directory);
    if (ec) fail(ec, "the folder of issuers " + trust.ca_folder);
    if (SSL_CTX_load_verify_dir(context, trust.ca_folder.c_str()) != 1) {
      fail_as_openssl_says("the folder of issuers " + trust.ca_folder);
    }
  }
  const bool names_nobody =
      trust.ca_file.empty() && trust.ca_pem.empty() && trust.ca_folder.empty();
  if (trust.system_store || (names_nobody && !setup.is_server)) {
    if (SSL_CTX_set_default_verify_paths(context) != 1) {
      fail_as_openssl_says("the issuers that the system trusts");
    }
  }
  detail::drop_errors();
}

int number_of(tls_version version) noexcept {
  return version == tls_version::tls12 ? TLS1_2_VERSION : TLS1_3_VERSION;
}

void use_versions_and_ciphers(SSL_CTX* context, const tls_options& options) {
  if (options.version_min > options.version_max) {
    fail(tls_errc::unsuitable_option, "version_min is newer than version_max");
  }
  if (SSL_CTX_set_min_proto_version(context, number_of(options.version_min)) != 1 ||
      SSL_CTX_set_max_proto_version(context, number_of(options.version_max)) != 1) {
    fail_as_openssl_says("the versions");
  }
  if (!options.ciphers.empty() && SSL_CTX_set_cipher_list(context, options.ciphers.c_str()) != 1) {
    fail_as_openssl_says("the ciphers " + options.ciphers);
  }
  if (!options.cipher_suites.empty() &&
      SSL_CTX_set_ciphersuites(context, options.cipher_suites.c_str()) != 1) {
    fail_as_openssl_says("the cipher suites " + options.cipher_suites);
  }
}

/// Our protocols, each behind its length.
std::string alpn_wire(const std::vector<std::string>& names) {
  std::string wire;
  for (const std::string& name : names) {
    if (name.empty() || name.size() > 255) {
      fail(tls_errc::unsuitable_option, "a protocol's name (ALPN) has 1 to 255 bytes");
    }
    wire += static_cast<char>(name.size());
    wire += name;
  }
  return wire;
}

const unsigned char* bytes_of(const std::string& text) noexcept {
  return reinterpret_cast<const unsigned char*>(text.data());
}

/// A server's choice: the first of its own protocols that the client has, too.
int choose_protocol(SSL*, const unsigned char** chosen, unsigned char* size,
                    const unsigned char* offered, unsigned offered_size, void* argument) noexcept {
  const std::string& own = static_cast<const tls_setup*>(argument)->alpn;
  unsigned char* found = nullptr;
  const int how = SSL_select_next_proto(&found, size, bytes_of(own),
                                        static_cast<unsigned>(own.size()), offered, offered_size);
  *chosen = found;
  return how == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
}

void use_alpn(tls_setup& setup, const std::vector<std::string>& names) {
  setup.alpn = alpn_wire(names);
  if (names.empty()) return;
  SSL_CTX* const context = setup.context.get();
  if (setup.is_server) {
    SSL_CTX_set_alpn_select_cb(context, choose_protocol, &setup);
  } else if (SSL_CTX_set_alpn_protos(context, bytes_of(setup.alpn),
                                     static_cast<unsigned>(setup.alpn.size())) != 0) {
    fail_as_openssl_says("the protocols (ALPN)");
  }
}

/// A session holds for the context that made it: one of a host that asks for no certificate must
/// not open the door of another host that does.
void use_session_id(SSL_CTX* context) {
  std::array<unsigned char, SSL_MAX_SID_CTX_LENGTH> id;
  if (RAND_bytes(id.data(), id.size()) != 1 ||
      SSL_CTX_set_session_id_context(context, id.data(), id.size()) != 1) {
    fail_as_openssl_says("the sessions");
  }
}

void use_resumption(tls_setup& setup, bool is_on) {
  SSL_CTX* const context = setup.context.get();
  if (setup.is_server) {
    use_session_id(context);
    SSL_CTX_set_session_cache_mode(context, is_on ? SSL_SESS_CACHE_SERVER : SSL_SESS_CACHE_OFF);
    if (is_on) return;
    SSL_CTX_set_options(context, SSL_OP_NO_TICKET);
    SSL_CTX_set_num_tickets(context, 0);
  } else {
    // On in any case, for tls_stream::session(); tls_engine takes what comes.
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    setup.keeps_sessions = is_on;
  }
}

void use_verification(tls_setup& setup, kind side, const tls_options& options) {
  int mode = SSL_VERIFY_NONE;
  if (side == kind::client) mode = SSL_VERIFY_PEER;
  if (options.from_clients != client_certificates::ignored) {
    mode = SSL_VERIFY_PEER;
    const tls_trust& trust = options.trust;
    if (trust.ca_file.empty() && trust.ca_pem.empty() && trust.ca_folder.empty() &&
        !trust.system_store) {
      fail(tls_errc::unsuitable_option, "client certificates are asked for, and nobody is trusted");
    }
  }
  if (options.from_clients == client_certificates::required) {
    mode |= SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
  }
  setup.verifies = mode != SSL_VERIFY_NONE;
  SSL_CTX_set_verify(setup.context.get(), mode, nullptr);
}

void check_side(kind side, const tls_options& options) {
  if (side == kind::server) {
    if (options.identities.empty() && options.hosts.empty() && !options.choose_host) {
      fail(tls_errc::unsuitable_option, "a server needs a certificate (identities)");
    }
    for (const auto& [name, context] : options.hosts) {
      if (!context.is_server()) {
        fail(tls_errc::unsuitable_option, "the context of host " + name + " is not for servers");
      }
    }
  } else if (options.from_clients != client_certificates::ignored || !options.hosts.empty() ||
             options.choose_host || options.refuses_unknown_hosts) {
    fail(tls_errc::unsuitable_option, "a client was given what is for servers only");
  }
}

void observe(const tls_setup& setup) {
  SSL_CTX* const context = setup.context.get();
  if (setup.is_server) {
    SSL_CTX_set_client_hello_cb(
        context,
        [](SSL* ssl, int* alert, void*) noexcept {
          return detail::tls_observer::of(ssl).note_client_hello(*alert);
        },
        nullptr);
  } else {
    SSL_CTX_sess_set_new_cb(context, [](SSL* ssl, SSL_SESSION* session) noexcept {
      return detail::tls_observer::of(ssl).note_session(session) ? 1 : 0;
    });
  }
}

void use_modes(SSL_CTX* context) {
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
  SSL_CTX_set_read_ahead(context, 1);
  SSL_CTX_set_default_read_buffer_len(context, read_buffer_bytes);
}

std::shared_ptr<tls_setup> make_setup(kind side, const tls_options& options) {
  check_side(side, options);
  detail::prepare_openssl();
  detail::drop_errors();
  auto setup = std::make_shared<tls_setup>();
  setup->is_server = side == kind::server;
  setup->context.reset(SSL_CTX_new(setup->is_server ? TLS_server_method() : TLS_client_method()));
  SSL_CTX* const context = setup->context.get();
  if (!context) fail_as_openssl_says("OpenSSL");
  use_modes(context);
  observe(*setup);
  use_versions_and_ciphers(context, options);
  for (const tls_identity& who : options.identities) use_identity(context, who);
  use_verification(*setup, side, options);
  use_trust(*setup, options.trust);
  use_alpn(*setup, options.alpn);
  use_resumption(*setup, options.resumption);
  setup->refuses_unknown_hosts = options.refuses_unknown_hosts;
  return setup;
}

/// What `f` makes, or an empty context with the code of what it threw.
template <class Make>
tls_context or_code(std::error_code& ec, Make make) {
  try {
    ec.clear();
    return make();
  } catch (const std::system_error& e) {
    ec = e.code();
    return {};
  }
}

}  // namespace

tls_context::tls_context(std::shared_ptr<const tls_setup> setup) noexcept
    : setup_(std::move(setup)) {}

tls_context tls_context::client(const tls_options& options) {
  return tls_context(make_setup(kind::client, options));
}

tls_context tls_context::client(const tls_options& options, std::error_code& ec) {
  return or_code(ec, [&] { return client(options); });
}

tls_context tls_context::client_without_verification(const tls_options& options) {
  return tls_context(make_setup(kind::unverified_client, options));
}

tls_context tls_context::client_without_verification(const tls_options& options,
                                                     std::error_code& ec) {
  return or_code(ec, [&] { return client_without_verification(options); });
}

tls_context tls_context::server(const tls_options& options) {
  const std::shared_ptr<tls_setup> setup = make_setup(kind::server, options);
  for (const auto& [name, context] : options.hosts) setup->hosts.emplace(name, context.setup_);
  if (options.choose_host) {
    setup->choose_host = [choose = options.choose_host](std::string_view name) {
      return choose(name).setup_;
    };
  }
  return tls_context(setup);
}

tls_context tls_context::server(const tls_options& options, std::error_code& ec) {
  return or_code(ec, [&] { return server(options); });
}

bool tls_context::is_server() const noexcept { return setup_ && setup_->is_server; }

ssl_ctx_st* tls_context::native_handle() const noexcept {
  return setup_ ? setup_->context.get() : nullptr;
}

}  // namespace coir::net
