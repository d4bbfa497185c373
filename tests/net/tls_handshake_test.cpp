// TLS handshakes whose two ends are ours: who is believed, what is agreed on, how it fails.
#include "tests/net/tls_support.hpp"

#include <cstdint>
#include <cstdio>
#include <fstream>
#include <memory>

namespace coir::net::test {
namespace {

/// What a client makes of a server, and the server of that.
handshake_result meet(const credential& server, std::string_view name = "localhost",
                      const tls_options& client = client_options()) {
  return shake_hands(tls_context::client(client), tls_context::server(server_options(server)),
                     name);
}

const credential& expired_server() {
  static const credential made =
      make_credential({.name = "expired", .days_from = -9, .days_until = -2}, &authority());
  return made;
}
const credential& future_server() {
  static const credential made =
      make_credential({.name = "future", .days_from = 2, .days_until = 9}, &authority());
  return made;
}
const credential& self_signed_server() {
  static const credential made = make_credential({.name = "itself"});
  return made;
}
const credential& stranger() {
  static const credential maker = make_credential({.name = "strange CA", .is_authority = true});
  static const credential made = make_credential({.name = "stranger"}, &maker);
  return made;
}
const credential& other_host() {
  static const credential made = make_credential(
      {"elsewhere", "DNS:elsewhere.test,DNS:*.wild.test,IP:10.0.0.1"}, &authority());
  return made;
}

TEST(tls_verification, what_is_wrong_with_a_certificate_is_told_and_ends_the_handshake) {
  const struct {
    const credential& server;
    std::string_view name;
    std::error_code found;
    std::error_code told_to_server;
  } cases[] = {
      {expired_server(), "localhost", tls_errc::certificate_expired,
       tls_errc::alert_certificate_expired},
      {future_server(), "localhost", tls_errc::certificate_not_yet_valid,
       tls_errc::alert_bad_certificate},
      {self_signed_server(), "localhost", tls_errc::self_signed_certificate,
       tls_errc::alert_unknown_issuer},
      {stranger(), "localhost", tls_errc::unknown_issuer, tls_errc::alert_unknown_issuer},
      {other_host(), "localhost", tls_errc::host_mismatch, tls_errc::alert_bad_certificate},
      {other_host(), "127.0.0.1", tls_errc::address_mismatch, tls_errc::alert_bad_certificate},
  };
  for (const auto& each : cases) {
    handshake_result c = meet(each.server, each.name);
    EXPECT_EQ(c.client_error, each.found) << c.client_error.message();
    EXPECT_EQ(c.server_error, each.told_to_server) << c.server_error.message();
    EXPECT_TRUE(is_verification_failure(c.client_error));
    EXPECT_FALSE(is_verification_failure(c.server_error));
    EXPECT_EQ(c.client.verification(), each.found);
    EXPECT_FALSE(c.client.is_open());
    EXPECT_FALSE(c.server.is_open());
    EXPECT_FALSE(c.client.is_secure());
  }
}

TEST(tls_verification, names_and_addresses_match_as_certificates_have_them) {
  for (const char* name :
       {"elsewhere.test", "ELSEWHERE.test", "elsewhere.test.", "a.wild.test", "10.0.0.1"}) {
    EXPECT_FALSE(meet(other_host(), name).client_error) << name;
  }
  for (const char* name : {"wild.test", "a.b.wild.test", "10.0.0.2", "elsewhere", "::1"}) {
    EXPECT_TRUE(is_verification_failure(meet(other_host(), name).client_error)) << name;
  }
}

TEST(tls_verification, error_names_the_peer_the_name_and_the_certificate) {
  auto ends = tcp_connection();
  const std::string peer = ends.near.peer_address().to_string();
  tls_stream client(std::move(ends.near), tls_context::client(client_options()), "localhost");
  tls_stream server(std::move(ends.far), tls_context::server(server_options(expired_server())));
  std::error_code ec;
  auto serving = spawn([&] { server.handshake(patience, ec); });
  EXPECT_EQ(text_thrown_by([&] { client.handshake(patience); }),
            "TLS handshake with " + peer +
                " (localhost), certificate of CN=expired: certificate has expired");
  serving.get();
}

TEST(tls_verification, client_needs_a_name_to_verify) {
  EXPECT_EQ(meet(local_server(), "").client_error, tls_errc::no_server_name);
  EXPECT_EQ(meet(local_server(), std::string_view("local\0host", 10)).client_error,
            std::errc::invalid_argument);
}

TEST(tls_verification, is_off_only_where_it_is_said_so) {
  const tls_context server = tls_context::server(server_options(stranger()));
  handshake_result c =
      shake_hands(tls_context::client_without_verification(), server, "any.name.test");
  EXPECT_FALSE(c.client_error);
  EXPECT_EQ(c.client.verification(), tls_errc::unknown_issuer);
  expect_talk(c);
  c = shake_hands(tls_context::client(), server);
  EXPECT_EQ(c.client_error, tls_errc::unknown_issuer) << "the system trusts nobody of this test";
}

TEST(tls_verification, files_and_folders_of_issuers_are_read) {
  scratch_directory folder;
  std::ofstream(folder / "ca.pem") << stranger().certificate_pem << authority().certificate_pem;
  tls_options by_file;
  by_file.trust.ca_file = folder / "ca.pem";
  EXPECT_FALSE(meet(local_server(), "localhost", by_file).client_error);
  char hash[32];
  std::snprintf(hash, sizeof hash, "%08lx.0",
                X509_NAME_hash_ex(X509_get_subject_name(authority().certificate.get()), nullptr,
                                  nullptr, nullptr));
  std::filesystem::rename(folder / "ca.pem", folder / hash);
  std::ofstream(folder / hash) << authority().certificate_pem;
  tls_options by_folder;
  by_folder.trust.ca_folder = folder / "";
  EXPECT_FALSE(meet(local_server(), "localhost", by_folder).client_error);
}

TEST(tls_context, says_what_is_wrong_with_what_it_is_made_of) {
  scratch_directory folder;
  const auto text = [](const tls_options& options) {
    return text_thrown_by([&] { tls_context::server(options); });
  };
  tls_options options;
  EXPECT_EQ(text(options).find("make a TLS context: a server needs a certificate"), 0u);

  const std::string nowhere = folder / "nowhere.pem";
  options.identities = {{.certificate_file = nowhere}};
  EXPECT_EQ(text(options),
            "make a TLS context: the certificate in " + nowhere + ": No such file or directory");
  std::error_code ec;
  EXPECT_FALSE(tls_context::server(options, ec));
  EXPECT_EQ(ec, std::errc::no_such_file_or_directory);

  options = server_options();
  options.identities[0].key_pem = stranger().key_pem;
  EXPECT_EQ(text(options),
            "make a TLS context: the private key in the text given for the certificate in the text "
            "given: the private key does not belong to the certificate");

  options.identities = {{.certificate_pem = "nothing", .key_pem = local_server().key_pem}};
  tls_context::server(options, ec);
  EXPECT_EQ(ec, tls_errc::no_certificate);
  options.identities = {{.certificate_pem = local_server().certificate_pem}};
  tls_context::server(options, ec);
  EXPECT_EQ(ec, tls_errc::no_private_key);

  options = server_options();
  options.from_clients = client_certificates::required;
  tls_context::server(options, ec);
  EXPECT_EQ(ec, tls_errc::unsuitable_option) << "asks for certificates and trusts nobody";
  tls_context::client(options, ec);
  EXPECT_EQ(ec, tls_errc::unsuitable_option) << "a client cannot";
  options = server_options();
  options.ciphers = "NO-SUCH-CIPHER";
  EXPECT_NE(text(options).find("NO-SUCH-CIPHER"), std::string::npos);
  options = server_options();
  options.version_min = tls_version::tls13;
  options.version_max = tls_version::tls12;
  EXPECT_NE(text(options).find("version_min"), std::string::npos);
  options = client_options();
  options.trust.ca_folder = nowhere;
  tls_context::client(options, ec);
  EXPECT_EQ(ec, std::errc::no_such_file_or_directory);
  options = client_options();
  options.alpn = {""};
  tls_context::client(options, ec);
  EXPECT_EQ(ec, tls_errc::unsuitable_option);
}

TEST(tls_context, opens_encrypted_keys_and_never_asks_the_terminal) {
  const credential& who = local_server();
  const std::string encrypted = pem_text([&](BIO* bio) {
    return PEM_write_bio_PKCS8PrivateKey(bio, who.key.get(), EVP_aes_256_cbc(), "secret", 6,
                                         nullptr, nullptr);
  });
  tls_options options;
  options.identities = {
      {.certificate_pem = who.certificate_pem, .key_pem = encrypted, .password = "secret"}};
  EXPECT_TRUE(tls_context::server(options));
  for (const char* wrong : {"", "guess"}) {
    options.identities[0].password = wrong;
    EXPECT_EQ(thrown_by([&] { tls_context::server(options); }), tls_errc::wrong_password);
  }
}

TEST(tls_context, of_the_wrong_side_or_none_fails_the_handshake) {
  const tls_context server = tls_context::server(server_options());
  handshake_result c = shake_hands(server, tls_context());
  EXPECT_EQ(c.client_error, tls_errc::unsuitable_option);
  EXPECT_EQ(c.server_error, tls_errc::unsuitable_option);
}

TEST(tls_context, chain_of_issuers_is_sent) {
  const credential between =
      make_credential({.name = "between", .is_authority = true}, &authority());
  credential server = make_credential({}, &between);
  server.certificate_pem += between.certificate_pem;
  EXPECT_FALSE(meet(server).client_error);
}

TEST(tls_clients, certificate_of_a_client_is_required_requested_or_ignored) {
  const credential client = make_credential({.name = "client 7"}, &authority());
  for (const tls_version version : {tls_version::tls12, tls_version::tls13}) {
    tls_options server = server_options();
    server.version_max = version;
    server.trust.ca_pem = authority().certificate_pem;
    tls_options with = client_options();
    with.identities = {identity_of(client)};
    tls_options with_other = client_options();
    with_other.identities = {identity_of(stranger())};

    server.from_clients = client_certificates::required;
    handshake_result c = secure_connection(with, server);
    expect_talk(c);
    EXPECT_EQ(c.server.peer_certificate().value().subject, "CN=client 7");

    const auto refused = [&](const tls_options& by, std::error_code on_server,
                             std::error_code on_client) {
      handshake_result r = shake_hands(tls_context::client(by), tls_context::server(server));
      EXPECT_EQ(r.server_error, on_server) << r.server_error.message();
      char byte;
      if (!r.client_error) r.client.read_some({&byte, 1}, r.client_error);  // TLS 1.3
      EXPECT_EQ(r.client_error, on_client) << r.client_error.message();
    };
    refused(client_options(), tls_errc::no_client_certificate,
            version == tls_version::tls13 ? tls_errc::alert_certificate_required
                                          : tls_errc::alert_handshake_failure);
    refused(with_other, tls_errc::unknown_issuer, tls_errc::alert_unknown_issuer);

    server.from_clients = client_certificates::requested;
    c = secure_connection(client_options(), server);
    expect_talk(c);
    EXPECT_FALSE(c.server.peer_certificate());
    refused(with_other, tls_errc::unknown_issuer, tls_errc::alert_unknown_issuer);
  }
}

TEST(tls_alpn, server_takes_its_best_protocol_that_the_client_has) {
  tls_options client = client_options();
  tls_options server = server_options();
  client.alpn = {"http/1.1", "h2"};
  server.alpn = {"h2", "http/1.1"};
  handshake_result c = secure_connection(client, server);
  EXPECT_EQ(c.client.alpn(), "h2");
  EXPECT_EQ(c.server.alpn(), "h2");
  client.alpn = {};
  EXPECT_EQ(secure_connection(client, server).server.alpn(), "");
  client.alpn = {"ftp"};
  c = shake_hands(tls_context::client(client), tls_context::server(server));
  EXPECT_EQ(c.client_error, tls_errc::alert_no_protocol) << c.client_error.message();
  EXPECT_TRUE(c.server_error);
}

TEST(tls_versions, old_and_new_do_not_meet) {
  tls_options old_client = client_options();
  old_client.version_max = tls_version::tls12;
  tls_options new_server = server_options();
  new_server.version_min = tls_version::tls13;
  handshake_result c =
      shake_hands(tls_context::client(old_client), tls_context::server(new_server));
  EXPECT_EQ(c.client_error, tls_errc::alert_version) << c.client_error.message();
  EXPECT_EQ(c.server_error, tls_errc::unsupported_version) << c.server_error.message();
}

TEST(tls_versions, ciphers_are_those_asked_for) {
  tls_options client = client_options();
  client.cipher_suites = "TLS_CHACHA20_POLY1305_SHA256";
  EXPECT_EQ(secure_connection(client).server.cipher(), "TLS_CHACHA20_POLY1305_SHA256");
  client = client_options();
  client.version_max = tls_version::tls12;
  client.ciphers = "ECDHE-ECDSA-AES256-GCM-SHA384";
  EXPECT_EQ(secure_connection(client).server.cipher(), "ECDHE-ECDSA-AES256-GCM-SHA384");
}

class tls_hosts : public testing::Test {
 protected:
  const credential one = make_credential({"one", "DNS:one.test"}, &authority());
  const credential wild = make_credential({"wild", "DNS:*.wild.test"}, &authority());

  std::string subject_for(const tls_context& server, std::string_view name) {
    handshake_result c =
        shake_hands(tls_context::client_without_verification(client_options()), server, name);
    const auto shown = c.client.peer_certificate();
    return shown ? shown->subject : c.client_error.message();
  }
};

TEST_F(tls_hosts, each_name_gets_its_certificate) {
  tls_options options = server_options();
  options.hosts = {{"one.test", tls_context::server(server_options(one))},
                   {"*.wild.test", tls_context::server(server_options(wild))}};
  const tls_context server = tls_context::server(options);
  EXPECT_EQ(subject_for(server, "one.test"), "CN=one");
  EXPECT_EQ(subject_for(server, "One.Test"), "CN=one");
  EXPECT_EQ(subject_for(server, "a.wild.test"), "CN=wild");
  EXPECT_EQ(subject_for(server, "a.b.wild.test"), "CN=localhost");
  EXPECT_EQ(subject_for(server, "other.test"), "CN=localhost");
  EXPECT_EQ(subject_for(server, "127.0.0.1"), "CN=localhost");
  options.refuses_unknown_hosts = true;
  handshake_result c = shake_hands(tls_context::client(client_options()),
                                   tls_context::server(options), "other.test");
  EXPECT_EQ(c.client_error, tls_errc::alert_unrecognized_name) << c.client_error.message();
  EXPECT_EQ(c.server_error, tls_errc::unknown_host);
}

TEST_F(tls_hosts, program_may_choose_and_take_its_time) {
  tls_options options = server_options();
  std::vector<std::string> asked;
  options.choose_host = [&](std::string_view name) {
    asked.emplace_back(name);
    this_fiber::sleep_for(1ms);
    if (name == "bad.test") throw std::runtime_error("no such customer");
    return name == "one.test" ? tls_context::server(server_options(one)) : tls_context();
  };
  const tls_context server = tls_context::server(options);
  EXPECT_EQ(subject_for(server, "one.test"), "CN=one");
  EXPECT_EQ(subject_for(server, "localhost"), "CN=localhost");
  EXPECT_EQ(asked, (std::vector<std::string>{"one.test", "localhost"}));
  auto ends = tcp_connection();
  tls_stream client(std::move(ends.near), tls_context::client(client_options()), "bad.test");
  tls_stream failing(std::move(ends.far), server);
  auto serving = spawn([&] { failing.handshake(patience); });
  EXPECT_EQ(thrown_by([&] { client.handshake(patience); }), tls_errc::truncated);
  EXPECT_THROW(serving.get(), std::runtime_error);
}

TEST_F(tls_hosts, settings_of_the_chosen_host_count) {
  tls_options strict = server_options(one);
  strict.from_clients = client_certificates::required;
  strict.trust.ca_pem = authority().certificate_pem;
  strict.alpn = {"strict"};
  strict.version_min = tls_version::tls13;
  tls_options options = server_options();
  options.hosts = {{"one.test", tls_context::server(strict)}};
  const tls_context server = tls_context::server(options);
  tls_options client = client_options();
  client.alpn = {"strict"};
  const tls_context without = tls_context::client(client);
  EXPECT_EQ(shake_hands(without, server, "one.test").server_error, tls_errc::no_client_certificate);
  client.identities = {identity_of(local_server())};
  handshake_result c = shake_hands(tls_context::client(client), server, "one.test");
  expect_talk(c);
  EXPECT_EQ(c.server.alpn(), "strict");
  client.version_max = tls_version::tls12;
  EXPECT_TRUE(shake_hands(tls_context::client(client), server, "one.test").client_error);
}

class resumption : public testing::TestWithParam<tls_version> {
 protected:
  tls_options client_of_version() const {
    tls_options options = client_options();
    options.version_max = GetParam();
    return options;
  }
};

INSTANTIATE_TEST_SUITE_P(tls, resumption, testing::Values(tls_version::tls12, tls_version::tls13));

TEST_P(resumption, context_resumes_by_itself_what_it_knows_of_the_host) {
  tcp_listener listener = tcp_listener::listen(address::ipv4_loopback());
  listener.expires_after(patience);
  const tls_context client = tls_context::client(client_of_version());
  const tls_context server = tls_context::server(server_options());
  const auto is_resumed = [&](const tls_context& by) {
    auto serving = spawn([&] {
      tls_stream s(listener.accept(), server);
      s.handshake(patience);
      s.write_all("x");
      char byte;
      s.read_some({&byte, 1});
      return s.is_resumed();
    });
    tls_stream c = tls_stream::connect("localhost", listener.local_address().port(), by, patience);
    char byte;
    c.read_exactly({&byte, 1});
    EXPECT_EQ(c.peer_certificate().value().subject, "CN=localhost");
    EXPECT_FALSE(c.verification());
    const bool on_client = c.is_resumed();
    c.close();
    EXPECT_EQ(serving.get(), on_client);
    return on_client;
  };
  EXPECT_FALSE(is_resumed(client));
  EXPECT_TRUE(is_resumed(client));
  EXPECT_TRUE(is_resumed(client));
  EXPECT_FALSE(is_resumed(tls_context::client(client_of_version()))) << "a context of its own";
  tls_options off = client_of_version();
  off.resumption = false;
  const tls_context without = tls_context::client(off);
  EXPECT_FALSE(is_resumed(without));
  EXPECT_FALSE(is_resumed(without));
}

TEST_P(resumption, session_can_be_taken_and_given) {
  tls_options off = client_of_version();
  off.resumption = false;
  const tls_context client = tls_context::client(off);
  const tls_context server = tls_context::server(server_options());
  handshake_result c = shake_hands(client, server);
  expect_talk(c);
  const tls_session earlier = c.client.session();
  ASSERT_TRUE(earlier);
  handshake_result again = shake_hands(client, server, "localhost", earlier);
  EXPECT_TRUE(again.client.is_resumed());
  EXPECT_TRUE(again.server.is_resumed());
  expect_talk(again);
  EXPECT_FALSE(shake_hands(client, server, "127.0.0.1", earlier).client.is_resumed())
      << "another name";
  EXPECT_FALSE(shake_hands(client, tls_context::server(server_options()), "localhost", earlier)
                   .client.is_resumed())
      << "another server";
}

TEST_P(resumption, session_that_was_never_verified_opens_no_door) {
  const tls_context careless = tls_context::client_without_verification(client_of_version());
  const tls_context server = tls_context::server(server_options(stranger()));
  handshake_result c = shake_hands(careless, server);
  expect_talk(c);
  ASSERT_TRUE(c.client.session());
  const tls_context careful = tls_context::client(client_of_version());
  EXPECT_EQ(shake_hands(careful, server, "localhost", c.client.session()).client_error,
            tls_errc::unknown_issuer);
}

TEST_P(resumption, session_with_a_host_that_asks_nothing_does_not_open_one_that_does) {
  tls_options strict = server_options();
  strict.from_clients = client_certificates::required;
  strict.trust.ca_pem = authority().certificate_pem;
  tls_options options = server_options();
  options.hosts = {{"localhost", tls_context::server(strict)}};
  const tls_context server = tls_context::server(options);
  tls_options trusting = client_of_version();
  const tls_context client = tls_context::client(trusting);
  handshake_result c = shake_hands(client, server, "127.0.0.1");  // no SNI: the open host
  expect_talk(c);
  // By OpenSSL itself, since our own client would not offer it to another name.
  auto ends = tcp_connection();
  tls_stream second(std::move(ends.near), client, "localhost");
  SSL_SESSION* const session = SSL_get1_session(second.native_tls());
  EXPECT_EQ(session, nullptr);
  SSL_set_session(second.native_tls(), SSL_get0_session(c.client.native_tls()));
  tls_stream guarded(std::move(ends.far), server);
  std::error_code ec;
  auto serving = spawn([&] { guarded.handshake(patience, ec); });
  std::error_code ignored;
  second.handshake(patience, ignored);
  serving.get();
  EXPECT_EQ(ec, tls_errc::no_client_certificate) << ec.message();
}

TEST(tls_handshake, deadline_against_a_peer_that_says_nothing_closes_the_stream) {
  auto ends = tcp_connection();
  tls_stream client(std::move(ends.near), tls_context::client(client_options()), "localhost");
  const stopwatch since;
  EXPECT_EQ(thrown_by([&] { client.handshake(100ms); }), std::errc::timed_out);
  expect_lasted(since, 100ms);
  EXPECT_FALSE(client.is_open());
  tls_stream server(std::move(ends.far), tls_context::server(server_options()));
  EXPECT_EQ(thrown_by([&] { server.handshake(patience); }), tls_errc::truncated);
}

TEST(tls_handshake, kill_closes_the_stream) {
  auto ends = tcp_connection();
  tls_stream client(std::move(ends.near), tls_context::client(client_options()), "localhost");
  auto connecting = spawn([&] { client.handshake(); });
  this_fiber::yield();
  connecting.kill();
  EXPECT_FALSE(client.is_open());
}

TEST(tls_handshake, close_by_another_fiber_ends_it) {
  auto ends = tcp_connection();
  tls_stream client(std::move(ends.near), tls_context::client(client_options()), "localhost");
  auto connecting = spawn([&] { return thrown_by([&] { client.handshake(); }); });
  this_fiber::yield();
  client.close();
  EXPECT_EQ(connecting.get(), std::errc::bad_file_descriptor);
}

TEST(tls_handshake, stream_may_be_destroyed_by_another_fiber_that_closed_it) {
  auto ends = tcp_connection();
  auto client = std::make_unique<tls_stream>(std::move(ends.near),
                                             tls_context::client(client_options()), "localhost");
  std::error_code ec;
  auto connecting = spawn([&ec, raw = client.get()] { raw->handshake(patience, ec); });
  this_fiber::yield();
  client.reset();
  connecting.get();
  EXPECT_EQ(ec, std::errc::bad_file_descriptor);
}

TEST(tls_handshake, garbage_is_no_tls) {
  for (const auto& [said, expected] :
       {std::pair("GET / HTTP/1.1\r\n\r\n", tls_errc::plain_http),
        std::pair("SSH-2.0-nothing of this kind\r\n", tls_errc::not_tls)}) {
    auto ends = tcp_connection();
    ends.near.write_all(said);
    tls_stream server(std::move(ends.far), tls_context::server(server_options()));
    EXPECT_EQ(thrown_by([&] { server.handshake(patience); }), expected) << said;
  }
  auto ends = tcp_connection();
  ends.far.write_all("220 mail.test ESMTP\r\n");
  tls_stream client(std::move(ends.near), tls_context::client(client_options()), "localhost");
  EXPECT_EQ(thrown_by([&] { client.handshake(patience); }), tls_errc::not_tls);
}

/// Hands on `count` bytes of what the client says, then ends; true when that was all it said.
bool hand_on(tcp_stream& from, tcp_stream& to, std::size_t count) {
  std::error_code ec;
  char byte;
  for (; count > 0; --count) {
    if (from.read_some({&byte, 1}, ec) == 0) return true;
    to.write_all({&byte, 1}, ec);
  }
  to.shutdown(direction::write, ec);
  return false;
}

TEST(tls_handshake, end_of_the_connection_at_any_step_is_told) {
  const tls_context client = tls_context::client(client_options());
  const tls_context server = tls_context::server(server_options());
  for (const bool cuts_client : {true, false}) {
    for (std::size_t length = 0; length < 1200; length += 37) {
      auto one = tcp_connection();
      auto other = tcp_connection();
      tls_stream near(std::move(one.near), client, "localhost");
      tls_stream far(std::move(other.far), server);
      constexpr std::size_t all = SIZE_MAX;
      auto there = spawn([&] { hand_on(one.far, other.near, cuts_client ? length : all); });
      auto back = spawn([&] { hand_on(other.near, one.far, cuts_client ? all : length); });
      std::error_code near_error, far_error;
      auto serving = spawn([&] {
        far.handshake(patience, far_error);
        far.close();
      });
      near.handshake(patience, near_error);
      near.close();
      serving.get();
      there.kill();
      back.kill();
      // The one that was cut off knows it, unless it had all that it needed.
      const std::error_code ec = cuts_client ? far_error : near_error;
      EXPECT_TRUE(ec == tls_errc::truncated || (!ec && length > 200)) << length << ec.message();
    }
  }
}

TEST(tls_handshake, two_hundred_on_one_thread_get_each_its_own_error) {
  const tls_context client = tls_context::client(client_options());
  const struct {
    tls_context server;
    std::error_code expected;
  } kinds[] = {
      {tls_context::server(server_options()), {}},
      {tls_context::server(server_options(expired_server())), tls_errc::certificate_expired},
      {tls_context::server(server_options(stranger())), tls_errc::unknown_issuer},
      {tls_context::server(server_options(other_host())), tls_errc::host_mismatch},
      {{}, tls_errc::not_tls},
  };
  constexpr std::size_t connections = 200;
  std::vector<fiber<>> all;
  std::size_t met = 0;
  for (std::size_t i = 0; i < connections; ++i) {
    all.push_back(spawn([&, i] {
      const auto& kind = kinds[i % std::size(kinds)];
      auto ends = tcp_connection();
      auto serving = spawn([&] {
        if (!kind.server) {
          char hello[100];
          ends.far.read_some(hello);
          ends.far.write_all("this is no TLS at all");
          return std::error_code();
        }
        tls_stream s(std::move(ends.far), kind.server);
        std::error_code ec;
        s.handshake(patience, ec);
        return ec;
      });
      for (std::size_t turn = 0; turn < i % 7; ++turn) this_fiber::yield();
      tls_stream c(std::move(ends.near), client, "localhost");
      std::error_code ec;
      c.handshake(patience, ec);
      EXPECT_EQ(ec, kind.expected) << i << ": " << ec.message();
      const std::error_code on_server = serving.get();
      if (kind.server) {
        EXPECT_EQ(!!on_server, !!kind.expected) << i << ": " << on_server.message();
      }
      ++met;
    }));
  }
  joinall(all);
  EXPECT_EQ(met, connections);
}

}  // namespace
}  // namespace coir::net::test
