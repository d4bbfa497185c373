// A crawler: a pool of fibers takes pages from a queue, fetches them with one HTTP client, and puts
// the links that they find back into the queue, until there are no more.

#include "common/command_line.hpp"

#include <coir/coir.hpp>
#include <coir/net.hpp>

#include <chrono>
#include <cstdio>
#include <set>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;
namespace net = coir::net;

constexpr char usage[] =
    "usage: crawler [--depth N] [--pages N] [--jobs N] [--time SECONDS] URL\n"
    "Fetches the page at URL, the pages of the same host that it links to, and so on: N links "
    "deep\n"
    "(2), at most N pages (100), N at a time (8), for at most so many SECONDS (30). Prints the\n"
    "status, size and URL of each. The status is 1 when the first page cannot be had, or when the\n"
    "time is up.\n";

struct options {
  long depth = 2;
  std::size_t pages = 100;
  std::size_t jobs = 8;
  std::chrono::milliseconds time = 30s;
  std::string start;
};

options parse(int argc, char** argv) {
  options result;
  example::command_line line;
  line.number("depth", result.depth, 0, 1000).number("pages", result.pages, 1, 1'000'000);
  line.number("jobs", result.jobs, 1, 1000).seconds("time", result.time);
  const std::vector<std::string> urls = line.arguments(argc, argv);
  if (urls.size() != 1) throw example::usage_error("one URL is needed");
  result.start = urls.front();
  return result;
}

/// The values of all href="..." in a page: no parser of HTML, but enough to walk through a site.
std::vector<std::string> links_of(std::string_view page) {
  constexpr std::string_view mark = "href=";
  std::vector<std::string> found;
  for (std::size_t at = 0; (at = page.find(mark, at)) != std::string_view::npos;) {
    at += mark.size();
    if (at == page.size() || (page[at] != '"' && page[at] != '\'')) continue;
    const std::size_t end = page.find(page[at], at + 1);
    if (end == std::string_view::npos) break;
    std::string link(page.substr(at + 1, end - at - 1));
    for (std::size_t amp = 0; (amp = link.find("&amp;", amp)) != std::string::npos;) {
      link.erase(++amp, 4);
    }
    found.push_back(std::move(link));
    at = end;
  }
  return found;
}

class crawler {
 public:
  explicit crawler(const options& how) : how_(how), client_(client_options(how)) {}

  /// Crawls to the end; returns the exit status.
  int run() {
    const net::url start = net::url::parse(how_.start);
    origin_ = start.origin();
    add(start, 0);
    coir::pool fetchers(how_.jobs);
    for (std::size_t i = 0; i < how_.jobs; ++i) fetchers.spawn([this] { fetch_pages(); });
    const bool is_done = coir::move_on_after(how_.time, [this] { pages_.join(); });
    const std::size_t undone = pages_.unfinished_tasks();
    fetchers.kill();
    std::printf("%zu pages, %zu bytes, %zu errors\n", fetched_, bytes_, errors_);
    if (!is_done) std::fprintf(stderr, "crawler: the time is up; %zu pages are missing\n", undone);
    return is_done && !has_no_start_ ? 0 : 1;
  }

 private:
  struct page {
    net::url where;
    long depth = 0;
  };

  static net::http_client::options client_options(const options& how) {
    net::http_client::options result;
    result.user_agent = "coir-crawler";
    result.connections_per_host_max = how.jobs;
    result.body_bytes_max = 10'000'000;
    result.redirects_max = 0;  // they are links like others
    return result;
  }

  void fetch_pages() {
    for (const page& next : pages_) {
      fetch(next);
      pages_.task_done();
    }
  }

  void fetch(const page& p) {
    std::error_code ec;
    const net::http_answer got = client_.get(p.where.to_string(), ec);
    if (ec || got.status >= 400) {
      ++errors_;
      has_no_start_ |= p.depth == 0;
    }
    if (ec) {
      std::printf("error %10s %s\n", "-", (p.where.to_string() + ": " + ec.message()).c_str());
      return;
    }
    std::printf("%5d %10zu %s\n", got.status, got.body.size(), p.where.to_string().c_str());
    ++fetched_;
    bytes_ += got.body.size();
    if (got.headers.contains("Location")) follow(p, got.headers.get("Location"), p.depth);
    if (p.depth == how_.depth || !got.headers.get("Content-Type").starts_with("text/html")) return;
    for (const std::string& link : links_of(got.body)) follow(p, link, p.depth + 1);
  }

  void follow(const page& from, std::string_view link, long depth) {
    std::error_code ec;
    const net::url where = from.where.resolve(link, ec);
    if (ec) {
      ++errors_;
      std::printf("error %10s %s in %s\n", "-", ec.message().c_str(),
                  from.where.to_string().c_str());
    } else if (where.origin() == origin_) {
      add(where, depth);
    }
  }

  /// Puts a page into the queue, unless that has been done before.
  void add(net::url where, long depth) {
    where.set_fragment(std::nullopt);
    if (seen_.size() == how_.pages || !seen_.insert(where.to_string()).second) return;
    pages_.put({std::move(where), depth});
  }

  const options& how_;
  net::http_client client_;
  std::string origin_;
  coir::queue<page> pages_;
  std::set<std::string> seen_;
  std::size_t fetched_ = 0;
  std::size_t bytes_ = 0;
  std::size_t errors_ = 0;
  bool has_no_start_ = false;
};

}  // namespace

int main(int argc, char** argv) {
  return example::run_main("crawler", usage, [&] { return crawler(parse(argc, argv)).run(); });
}
