// The HTTP client against servers that are not ours: python's, and nginx behind unix sockets.
#include "tests/net/http_client_support.hpp"
#include "tests/net/tls_support.hpp"
#include "tests/support/program.hpp"

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

namespace coir::net::test {
namespace {

using coir::test::program;

constexpr const char* python_script = R"(
import http.server
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    def log_message(self, *_):
        pass
    def take(self):
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return body
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))
    def do_POST(self):
        body = self.take()
        if self.path == "/old":
            self.send_response(307)
            self.send_header("Location", "/new")
            self.send_header("Content-Length", "0")
            return self.end_headers()
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        body = b"%s %s " % (self.command.encode(), self.path.encode()) + body
        if self.command == "HEAD":
            return
        for at in range(0, len(body), 9999):
            part = body[at:at + 9999]
            self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
        self.wfile.write(b"0\r\n\r\n")
    do_GET = do_PUT = do_DELETE = do_HEAD = do_POST
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
server.daemon_threads = True
print(server.server_address[1], flush=True)
server.serve_forever()
)";

TEST(http_client_and_python, exchange_requests_of_all_kinds) {
  program python({COIR_TEST_PYTHON, "-c", python_script});
  const std::string base = "http://127.0.0.1:" + python.line();
  http_client client;
  EXPECT_EQ("GET /a?b ", client.get(base + "/a?b").body);
  EXPECT_EQ("DELETE / ", client.del(base).body);
  EXPECT_EQ("", client.head(base).body);
  EXPECT_EQ("POST /new body", client.post(base + "/old", "body").body);
  const std::string large = letters(500'000);
  EXPECT_TRUE("PUT /x " + large == client.put(base + "/x", large).body);
  EXPECT_TRUE("PUT /y " + large == client.request({"PUT", base + "/y", {}, large, true}).body);
  http_upload up = client.upload({"POST", base + "/up"});
  for (std::size_t at = 0; at < large.size(); at += 50'000) up.write({&large[at], 50'000});
  EXPECT_TRUE("POST /up " + large == up.finish().read_body());
  EXPECT_EQ(2u, client.idle_connections());  // an upload has one of its own
}

TEST(http_client_and_python, serve_fifty_fibers_over_five_connections) {
  program python({COIR_TEST_PYTHON, "-c", python_script});
  const std::string base = "http://127.0.0.1:" + python.line();
  http_client::options how;
  how.connections_per_host_max = 5;
  http_client client(how);
  int good = 0;
  group asking;
  for (int i = 0; i < 50; ++i) {
    asking.spawn([&, path = "/" + std::to_string(i)] {
      good += client.get(base + path).body == "GET " + path + " ";
    });
  }
  asking.join();
  EXPECT_EQ(50, good);
  EXPECT_GE(5u, client.idle_connections());
}

/// An nginx that serves a directory over a unix socket, and a client that connects there.
class nginx {
 public:
  nginx() {
    std::filesystem::create_directory(place_ / "files");
    std::ofstream(place_ / "files/small") << "small file\n";
    std::ofstream(place_ / "files/large") << letters(3'000'000);
    std::ofstream(place_ / "users") << "me:{PLAIN}open sesame\n";
    std::ofstream(place_ / "conf") << configuration();
    std::ofstream(place_ / "error.log");
    std::ofstream(place_ / "certificate") << coir::test::local_server().certificate_pem;
    std::ofstream(place_ / "key") << coir::test::local_server().key_pem;
    process_ = std::make_unique<program>(
        std::vector<std::string>{COIR_TEST_NGINX, "-p", place_ / "", "-c", place_ / "conf"});
    how_.connect = [this](const url& where, time_limit limit, std::error_code& ec) {
      return connect(where, limit, ec);
    };
    await();
  }

  const http_client::options& how() const { return how_; }
  int connections() const { return connections_; }
  int resumed() const { return resumed_; }
  std::string file(const std::string& name) const {
    std::ifstream in(place_ / ("files/" + name).c_str());
    return {std::istreambuf_iterator<char>(in), {}};
  }

 private:
  std::unique_ptr<stream> connect(const url& where, time_limit limit, std::error_code& ec) {
    ++connections_;
    const bool is_secure = where.scheme() == "https";
    auto plain = std::make_unique<unix_stream>(unix_stream::connect(
        address::unix_path(place_ / (is_secure ? "secure" : "socket")), limit, ec));
    if (ec) return nullptr;
    if (!is_secure) return plain;
    auto secure = std::make_unique<tls_stream>(std::move(*plain), tls_, where.host());
    secure->handshake(limit, ec);
    if (ec) return nullptr;
    EXPECT_EQ("TLSv1.3", secure->version());
    resumed_ += secure->is_resumed();
    return secure;
  }
  std::string configuration() const {
    std::string text =
        "daemon off; master_process off; pid DIR/pid; error_log DIR/error.log;\n"
        "events {}\n"
        "http {\n"
        "  access_log off; default_type text/plain;\n"
        "  client_body_temp_path DIR/t1; client_max_body_size 0; proxy_temp_path DIR/t2; "
        "fastcgi_temp_path DIR/t3;\n"
        "  uwsgi_temp_path DIR/t4; scgi_temp_path DIR/t5;\n"
        "  server {\n"
        "    listen unix:DIR/socket; root DIR/files;\n"
        "    keepalive_requests 2;\n"
        "    location /old { return 301 /small; }\n"
        "    location /loop { return 302 /loop; }\n"
        "    location /moved { return 307 /kept/file; }\n"
        "    location /see { return 303 /small; }\n"
        "    location /kept { dav_methods PUT; create_full_put_path on; }\n"
        "    location /packed { alias DIR/files/large; gzip on; gzip_types *; }\n"
        "    location /secret { auth_basic x; auth_basic_user_file DIR/users;\n"
        "                       alias DIR/files/small; }\n"
        "  }\n"
        "  server {\n"
        "    listen unix:DIR/socket; server_name hasty; root DIR/files;\n"
        "    keepalive_timeout 30ms;\n"
        "  }\n"
        "  server {\n"
        "    listen unix:DIR/secure ssl; root DIR/files; keepalive_requests 4;\n"
        "    ssl_certificate DIR/certificate; ssl_certificate_key DIR/key;\n"
        "    ssl_protocols TLSv1.3; ssl_session_cache shared:x:1m;\n"
        "  }\n"
        "  server {\n"
        "    listen unix:DIR/secure ssl; server_name 127.0.0.1; root DIR/files;\n"
        "    keepalive_timeout 30ms;\n"
        "    ssl_certificate DIR/certificate; ssl_certificate_key DIR/key;\n"
        "  }\n"
        "}\n";
    const std::string directory = place_ / "";
    for (std::size_t at; (at = text.find("DIR/")) != std::string::npos;) {
      text.replace(at, 4, directory);
    }
    return text;
  }
  /// Until it answers.
  void await() {
    http_client client(how_);
    for (stopwatch since; since.elapsed() < patience;) {
      std::error_code ec;
      client.get("http://any/small", ec);
      if (!ec) break;
      sleep(5ms);
    }
    connections_ = 0;
  }

  scratch_directory place_;
  http_client::options how_;
  const tls_context tls_ = tls_context::client(client_options());
  int connections_ = 0;
  int resumed_ = 0;
  std::unique_ptr<program> process_;
};

class http_client_and_nginx : public testing::Test {
 protected:
  void SetUp() override {
    if (COIR_TEST_NGINX[0] != '/') GTEST_SKIP() << "nginx is not installed";
    server_ = std::make_unique<nginx>();
  }
  std::unique_ptr<nginx> server_;
};

TEST_F(http_client_and_nginx, exchange_files_redirects_and_passwords) {
  http_client client(server_->how());
  EXPECT_EQ("small file\n", client.get("http://h/small").body);
  EXPECT_TRUE(letters(3'000'000) == client.get("http://h/large").body);
  EXPECT_EQ("3000000", client.head("http://h/large").headers.get("Content-Length"));
  const http_answer part = client.get("http://h/small", {{"Range", "bytes=6-9"}});
  EXPECT_EQ(206, part.status);
  EXPECT_EQ("file", part.body);
  const std::string tag(client.get("http://h/small").headers.get("ETag"));
  EXPECT_EQ(304, client.get("http://h/small", {{"If-None-Match", tag}}).status);
  EXPECT_EQ(404, client.get("http://h/nowhere").status);
  EXPECT_EQ(405, client.post("http://h/small", "x").status);
  EXPECT_EQ("http://h/small", client.get("http://h/old").url);
  EXPECT_EQ(errc::too_many_redirects, thrown_by([&] { client.get("http://h/loop"); }));
  EXPECT_EQ(401, client.get("http://h/secret").status);
  EXPECT_EQ("small file\n", client.get("http://me:open%20sesame@h/secret").body);
}

TEST_F(http_client_and_nginx, change_connections_as_often_as_the_server_likes) {
  http_client client(server_->how());
  for (int i = 0; i < 20; ++i) EXPECT_EQ("small file\n", client.get("http://h/small").body);
  EXPECT_EQ(10, server_->connections());
}

TEST_F(http_client_and_nginx, do_not_mind_connections_that_went_stale) {
  http_client client(server_->how());
  for (int i = 0; i < 8; ++i) {
    EXPECT_EQ("small file\n", client.get("http://hasty/small").body);
    sleep(20ms + i * 5ms);  // a little less, and a little more, than the server's patience
  }
  EXPECT_LT(1, server_->connections());
}

TEST_F(http_client_and_nginx, take_chunks_and_leave_what_is_compressed_as_it_is) {
  http_client client(server_->how());
  const http_answer plain = client.get("http://h/packed");
  EXPECT_TRUE(letters(3'000'000) == plain.body);
  EXPECT_FALSE(plain.headers.contains("Content-Encoding"));
  const http_answer packed = client.get("http://h/packed", {{"Accept-Encoding", "gzip"}});
  EXPECT_EQ("gzip", packed.headers.get("Content-Encoding"));
  EXPECT_EQ("chunked", packed.headers.get("Transfer-Encoding"));
  EXPECT_GT(3'000'000u, packed.body.size());
  EXPECT_EQ("\x1f\x8b", packed.body.substr(0, 2));
}

TEST_F(http_client_and_nginx, store_bodies_of_all_kinds_and_keep_them_over_redirects) {
  http_client client(server_->how());
  const std::string large = letters(2'000'000);
  EXPECT_EQ(201, client.put("http://h/kept/by_length", large).status);
  EXPECT_TRUE(large == server_->file("kept/by_length"));
  EXPECT_EQ(201, client.put("http://h/moved", large).status);
  EXPECT_TRUE(large == server_->file("kept/file"));
  EXPECT_EQ(201, client.request({"PUT", "http://h/kept/asked", {}, large, true}).status);
  EXPECT_TRUE(large == server_->file("kept/asked"));
  http_upload up = client.upload({"PUT", "http://h/kept/chunks"});
  for (std::size_t at = 0; at < large.size(); at += 50'000) up.write({&large[at], 50'000});
  EXPECT_EQ(201, up.finish().status());
  EXPECT_TRUE(large == server_->file("kept/chunks"));
  EXPECT_EQ("small file\n", client.post("http://h/see", large).body);
}

/// Ten fibers that ask again and again, with pauses around the patience of hasty servers.
int good_answers(http_client& client, const std::string& url, std::chrono::milliseconds pause_max) {
  int good = 0;
  group asking;
  for (int fiber = 0; fiber < 10; ++fiber) {
    asking.spawn([&, fiber] {
      for (int i = 0; i < 20; ++i) {
        std::error_code ec;
        good += client.get(url, ec).body == "small file\n";
        EXPECT_FALSE(ec) << ec.message();
        sleep(pause_max * ((fiber + i) % 10) / 10);
      }
    });
  }
  asking.join();
  return good;
}

TEST_F(http_client_and_nginx, lose_no_request_of_many_fibers_when_connections_end) {
  http_client client(server_->how());
  EXPECT_EQ(200, good_answers(client, "http://h/small", 0ms));
  EXPECT_LE(100, server_->connections());
  EXPECT_EQ(200, good_answers(client, "http://hasty/small", 50ms));
}

TEST_F(http_client_and_nginx, talk_over_tls_and_go_on_with_sessions) {
  http_client client(server_->how());
  for (int i = 0; i < 8; ++i) EXPECT_EQ("small file\n", client.get("https://localhost/small").body);
  EXPECT_EQ(2, server_->connections());
  EXPECT_EQ(1, server_->resumed());
  EXPECT_TRUE(letters(3'000'000) == client.get("https://localhost/large").body);
}

TEST_F(http_client_and_nginx, lose_no_request_when_connections_over_tls_end) {
  http_client client(server_->how());
  EXPECT_EQ(200, good_answers(client, "https://localhost/small", 0ms));
  EXPECT_LE(50, server_->connections());
  EXPECT_EQ(200, good_answers(client, "https://127.0.0.1/small", 50ms));
}

}  // namespace
}  // namespace coir::net::test
