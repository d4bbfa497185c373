/// What understanding requests and answers has in common: Boost.Beast's parser, fed from an input,
/// and the way of a body from there to the memory that its reader gives.
#pragma once

#include "net/http/input.hpp"

#include <coir/net/buffer.hpp>

#include <boost/asio/buffer.hpp>
#include <boost/beast/http/error.hpp>

// gcc 12 takes the empty optional of an unknown length for a value, under the address sanitizer.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <boost/beast/http/basic_parser.hpp>
#pragma GCC diagnostic pop

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace coir::net::http {

/// The base of message_reader, for requests, and answer_reader.
template <bool IsRequest>
class message_parser : protected boost::beast::http::basic_parser<IsRequest> {
 protected:
  using error_code = boost::system::error_code;
  using string_view = boost::beast::string_view;

  static std::string_view plain(string_view text) noexcept { return {text.data(), text.size()}; }

  message_parser() { this->eager(false); }

  /// Lets Beast understand what `from` has, up to the next part of the message. Returns what is
  /// wrong with it, if anything is.
  error_code understand(input& from) {
    const std::string_view all = from.unread();
    error_code ec;
    if (all.empty()) {
      needs_more_ = true;
      return ec;
    }
    from.consume(this->put(boost::asio::const_buffer(all.data(), all.size()), ec));
    needs_more_ = ec == boost::beast::http::error::need_more;
    return needs_more_ ? error_code() : ec;
  }

  /// Bodies go there from now on.
  void aim_at(mutable_buffer into) noexcept {
    body_ = static_cast<char*>(into.data());
    body_room_ = into.size();
    body_taken_ = 0;
    needs_more_ = false;
  }

  /// The same as understand() with bytes of a body that stand in its own place already.
  error_code understand_in_place(mutable_buffer bytes) {
    aim_at(bytes);
    error_code ec;
    this->put(boost::asio::const_buffer(bytes.data(), bytes.size()), ec);
    return ec;
  }

  /// True when a chunk's line has come that others may take for complete, while Beast waits for its
  /// end.
  bool waits_behind_bare_lf(const input& from) const {
    if (!needs_more_ || !this->chunked()) return false;
    const std::string_view lines = from.unread();
    for (std::size_t at = lines.find('\n'); at != std::string_view::npos;
         at = lines.find('\n', at + 1)) {
      if (at == 0 || lines[at - 1] != '\r') return true;
    }
    return false;
  }

  /// How much of a body whose length is known is still to come; 0 for another one, and while the
  /// head is not complete.
  std::uint64_t length_left() const {
    if (!this->is_header_done()) return 0;
    const auto left = this->content_length_remaining();
    return left ? *left : 0;
  }

  /// True for a field that goes on in another line: others may see two fields there. Beast has put
  /// such a value together elsewhere, or found it behind the end of the name's line.
  static bool is_folded(string_view name, string_view value, std::size_t head_bytes_max) noexcept {
    if (value.empty()) return false;
    const std::ptrdiff_t distance = value.data() - name.data();
    if (distance < 0 || static_cast<std::size_t>(distance) > head_bytes_max) return true;
    return std::string_view(name.data(), static_cast<std::size_t>(distance)).find('\n') !=
           std::string_view::npos;
  }

  bool needs_more_ = false;
  std::size_t body_taken_ = 0;  ///< since aim_at()

 private:
  void on_request_impl(boost::beast::http::verb, string_view, string_view, int,
                       error_code&) override {}
  void on_response_impl(int, string_view, int, error_code&) override {}
  void on_body_init_impl(const boost::optional<std::uint64_t>&, error_code&) override {}
  std::size_t on_body_impl(string_view body, error_code&) override {
    const std::size_t count = std::min(body.size(), body_room_);
    if (body.data() != body_) std::copy_n(body.data(), count, body_);
    body_taken_ += count;
    body_ += count;
    body_room_ -= count;
    return count;
  }
  void on_chunk_header_impl(std::uint64_t, string_view, error_code&) override {}
  std::size_t on_chunk_body_impl(std::uint64_t, string_view body, error_code& ec) override {
    return on_body_impl(body, ec);
  }
  void on_finish_impl(error_code&) override {}

  char* body_ = nullptr;  ///< where the body goes during a read of it
  std::size_t body_room_ = 0;
};

}  // namespace coir::net::http
