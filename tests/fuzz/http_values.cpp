// The values inside of HTTP messages: encoded texts, paths, queries, ranges, dates, conditions,
// routes. Checked beside crashes: what is taken apart and put together again is the same.
#include "net/http/clock_text.hpp"
#include "net/http/conditions.hpp"
#include "tests/fuzz/support.hpp"

#include <coir/net/http_headers.hpp>
#include <coir/net/http_router.hpp>
#include <coir/net/uri.hpp>

#include <cstdint>
#include <cstdlib>
#include <stdexcept>
#include <string>

namespace {

namespace net = coir::net;
using coir::fuzz::demand;

void check_texts(std::string_view text) {
  demand(net::percent_decoded(net::percent_encoded(text)) == text);
  (void)net::percent_decoded(text);
  (void)net::query_values(text);
  if (const auto path = net::normal_path(text)) {
    demand(path->starts_with('/') && path->find("//") == std::string::npos);
    demand(net::normal_path(*path) == path);
  }
  if (const auto date = net::http::date_value(text)) {
    demand(net::http::date_value(net::http::date_text(*date)) == date);
  }
}

void check_range(std::string_view text) {
  for (const std::uint64_t size : {std::uint64_t{0}, std::uint64_t{10}, UINT64_MAX}) {
    const auto choice = net::http::parsed_range(text, size);
    if (choice.what != net::http::range_choice::outcome::part) continue;
    demand(choice.part.size > 0 && choice.part.begin < size);
    demand(choice.part.size <= size - choice.part.begin);
  }
}

void check_fields(std::string_view text) {
  net::http_headers headers;
  try {
    for (const char* name :
         {"Range", "If-Range", "If-Match", "If-None-Match", "If-Modified-Since"}) {
      headers.add(name, text);
    }
  } catch (const std::invalid_argument&) {
    return;
  }
  const net::http::validators now{"\"tag\"", 784111777};
  const int status = net::http::checked(headers, now);
  demand(status == 200 || status == 304 || status == 412);
  (void)net::http::chosen_range(headers, 100, now);
  std::string out;
  headers.append_to(out);
  demand(out.find("\r\n") == out.find('\n') - 1);
}

void check_route(std::string_view text) {
  net::http_router routes;
  try {
    routes.add(text, [](net::http_request&, net::http_response&) {});
  } catch (const std::invalid_argument&) {
    return;
  }
  try {
    routes.add(text, [](net::http_request&, net::http_response&) {});
    std::abort();  // twice the same
  } catch (const std::invalid_argument&) {
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text = coir::fuzz::text_of(data, size);
  check_texts(text);
  check_range(text);
  check_fields(text);
  check_route(text);
  return 0;
}
