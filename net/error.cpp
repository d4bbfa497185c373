#include <coir/net/error.hpp>

#include <netdb.h>

namespace coir::net {
namespace {

class net_errors final : public std::error_category {
  const char* name() const noexcept override { return "coir.net"; }
  std::string message(int code) const override {
    switch (static_cast<errc>(code)) {
      case errc::end_of_stream:
        return "The stream ended too early";
      case errc::malformed_answer:
        return "The server's answer is malformed";
      case errc::answer_too_long:
        return "The server's answer is too long";
      case errc::too_many_redirects:
        return "Too many redirects";
      case errc::scheme_not_supported:
        return "No transport is known for this scheme";
    }
    return "Unknown error";
  }
};

class resolve_errors final : public std::error_category {
  const char* name() const noexcept override { return "coir.resolve"; }
  std::string message(int code) const override { return gai_strerror(code); }
};

static_assert(static_cast<int>(resolve_errc::bad_flags) == EAI_BADFLAGS);
static_assert(static_cast<int>(resolve_errc::host_not_found) == EAI_NONAME);
static_assert(static_cast<int>(resolve_errc::try_again) == EAI_AGAIN);
static_assert(static_cast<int>(resolve_errc::failed) == EAI_FAIL);
static_assert(static_cast<int>(resolve_errc::no_address) == -5);  // EAI_NODATA, a GNU extension
static_assert(static_cast<int>(resolve_errc::service_unknown) == EAI_SERVICE);
static_assert(static_cast<int>(resolve_errc::no_memory) == EAI_MEMORY);

}  // namespace

const std::error_category& net_category() noexcept {
  static const net_errors category;
  return category;
}

const std::error_category& resolve_category() noexcept {
  static const resolve_errors category;
  return category;
}

std::error_code make_error_code(errc e) noexcept { return {static_cast<int>(e), net_category()}; }

std::error_code make_error_code(resolve_errc e) noexcept {
  return {static_cast<int>(e), resolve_category()};
}

bool is_resource_shortage(const std::error_code& ec) noexcept {
  return ec == std::errc::too_many_files_open || ec == std::errc::too_many_files_open_in_system ||
         ec == std::errc::no_buffer_space || ec == std::errc::not_enough_memory;
}

}  // namespace coir::net
