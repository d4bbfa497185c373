// Which handler a request goes to, and what the parts of a URI mean.
#include "tests/net/support.hpp"

#include <coir/net/http_router.hpp>
#include <coir/net/http_server.hpp>
#include <coir/net/uri.hpp>

#include <stdexcept>
#include <string>

namespace coir::net::test {
namespace {

using std::string_literals::operator""s;

TEST(Uri, PercentEncodingGoesBothWays) {
  EXPECT_EQ(percent_decoded("a%20b%C3%A4+%2f"), "a b\xc3\xa4+/");
  EXPECT_EQ(percent_encoded("a b\xc3\xa4/+~", "/"), "a%20b%C3%A4/%2B~");
  for (const char* wrong : {"%", "%4", "%4g", "%g4", "abc%", "%%41"}) {
    EXPECT_EQ(percent_decoded(wrong), std::nullopt) << wrong;
  }
  std::string every;
  for (int c = 0; c < 256; ++c) every += static_cast<char>(c);
  EXPECT_EQ(percent_decoded(percent_encoded(every)), every);
}

TEST(Uri, AQueryIsTakenApart) {
  const auto found = query_values("a=1&b=x+y%26&&c&d=e=f&=g");
  ASSERT_TRUE(found);
  using pair = std::pair<std::string, std::string>;
  EXPECT_EQ(*found,
            (std::vector<pair>{{"a", "1"}, {"b", "x y&"}, {"c", ""}, {"d", "e=f"}, {"", "g"}}));
  EXPECT_EQ(query_values("a=%"), std::nullopt);
  EXPECT_TRUE(query_values("")->empty());
}

TEST(Uri, APathHasOneNormalForm) {
  const std::pair<const char*, const char*> right[] = {
      {"/", "/"},         {"//", "/"},          {"/a", "/a"},          {"/a/", "/a/"},
      {"/a//b", "/a/b"},  {"/./a", "/a"},       {"/a/.", "/a/"},       {"/a/..", "/"},
      {"/a/b/..", "/a/"}, {"/a/../b", "/b"},    {"/a/b/../c", "/a/c"}, {"/...", "/..."},
      {"/a..", "/a.."},   {"/a/./b/.", "/a/b/"}};
  for (const auto& [path, normal] : right) EXPECT_EQ(normal_path(path), normal) << path;
  for (const std::string& wrong : {""s, "a"s, "../a"s, "/.."s, "/../a"s, "/a/../.."s, "/a\0b"s}) {
    EXPECT_EQ(normal_path(wrong), std::nullopt) << wrong;
  }
}

class HttpRouter : public testing::Test {
 protected:
  /// A route that answers with its pattern and the values that it found.
  void add(const std::string& pattern) {
    routes_.add(pattern, [pattern](http_request& request, http_response& response) {
      std::string text = pattern;
      for (const char* name : {"a", "b", "rest"}) {
        if (!request.path_value(name).empty()) {
          text += std::string(" ") + name + "=" + std::string(request.path_value(name));
        }
      }
      response.send(text);
    });
  }
  /// The status and the body of the answer, or the methods that are allowed.
  std::string ask(const std::string& method, const std::string& target) {
    http_server server(address::ipv4_loopback(), routes_);
    server.start();
    tcp_stream client = tcp_stream::connect(server.local_address());
    client.expires_after(patience);
    client.write_all(method + " " + target + " HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    std::string answer;
    char buffer[4096];
    while (const std::size_t count = client.read_some(buffer)) answer.append(buffer, count);
    const std::size_t allow = answer.find("Allow: ");
    const std::string detail = allow == std::string::npos
                                   ? answer.substr(answer.find("\r\n\r\n") + 4)
                                   : answer.substr(allow, answer.find("\r\n", allow) - allow);
    return answer.substr(9, 3) + " " + detail;
  }

  http_router routes_;
};

TEST_F(HttpRouter, ThePlainerSegmentWins) {
  for (const char* pattern :
       {"GET /users/{a}", "GET /{rest...}", "GET /users/me", "POST /users/me",
        "GET /users/{a}/posts/{b}", "/any", "/users/me", "GET /", "GET /dir/"}) {
    add(pattern);
  }
  EXPECT_EQ(ask("GET", "/users/me"), "200 GET /users/me");
  EXPECT_EQ(ask("POST", "/users/me"), "200 POST /users/me");
  EXPECT_EQ(ask("GET", "/users/7?x=y"), "200 GET /users/{a} a=7");
  EXPECT_EQ(ask("GET", "/users/7/posts/8"), "200 GET /users/{a}/posts/{b} a=7 b=8");
  EXPECT_EQ(ask("GET", "/users/7/x"), "200 GET /{rest...} rest=users/7/x");
  EXPECT_EQ(ask("GET", "/"), "200 GET /");
  EXPECT_EQ(ask("GET", "/dir/"), "200 GET /dir/");
  EXPECT_EQ(ask("GET", "/dir"), "200 GET /{rest...} rest=dir");
  EXPECT_EQ(ask("DELETE", "/any"), "200 /any");
  EXPECT_EQ(ask("GET", "/any"), "200 /any");
  EXPECT_EQ(ask("HEAD", "/users/7"), "200 ");
}

TEST_F(HttpRouter, WhatFitsNothingIsNotFound) {
  add("GET /a/{a}");
  EXPECT_EQ(ask("GET", "/"), "404 Not Found\n");
  EXPECT_EQ(ask("GET", "/a"), "404 Not Found\n");
  EXPECT_EQ(ask("GET", "/a/"), "404 Not Found\n");
  EXPECT_EQ(ask("GET", "/a/b/c"), "404 Not Found\n");
}

TEST_F(HttpRouter, AnotherMethodIsTheAllowedOnes) {
  add("GET /a");
  add("PUT /a");
  EXPECT_EQ(ask("POST", "/a"), "405 Allow: GET, HEAD, PUT");
}

TEST_F(HttpRouter, AnEncodedSlashMakesNoSegment) {
  add("GET /{a}/{b}");
  EXPECT_EQ(ask("GET", "/x%2Fy/z"), "200 GET /{a}/{b} a=x/y b=z");
  EXPECT_EQ(ask("GET", "/x%2Fy"), "404 Not Found\n");
}

TEST_F(HttpRouter, DotsLeadToTheSameRouteAsTheNormalPath) {
  add("GET /a/b");
  add("GET /a/");
  for (const char* target : {"/a/./b", "/x/../a/b", "/a//b", "//a/b", "/x/%2e%2e/a/b"}) {
    EXPECT_EQ(ask("GET", target), "200 GET /a/b") << target;
  }
  EXPECT_EQ(ask("GET", "/a/b/.."), "200 GET /a/");
  EXPECT_EQ(ask("GET", "http://h/a/b"), "200 GET /a/b");
  EXPECT_EQ(ask("GET", "/a%2fb/../.."), "400 Bad Request\n");
}

TEST_F(HttpRouter, APatternThatIsWrongIsRefused) {
  add("GET /a/{a}");
  for (const char* wrong : {"", "GET", "a", "GET a", "GE:T /", "/{}", "/{...}", "/{a...}/b",
                            "/x{a}", "/{a", "GET /a/{b}"}) {
    EXPECT_THROW(add(wrong), std::invalid_argument) << wrong;
  }
  EXPECT_THROW(routes_.add("/b", nullptr), std::invalid_argument);
  add("PUT /a/{b}");
}

}  // namespace
}  // namespace coir::net::test
