// Files that are read or written as a whole.
#include <coir/file.hpp>

namespace coir {

std::string read_file(const std::string& path, std::size_t bytes_max) {
  return file::open(path).read_rest(bytes_max);
}

std::string read_file(const std::string& path, std::size_t bytes_max, std::error_code& ec) {
  file from = file::open(path, {.read = true}, ec);
  return ec ? std::string() : from.read_rest(bytes_max, ec);
}

namespace {

open_options to_replace(mode_t permissions) noexcept {
  return {.write = true, .create = true, .truncate = true, .permissions = permissions};
}

}  // namespace

void write_file(const std::string& path, std::string_view data, mode_t permissions) {
  file to = file::open(path, to_replace(permissions));
  to.write_all(data);
  to.close();
}

void write_file(const std::string& path, std::string_view data, mode_t permissions,
                std::error_code& ec) {
  file to = file::open(path, to_replace(permissions), ec);
  if (ec) return;
  to.write_all(data, ec);
  if (!ec) to.close(ec);
}

}  // namespace coir
