// HTTP/2 with clients that are not ours: curl, and h2load of nghttp2.
#include "tests/net/http2_client.hpp"
#include "tests/net/server_support.hpp"
#include "tests/net/tls_support.hpp"

#include <coir/net/http_server.hpp>
#include <coir/process.hpp>

#include <fstream>
#include <memory>
#include <string>
#include <vector>

namespace coir::net::test {
namespace {

/// Bytes of which no two stretches look alike; made once, since that takes a while.
const std::string& some_megabytes() {
  static const std::string made = [] {
    const std::vector<unsigned char> bytes = pattern().take(3'000'000);
    return std::string(bytes.begin(), bytes.end());
  }();
  return made;
}

/// A server over TLS, or without, and what a client needs to find it.
class Http2Foreign : public testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    std::ofstream(sent_path(), std::ios::binary) << body_;
    std::ofstream(folder_ / "small") << body_.substr(0, 3000);
    std::ofstream(folder_ / "ca.pem") << authority().certificate_pem;
    how_.http.http2 = true;
    how_.http.body_bytes_max = 1 << 24;
    how_.http.idle_timeout = idle_timeout;
    if (is_tls()) {
      tls_options tls = server_options();
      tls.alpn = {"h2", "http/1.1"};
      how_.connections.wrap = serve_tls(tls_context::server(tls), patience);
    }
    server_.emplace(
        address::ipv4_loopback(),
        [this](http_request& request, http_response& response) { answer(request, response); },
        how_);
    server_->start();
  }
  void answer(http_request& request, http_response& response) {
    versions_.push_back(request.version());
    if (request.path() == "/slow") coir::sleep(3 * idle_timeout);
    if (request.path() == "/big") return response.send(body_);
    char buffer[10'000];
    while (const std::size_t count = request.read_some(buffer)) response.write({buffer, count});
  }

  static constexpr auto idle_timeout = 100ms;
  static bool is_tls() { return GetParam(); }
  std::string sent_path() const { return folder_ / "sent"; }
  std::string url(const std::string& path) const {
    return (is_tls() ? "https://localhost:" : "http://localhost:") +
           std::to_string(server_->local_address().port()) + path;
  }
  /// What curl makes of it, which must be the whole answer.
  std::string curl(const std::string& version, std::vector<std::string> more) const {
    std::vector<std::string> words = {
        "curl",       "-q",       "--silent",     "--show-error",     "--fail",
        "--max-time", "60",       "--cacert",     folder_ / "ca.pem", "--ipv4",
        version,      "--output", folder_ / "got"};
    words.insert(words.end(), more.begin(), more.end());
    const process_result result =
        run(words, {.output = child_stream::pipe(), .error = child_stream::pipe()});
    EXPECT_TRUE(result.status.success()) << result.error;
    return read_file(folder_ / "got");
  }
  std::string http2() const { return is_tls() ? "--http2" : "--http2-prior-knowledge"; }

  scratch_directory folder_;
  const std::string& body_ = some_megabytes();
  http_server::options how_;
  std::vector<int> versions_;
  std::optional<http_server> server_;
};

TEST_P(Http2Foreign, CurlGetsAndSendsMegabytes) {
  EXPECT_TRUE(curl(http2(), {url("/big")}) == body_);
  EXPECT_TRUE(curl(http2(), {"--data-binary", "@" + sent_path(), url("/echo")}) == body_);
  EXPECT_TRUE(curl(http2(), {"--upload-file", sent_path(), url("/echo")}) == body_);
  EXPECT_EQ(versions_, (std::vector{20, 20, 20}));
}

TEST_P(Http2Foreign, ClientsOfHttp1AreServedBesideThem) {
  EXPECT_TRUE(curl("--http1.1", {url("/big")}) == body_);
  EXPECT_EQ(versions_, std::vector{11});
}

TEST_P(Http2Foreign, AConnectionThatWaitsForItsHandlerIsNotIdle) {
  EXPECT_EQ(curl(http2(), {url("/slow")}), "");
}

TEST_P(Http2Foreign, AHundredStreamsAtATimeGetTheirAnswers) {
  const process_result result =
      run({"h2load", "--requests=2000", "--clients=2", "--max-concurrent-streams=100",
           "--data=" + (folder_ / "small"), url("/echo")},
          {.output = child_stream::pipe(), .error = child_stream::pipe()});
  EXPECT_TRUE(result.status.success()) << result.error;
  EXPECT_NE(result.output.find("2000 succeeded, 0 failed, 0 errored"), std::string::npos)
      << result.output << result.error;
  EXPECT_EQ(versions_, std::vector(2000, 20));
}

/// Agrees on HTTP/2 by ALPN, and speaks something else.
TEST_P(Http2Foreign, AClientThatDoesNotSpeakWhatItHasAgreedOnIsSentAway) {
  if (!is_tls()) GTEST_SKIP() << "without TLS nothing is agreed on";
  tls_options how = client_options();
  how.alpn = {"h2"};
  tls_stream client = tls_stream::connect("localhost", server_->local_address().port(),
                                          tls_context::client(how), patience);
  EXPECT_EQ(client.alpn(), "h2");
  client.expires_after(patience);
  client.write_all("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
  http2_listener heard(client);
  EXPECT_EQ(heard.farewell(), NGHTTP2_PROTOCOL_ERROR);
  EXPECT_TRUE(versions_.empty());
}

INSTANTIATE_TEST_SUITE_P(Over, Http2Foreign, testing::Bool(),
                         [](const auto& of) { return of.param ? "Tls" : "Tcp"; });

}  // namespace
}  // namespace coir::net::test
