#include "net/http/client_core.hpp"

#include <coir/net/http_client.hpp>
#include <coir/net/tcp_stream.hpp>

#include <utility>

namespace coir::net {
namespace {

/// What `call` returns, or an empty value with `ec` set.
template <class Call>
auto without_throwing(std::error_code& ec, Call call) -> decltype(call()) {
  ec.clear();
  try {
    return call();
  } catch (const std::system_error& e) {
    ec = e.code();
  }
  return {};
}

[[noreturn]] void fail_empty() {
  throw std::system_error(std::make_error_code(std::errc::bad_file_descriptor),
                          "use an empty HTTP exchange");
}

const http::answer_head& no_head() {
  static const http::answer_head none;
  return none;
}

}  // namespace

// --- http_exchange, http_upload -----------------------------------------------------------------

http_exchange::http_exchange() noexcept = default;
http_exchange::http_exchange(std::unique_ptr<http::exchange> core) noexcept
    : core_(std::move(core)) {}
http_exchange::http_exchange(http_exchange&& other) noexcept = default;
http_exchange& http_exchange::operator=(http_exchange&& other) noexcept = default;
http_exchange::~http_exchange() = default;

int http_exchange::status() const noexcept { return core_ ? core_->head().status : 0; }

const std::string& http_exchange::reason() const noexcept {
  return (core_ ? core_->head() : no_head()).reason;
}

int http_exchange::version() const noexcept { return core_ ? core_->head().version : 0; }

const http_headers& http_exchange::headers() const noexcept {
  return (core_ ? core_->head() : no_head()).headers;
}

const std::string& http_exchange::url() const noexcept {
  return core_ ? core_->url_text() : no_head().reason;
}

std::optional<std::uint64_t> http_exchange::content_length() const noexcept {
  return core_ ? core_->length() : std::nullopt;
}

std::size_t http_exchange::read_some(mutable_buffer into) {
  if (!core_) fail_empty();
  return core_->read_some(into);
}

std::size_t http_exchange::read_some(mutable_buffer into, std::error_code& ec) {
  return without_throwing(ec, [&] { return read_some(into); });
}

std::string http_exchange::read_body() {
  if (!core_) fail_empty();
  return core_->read_body();
}

std::string http_exchange::read_body(std::error_code& ec) {
  return without_throwing(ec, [&] { return read_body(); });
}

std::unique_ptr<stream> http_exchange::take_connection() {
  if (!core_) fail_empty();
  return core_->take_connection();
}

http_upload::http_upload() noexcept = default;
http_upload::http_upload(std::unique_ptr<http::exchange> core) noexcept : core_(std::move(core)) {}
http_upload::http_upload(http_upload&& other) noexcept = default;
http_upload& http_upload::operator=(http_upload&& other) noexcept = default;
http_upload::~http_upload() = default;

bool http_upload::write(const_buffer part) {
  if (!core_) fail_empty();
  return core_->write(part);
}

bool http_upload::write(const_buffer part, std::error_code& ec) {
  return without_throwing(ec, [&] { return write(part); });
}

http_exchange http_upload::finish() {
  if (!core_) fail_empty();
  core_->end_upload();
  std::unique_ptr<http::exchange> ended = std::move(core_);
  ended->await_answer();
  return http_exchange(std::move(ended));
}

http_exchange http_upload::finish(std::error_code& ec) {
  return without_throwing(ec, [&] { return finish(); });
}

// --- http_client --------------------------------------------------------------------------------

http_client::http_client() : http_client(options()) {}
http_client::http_client(options how)
    : core_(std::make_unique<http::client_core>(std::move(how))) {}
http_client::http_client(http_client&&) noexcept = default;
http_client& http_client::operator=(http_client&&) noexcept = default;

http_client::~http_client() {
  if (core_) close_idle();
}

http_answer http_client::request(const http_call& call) {
  const std::unique_ptr<http::exchange> answered = core_->open(call);
  const http::answer_head& head = answered->head();
  http_answer whole{head.status, head.reason, head.headers, {}, answered->url_text()};
  whole.body = answered->read_body();
  return whole;
}

http_answer http_client::request(const http_call& call, std::error_code& ec) {
  return without_throwing(ec, [&] { return request(call); });
}

http_answer http_client::get(std::string_view url, const http_headers& headers) {
  return request({"GET", std::string(url), headers});
}

http_answer http_client::get(std::string_view url, const http_headers& headers,
                             std::error_code& ec) {
  return request({"GET", std::string(url), headers}, ec);
}

http_answer http_client::head(std::string_view url, const http_headers& headers) {
  return request({"HEAD", std::string(url), headers});
}

http_answer http_client::head(std::string_view url, const http_headers& headers,
                              std::error_code& ec) {
  return request({"HEAD", std::string(url), headers}, ec);
}

http_answer http_client::post(std::string_view url, std::string body, const http_headers& headers) {
  return request({"POST", std::string(url), headers, std::move(body)});
}

http_answer http_client::post(std::string_view url, std::string body, const http_headers& headers,
                              std::error_code& ec) {
  return request({"POST", std::string(url), headers, std::move(body)}, ec);
}

http_answer http_client::put(std::string_view url, std::string body, const http_headers& headers) {
  return request({"PUT", std::string(url), headers, std::move(body)});
}

http_answer http_client::put(std::string_view url, std::string body, const http_headers& headers,
                             std::error_code& ec) {
  return request({"PUT", std::string(url), headers, std::move(body)}, ec);
}

http_answer http_client::del(std::string_view url, const http_headers& headers) {
  return request({"DELETE", std::string(url), headers});
}

http_answer http_client::del(std::string_view url, const http_headers& headers,
                             std::error_code& ec) {
  return request({"DELETE", std::string(url), headers}, ec);
}

http_exchange http_client::open(const http_call& call) { return http_exchange(core_->open(call)); }

http_exchange http_client::open(const http_call& call, std::error_code& ec) {
  return without_throwing(ec, [&] { return open(call); });
}

http_upload http_client::upload(const http_call& call) { return http_upload(core_->upload(call)); }

http_upload http_client::upload(const http_call& call, std::error_code& ec) {
  return without_throwing(ec, [&] { return upload(call); });
}

void http_client::close_idle() noexcept { core_->pool().close_idle(); }

std::size_t http_client::idle_connections() const noexcept { return core_->pool().idle_count(); }

std::unique_ptr<stream> http_client::connect_tcp(const net::url& where, time_limit limit,
                                                 std::error_code& ec) {
  if (where.scheme() != "http") {
    ec = errc::scheme_not_supported;
    return nullptr;
  }
  auto opened = std::make_unique<tcp_stream>(
      tcp_stream::connect(where.host(), where.effective_port(), limit, ec));
  if (ec) return nullptr;
  return opened;
}

}  // namespace coir::net
