// Serving files: what is sent, what is not, and to whom again.
#include "net/http/clock_text.hpp"
#include "net/http/conditions.hpp"
#include "tests/net/http_client.hpp"
#include "tests/net/support.hpp"

#include <coir/net/http_files.hpp>
#include <coir/net/http_router.hpp>
#include <coir/net/http_server.hpp>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>

#include <sys/stat.h>

namespace coir::net::test {
namespace {

namespace fs = std::filesystem;

class HttpFiles : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "coir-files-XXXXXX";
    base_ = mkdtemp(pattern.data());
    root_ = base_ / "root";
    fs::create_directories(root_ / "dir");
    write(root_ / "hello.txt", "0123456789");
    write(root_ / "a b%.html", "<p>");
    write(root_ / "empty", "");
    write(root_ / ".hidden", "secret");
    write(root_ / "dir/index.html", "index");
    write(base_ / "outside.txt", "secret");
    server_ = std::make_unique<http_server>(address::ipv4_loopback(), http_files(root_));
    server_->start();
  }
  void TearDown() override {
    server_.reset();
    fs::remove_all(base_);
  }
  static void write(const fs::path& path, const std::string& text) {
    std::ofstream(path, std::ios::binary) << text;
  }
  plain_answer get(const std::string& target, const std::string& fields = {}) const {
    return ask(server_->local_address(), "GET", target, fields);
  }

  fs::path base_;
  fs::path root_;
  std::unique_ptr<http_server> server_;
};

TEST_F(HttpFiles, AFileIsSentWithItsKindAndItsDate) {
  const plain_answer got = get("/hello.txt");
  EXPECT_EQ(got.status, 200);
  EXPECT_EQ(got.body, "0123456789");
  EXPECT_EQ(got.field("Content-Type"), "text/plain; charset=utf-8");
  EXPECT_EQ(got.field("Content-Length"), "10");
  EXPECT_EQ(got.field("Accept-Ranges"), "bytes");
  EXPECT_FALSE(got.field("ETag").empty());
  EXPECT_TRUE(http::date_value(got.field("Last-Modified")).has_value());
}

TEST_F(HttpFiles, NamesAreDecoded) {
  const plain_answer got = get("/a%20b%25.html");
  EXPECT_EQ(got.body, "<p>");
  EXPECT_EQ(got.field("Content-Type"), "text/html; charset=utf-8");
}

TEST_F(HttpFiles, AFolderIsItsIndexAndIsAskedForWithASlash) {
  EXPECT_EQ(get("/dir/").body, "index");
  const plain_answer without = get("/dir");
  EXPECT_EQ(without.status, 301);
  EXPECT_EQ(without.field("Location"), "/dir/");
  EXPECT_EQ(get("//dir").field("Location"), "/dir/");
  EXPECT_EQ(get("/").status, 404);  // no index, and no list either
}

TEST_F(HttpFiles, AnEmptyFileIsSent) {
  const plain_answer got = get("/empty");
  EXPECT_EQ(got.status, 200);
  EXPECT_EQ(got.field("Content-Length"), "0");
}

TEST_F(HttpFiles, HeadTellsWhatGetWouldSend) {
  const plain_answer got = ask(server_->local_address(), "HEAD", "/hello.txt");
  EXPECT_EQ(got.field("Content-Length"), "10");
  EXPECT_EQ(got.body, "");
}

TEST_F(HttpFiles, NothingOutsideTheFolderIsSent) {
  fs::create_symlink("../outside.txt", root_ / "link_out");
  fs::create_symlink(base_ / "outside.txt", root_ / "absolute_link");
  fs::create_symlink("hello.txt", root_ / "link_inside");
  fs::create_directory_symlink("..", root_ / "up");
  for (const char* target : {"/../outside.txt", "/%2e%2e/outside.txt", "/dir/../../outside.txt",
                             "/..%2foutside.txt", "/dir/%2e%2e%2f%2e%2e%2foutside.txt", "/link_out",
                             "/absolute_link", "/up/outside.txt", "/.hidden", "/dir/../.hidden",
                             "/hello.txt/..", "/hello.txt/", "/no", "/%00", "/hello.txt%00.html"}) {
    const plain_answer got = get(target);
    EXPECT_GE(got.status, 400) << target;
    EXPECT_EQ(got.body.find("secret"), std::string::npos) << target;
  }
  EXPECT_EQ(get("/link_inside").body, "0123456789");
}

TEST_F(HttpFiles, WhatIsNoFileIsNotOpenedForLong) {
  ASSERT_EQ(0, mkfifo((root_ / "fifo").c_str(), 0600));
  EXPECT_EQ(get("/fifo").status, 404);
}

TEST_F(HttpFiles, OtherMethodsAreRefused) {
  const plain_answer got = ask(server_->local_address(), "POST", "/hello.txt");
  EXPECT_EQ(got.status, 405);
  EXPECT_EQ(got.field("Allow"), "GET, HEAD");
}

TEST_F(HttpFiles, APartOfAFileIsSent) {
  plain_answer got = get("/hello.txt", "Range: bytes=2-4\r\n");
  EXPECT_EQ(got.status, 206);
  EXPECT_EQ(got.body, "234");
  EXPECT_EQ(got.field("Content-Range"), "bytes 2-4/10");
  EXPECT_EQ(get("/hello.txt", "Range: bytes=-3\r\n").body, "789");
  EXPECT_EQ(get("/hello.txt", "Range: bytes=7-\r\n").body, "789");
  got = get("/hello.txt", "Range: bytes=10-\r\n");
  EXPECT_EQ(got.status, 416);
  EXPECT_EQ(got.field("Content-Range"), "bytes */10");
}

TEST_F(HttpFiles, APartIsSentOnlyOfWhatHasNotChanged) {
  const std::string etag = get("/hello.txt").field("ETag");
  EXPECT_EQ(get("/hello.txt", "Range: bytes=0-0\r\nIf-Range: " + etag + "\r\n").status, 206);
  EXPECT_EQ(get("/hello.txt", "Range: bytes=0-0\r\nIf-Range: \"other\"\r\n").status, 200);
}

TEST_F(HttpFiles, WhatTheClientHasIsNotSentAgain) {
  const plain_answer first = get("/hello.txt");
  const std::string etag = first.field("ETag");
  const std::string date = first.field("Last-Modified");
  const plain_answer again = get("/hello.txt", "If-None-Match: \"x\", W/" + etag + "\r\n");
  EXPECT_EQ(again.status, 304);
  EXPECT_EQ(again.body, "");
  EXPECT_EQ(again.field("ETag"), etag);
  EXPECT_EQ(get("/hello.txt", "If-Modified-Since: " + date + "\r\n").status, 304);
  EXPECT_EQ(get("/hello.txt", "If-None-Match: \"x\"\r\nIf-Modified-Since: " + date + "\r\n").status,
            200);
  EXPECT_EQ(get("/hello.txt", "If-Match: \"x\"\r\n").status, 412);
  EXPECT_EQ(get("/hello.txt", "If-Match: *\r\n").status, 200);
}

TEST_F(HttpFiles, ALargeFileArrivesWhole) {
  std::string text;
  for (int i = 0; text.size() < 3'000'000; ++i) text += std::to_string(i);
  write(root_ / "large", text);
  EXPECT_TRUE(get("/large").body == text);
  EXPECT_TRUE(get("/large", "Range: bytes=1000000-2000000\r\n").body ==
              text.substr(1'000'000, 1'000'001));
}

TEST_F(HttpFiles, ARouterServesThemUnderAPrefix) {
  http_router routes;
  routes.add("/static/{path...}", http_files(root_));
  http_server server(address::ipv4_loopback(), routes);
  server.start();
  const address where = server.local_address();
  EXPECT_EQ(ask(where, "GET", "/static/hello.txt").body, "0123456789");
  EXPECT_EQ(ask(where, "GET", "/static/dir").field("Location"), "/static/dir/");
  EXPECT_EQ(ask(where, "GET", "/hello.txt").status, 404);
  EXPECT_EQ(ask(where, "GET", "/static/..%2f..%2foutside.txt").status, 400);
}

TEST_F(HttpFiles, AFolderThatIsNotThereIsNamed) {
  try {
    http_files(base_ / "nowhere");
    FAIL();
  } catch (const std::system_error& e) {
    EXPECT_NE(std::string(e.what()).find("nowhere"), std::string::npos);
    EXPECT_EQ(e.code(), std::errc::no_such_file_or_directory);
  }
}

TEST(HttpRange, EachFormHasItsMeaning) {
  using http::parsed_range;
  using outcome = http::range_choice::outcome;
  const auto part = [](const char* value, std::uint64_t size) {
    const http::range_choice got = parsed_range(value, size);
    EXPECT_EQ(got.what, outcome::part) << value;
    return got.part;
  };
  EXPECT_EQ(part("bytes=0-0", 10), (http::byte_range{0, 1}));
  EXPECT_EQ(part("bytes=0-99", 10), (http::byte_range{0, 10}));
  EXPECT_EQ(part("bytes=-99", 10), (http::byte_range{0, 10}));
  EXPECT_EQ(part("BYTES = 9- ", 10), (http::byte_range{9, 1}));
  EXPECT_EQ(part("bytes=5-99999999999999999999", 10), (http::byte_range{5, 5}));
  for (const char* none :
       {"", "bytes", "bytes=", "bytes=-", "bytes=a-b", "bytes=1", "bytes=5-4", "bytes=0-1,3-4",
        "lines=0-1", "bytes=1-2-3", "bytes=+1-2", "bytes=--1"}) {
    EXPECT_EQ(parsed_range(none, 10).what, outcome::whole) << none;
  }
  for (const char* behind :
       {"bytes=10-", "bytes=10-20", "bytes=-0", "bytes=99999999999999999999-"}) {
    EXPECT_EQ(parsed_range(behind, 10).what, outcome::unsatisfiable) << behind;
  }
  EXPECT_EQ(parsed_range("bytes=0-", 0).what, outcome::unsatisfiable);
  EXPECT_EQ(parsed_range("bytes=-5", 0).what, outcome::unsatisfiable);
}

TEST(HttpDate, TextsAreReadAsTheyAreWritten) {
  EXPECT_EQ(http::date_text(784111777), "Sun, 06 Nov 1994 08:49:37 GMT");
  EXPECT_EQ(http::date_value("Sun, 06 Nov 1994 08:49:37 GMT"), 784111777);
  for (const char* wrong : {"", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994",
                            "Sun, 31 Feb 1994 08:49:37 GMT", "Sun, 06 Nov 1994 25:49:37 GMT",
                            "Sun, 06 Nov 1994 08:49:37 UTC", "Sun, 06 Nov 1994 08-49-37 GMT"}) {
    EXPECT_EQ(http::date_value(wrong), std::nullopt) << wrong;
  }
}

}  // namespace
}  // namespace coir::net::test
