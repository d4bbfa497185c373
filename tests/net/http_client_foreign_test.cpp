// The HTTP client against servers that are not ours: python's, and nginx behind a unix socket.
#include "tests/net/http_client_support.hpp"

#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>

namespace coir::net::test {
namespace {

/// A program in a process of its own; its standard output is a pipe.
class child {
 public:
  explicit child(std::vector<std::string> words) {
    int ends[2];
    EXPECT_EQ(0, pipe2(ends, O_CLOEXEC));
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    std::vector<char*> pointers;
    for (std::string& each : words) pointers.push_back(each.data());
    pointers.push_back(nullptr);
    EXPECT_EQ(0, posix_spawn(&pid_, pointers[0], &actions, nullptr, pointers.data(), environ));
    posix_spawn_file_actions_destroy(&actions);
    ::close(ends[1]);
    output_ = ends[0];
  }
  ~child() {
    if (pid_ > 0) {
      kill(pid_, SIGKILL);
      waitpid(pid_, nullptr, 0);
    }
    ::close(output_);
  }
  child(const child&) = delete;
  child& operator=(const child&) = delete;

  /// What it prints, up to the end of a line.
  std::string line() {
    std::string text;
    for (char c = 0; ::read(output_, &c, 1) == 1 && c != '\n';) text += c;
    return text;
  }

 private:
  pid_t pid_ = -1;
  int output_ = -1;
};

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
  child python({COIR_TEST_PYTHON, "-c", python_script});
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
  child python({COIR_TEST_PYTHON, "-c", python_script});
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
    process_ = std::make_unique<child>(
        std::vector<std::string>{COIR_TEST_NGINX, "-p", place_ / "", "-c", place_ / "conf"});
    how_.connect = [this](const url&, time_limit limit, std::error_code& ec) {
      ++connections_;
      auto opened = std::make_unique<unix_stream>(
          unix_stream::connect(address::unix_path(place_ / "socket"), limit, ec));
      return ec ? nullptr : std::move(opened);
    };
    await();
  }

  const http_client::options& how() const { return how_; }
  int connections() const { return connections_; }

 private:
  std::string configuration() const {
    std::string text =
        "daemon off; master_process off; pid DIR/pid; error_log DIR/error.log;\n"
        "events {}\n"
        "http {\n"
        "  access_log off; default_type text/plain;\n"
        "  client_body_temp_path DIR/t1; proxy_temp_path DIR/t2; fastcgi_temp_path DIR/t3;\n"
        "  uwsgi_temp_path DIR/t4; scgi_temp_path DIR/t5;\n"
        "  server {\n"
        "    listen unix:DIR/socket; root DIR/files;\n"
        "    keepalive_requests 2;\n"
        "    location /old { return 301 /small; }\n"
        "    location /loop { return 302 /loop; }\n"
        "    location /secret { auth_basic x; auth_basic_user_file DIR/users;\n"
        "                       alias DIR/files/small; }\n"
        "  }\n"
        "  server {\n"
        "    listen unix:DIR/socket; server_name hasty; root DIR/files;\n"
        "    keepalive_timeout 30ms;\n"
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
  int connections_ = 0;
  std::unique_ptr<child> process_;
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

}  // namespace
}  // namespace coir::net::test
