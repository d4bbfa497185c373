// URLs: their parts, references, and what is refused.
#include <coir/net/url.hpp>

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <system_error>

namespace coir::net::test {
namespace {

TEST(url, has_all_its_parts) {
  const url u = url::parse("HTTP://user:pass@Example.ORG:8080/a/b;c?d=e&f#g");
  EXPECT_EQ("http", u.scheme());
  EXPECT_EQ("user:pass", u.userinfo());
  EXPECT_EQ("example.org", u.host());
  EXPECT_EQ(8080, u.port());
  EXPECT_EQ("/a/b;c", u.path());
  EXPECT_EQ("d=e&f", u.query());
  EXPECT_EQ("g", u.fragment());
  EXPECT_EQ("example.org:8080", u.host_and_port());
  EXPECT_EQ("http://example.org:8080", u.origin());
  EXPECT_EQ("/a/b;c?d=e&f", u.target());
  EXPECT_EQ("http://user:pass@example.org:8080/a/b;c?d=e&f#g", u.to_string());
  EXPECT_EQ("http://example.org:8080/a/b;c?d=e&f#g", u.to_public_string());
}

TEST(url, tells_what_is_absent_from_what_is_empty) {
  const url bare = url::parse("http://h");
  EXPECT_FALSE(bare.query() || bare.fragment() || bare.port() || bare.userinfo());
  EXPECT_EQ("", bare.path());
  EXPECT_EQ("/", bare.target());
  EXPECT_EQ("http://h", bare.to_string());
  const url empty = url::parse("http://@h:/?#");
  EXPECT_EQ("", empty.userinfo());
  EXPECT_EQ("", empty.query());
  EXPECT_EQ("", empty.fragment());
  EXPECT_FALSE(empty.port());
  EXPECT_EQ("/?", empty.target());
}

TEST(url, knows_the_ports_of_http_and_leaves_the_usual_one_out) {
  EXPECT_EQ(80, url::parse("http://h").effective_port());
  EXPECT_EQ(443, url::parse("https://h").effective_port());
  EXPECT_EQ(0, url::parse("ftp://h").effective_port());
  EXPECT_EQ("h", url::parse("http://h:80/").host_and_port());
  EXPECT_EQ("h:80", url::parse("https://h:80/").host_and_port());
  EXPECT_EQ("http://h:80", url::parse("http://h/x").origin());
}

TEST(url, holds_ipv6_addresses_without_their_brackets) {
  const url u = url::parse("http://[::FFFF:1.2.3.4]:81/x");
  EXPECT_EQ("::ffff:1.2.3.4", u.host());
  EXPECT_EQ(81, u.port());
  EXPECT_EQ("[::ffff:1.2.3.4]:81", u.host_and_port());
  EXPECT_EQ("http://[::ffff:1.2.3.4]:81/x", u.to_string());
  EXPECT_EQ("[::1]", url::parse("http://[::1]").host_and_port());
}

TEST(url, encodes_what_may_not_stand_in_it_and_nothing_else) {
  const url u = url::parse(" http://h/a b\"c/%41\xc3\xbc|?x=[y] z&'#<t>\n");
  EXPECT_EQ("/a%20b%22c/%41%C3%BC%7C", u.path());
  EXPECT_EQ("x=%5By%5D%20z&'", u.query());
  EXPECT_EQ("%3Ct%3E", u.fragment());
  EXPECT_EQ(u, url::parse(u.to_string()));
}

TEST(url, without_a_host_is_one_of_another_scheme) {
  const url mail = url::parse("mailto:a@b.c");
  EXPECT_EQ("mailto", mail.scheme());
  EXPECT_FALSE(mail.has_authority());
  EXPECT_EQ("a@b.c", mail.path());
  EXPECT_TRUE(url::parse("file:///etc").has_authority());
  EXPECT_EQ("file:///etc", url::parse("file:///etc").to_string());
}

struct bad_url {
  std::string text;
  url_errc why;
};

TEST(url, names_what_is_wrong_with_a_text) {
  const bad_url table[] = {
      {"http://", url_errc::no_host},
      {"http:/path", url_errc::no_host},
      {"http:path", url_errc::no_host},
      {"https://:80/", url_errc::no_host},
      {"http://user@/", url_errc::no_host},
      {"1http://h", url_errc::bad_scheme},
      {"ht tp://h", url_errc::bad_scheme},
      {"://h", url_errc::bad_scheme},
      {"http://h:x/", url_errc::bad_port},
      {"http://h:65536/", url_errc::bad_port},
      {"http://h:-1/", url_errc::bad_port},
      {"http://h: 80/", url_errc::bad_port},
      {"http://a b/", url_errc::bad_host},
      {"http://b\xc3\xbc"
       "cher.de/",
       url_errc::bad_host},
      {"http://h%41/", url_errc::bad_host},
      {"http://a\\b/", url_errc::bad_host},
      {"http://good.org\\@evil.org/", url_errc::bad_userinfo},
      {"http://a@b@c/", url_errc::bad_userinfo},
      {"http://[::1/", url_errc::bad_ipv6},
      {"http://[]/", url_errc::bad_ipv6},
      {"http://[1.2.3.4]/", url_errc::bad_ipv6},
      {"http://[::1]x/", url_errc::bad_host},
      {"http://[::1]x:80/", url_errc::bad_port},
      {"http://h/%", url_errc::bad_percent},
      {"http://h/%4", url_errc::bad_percent},
      {"http://h/%4g", url_errc::bad_percent},
      {"http://h/?%zz", url_errc::bad_percent},
      {"http://h/a\nb", url_errc::control_character},
      {"http://h/\x7f", url_errc::control_character},
      {std::string("http://h/\0", 10), url_errc::control_character},
      {"http://h/" + std::string(2 << 20, 'a'), url_errc::too_long},
  };
  for (const bad_url& each : table) {
    std::error_code ec;
    EXPECT_EQ(url(), url::parse(each.text, ec));
    EXPECT_EQ(each.why, ec) << each.text.substr(0, 50) << ": " << ec.message();
  }
}

TEST(url, error_names_the_text_but_no_password) {
  try {
    url::parse("http://me:secret@h:x/\r\n1");
    FAIL();
  } catch (const std::system_error& e) {
    const std::string what = e.what();
    EXPECT_NE(std::string::npos, what.find("control character")) << what;
    EXPECT_NE(std::string::npos, what.find("http://...@h:x/??1")) << what;
  }
}

TEST(url, resolves_the_references_of_rfc_3986) {
  const url base = url::parse("http://a/b/c/d;p?q");
  const std::pair<const char*, const char*> table[] = {
      {"g:h", "g:h"},
      {"g", "http://a/b/c/g"},
      {"./g", "http://a/b/c/g"},
      {"g/", "http://a/b/c/g/"},
      {"/g", "http://a/g"},
      {"//g", "http://g"},
      {"?y", "http://a/b/c/d;p?y"},
      {"g?y", "http://a/b/c/g?y"},
      {"#s", "http://a/b/c/d;p?q#s"},
      {"g#s", "http://a/b/c/g#s"},
      {"g?y#s", "http://a/b/c/g?y#s"},
      {";x", "http://a/b/c/;x"},
      {"g;x", "http://a/b/c/g;x"},
      {"g;x?y#s", "http://a/b/c/g;x?y#s"},
      {"", "http://a/b/c/d;p?q"},
      {".", "http://a/b/c/"},
      {"./", "http://a/b/c/"},
      {"..", "http://a/b/"},
      {"../", "http://a/b/"},
      {"../g", "http://a/b/g"},
      {"../..", "http://a/"},
      {"../../", "http://a/"},
      {"../../g", "http://a/g"},
      {"../../../g", "http://a/g"},
      {"../../../../g", "http://a/g"},
      {"/./g", "http://a/g"},
      {"/../g", "http://a/g"},
      {"g.", "http://a/b/c/g."},
      {".g", "http://a/b/c/.g"},
      {"g..", "http://a/b/c/g.."},
      {"..g", "http://a/b/c/..g"},
      {"./../g", "http://a/b/g"},
      {"./g/.", "http://a/b/c/g/"},
      {"g/./h", "http://a/b/c/g/h"},
      {"g/../h", "http://a/b/c/h"},
      {"g;x=1/./y", "http://a/b/c/g;x=1/y"},
      {"g;x=1/../y", "http://a/b/c/y"},
      {"g?y/./x", "http://a/b/c/g?y/./x"},
      {"g?y/../x", "http://a/b/c/g?y/../x"},
      {"g#s/./x", "http://a/b/c/g#s/./x"},
      {"g#s/../x", "http://a/b/c/g#s/../x"},
      {"HTTP://B/../x", "http://b/x"},
  };
  for (const auto& [reference, expected] : table) {
    EXPECT_EQ(expected, base.resolve(reference).to_string()) << reference;
  }
  EXPECT_EQ("http://a/x", url::parse("http://a").resolve("x").to_string());
  EXPECT_EQ("http://u@a:1/x", url::parse("http://u@a:1").resolve("/x").to_string());
  EXPECT_EQ("x:/.//y", url::parse("x:/a").resolve("/.//y").to_string());
  std::error_code ec;
  EXPECT_EQ(url(), base.resolve("//", ec));
  EXPECT_EQ(url_errc::no_host, ec);
  EXPECT_EQ(url(), base.resolve("http://[", ec));
  EXPECT_EQ(url_errc::bad_ipv6, ec);
}

TEST(url, of_any_text_is_an_error_or_survives_being_written_and_read) {
  const std::string alphabet = "ah:/?#[]@.%4 \\\"\x80\n-1;&=+";
  std::mt19937 random(1);
  int good = 0;
  for (int turn = 0; turn < 20000; ++turn) {
    std::string text = turn % 2 == 0 ? "http://" : "";
    for (std::size_t size = random() % 12; size > 0; --size) {
      text += alphabet[random() % alphabet.size()];
    }
    std::error_code ec;
    const url u = url::parse(text, ec);
    if (ec) continue;
    ++good;
    ASSERT_EQ(u, url::parse(u.to_string(), ec)) << text << " became " << u.to_string();
    const url resolved = url::parse("http://h/a/b?c").resolve(u.to_string(), ec);
    if (ec) continue;
    ASSERT_EQ(std::string::npos, resolved.target().find_first_of(" \r\n")) << text;
    ASSERT_EQ(resolved.to_string(), url::parse(resolved.to_string(), ec).to_string()) << text;
  }
  EXPECT_LT(1000, good);
}

}  // namespace
}  // namespace coir::net::test
