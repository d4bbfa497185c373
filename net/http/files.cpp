#include "net/http/clock_text.hpp"
#include "net/http/conditions.hpp"
#include "net/http/text.hpp"
#include "net/socket_calls.hpp"
#include "runtime/io/io.hpp"
#include "runtime/kernel/calls.hpp"

#include <coir/net/http_error.hpp>
#include <coir/net/http_files.hpp>
#include <coir/offload.hpp>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <memory>
#include <stdexcept>
#include <utility>

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>

namespace coir::net {
namespace {

constexpr std::size_t piece_bytes = 64 * 1024;

struct media_type {
  std::string_view suffix;
  std::string_view type;
};

constexpr media_type media_types[] = {
    {"avif", "image/avif"},
    {"css", "text/css; charset=utf-8"},
    {"csv", "text/csv; charset=utf-8"},
    {"gif", "image/gif"},
    {"gz", "application/gzip"},
    {"htm", "text/html; charset=utf-8"},
    {"html", "text/html; charset=utf-8"},
    {"ico", "image/vnd.microsoft.icon"},
    {"jpeg", "image/jpeg"},
    {"jpg", "image/jpeg"},
    {"js", "text/javascript; charset=utf-8"},
    {"json", "application/json"},
    {"md", "text/markdown; charset=utf-8"},
    {"mjs", "text/javascript; charset=utf-8"},
    {"mp3", "audio/mpeg"},
    {"mp4", "video/mp4"},
    {"otf", "font/otf"},
    {"pdf", "application/pdf"},
    {"png", "image/png"},
    {"svg", "image/svg+xml"},
    {"tar", "application/x-tar"},
    {"ttf", "font/ttf"},
    {"txt", "text/plain; charset=utf-8"},
    {"wasm", "application/wasm"},
    {"webm", "video/webm"},
    {"webp", "image/webp"},
    {"woff", "font/woff"},
    {"woff2", "font/woff2"},
    {"xhtml", "application/xhtml+xml"},
    {"xml", "application/xml"},
    {"zip", "application/zip"},
};

/// Opens `path` beneath a folder: neither its ".." nor a symbolic link leads out. A FIFO is opened
/// without waiting for its other end.
int open_beneath(int folder, const char* path) noexcept {
  open_how how{};
  how.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
  return static_cast<int>(kernel::call(SYS_openat2, folder, path, &how, sizeof how));
}

struct opened_file {
  detail::descriptor fd;
  struct stat status {};
};

[[noreturn]] void refuse(int error) {
  switch (error) {
    case EACCES:
    case EPERM:
      throw http_error(403);
    case EMFILE:
    case ENFILE:
    case ENOMEM:
      throw http_error(503);
    case EIO:
      throw std::system_error(error, std::system_category(), "open a file to serve");
    default:
      throw http_error(404);  // ENOENT, ENOTDIR, ELOOP, ENAMETOOLONG, EXDEV: it leads out
  }
}

opened_file open_file(int folder, const std::string& path) {
  opened_file file;
  const int error = offload([&] {
    const int fd = open_beneath(folder, path.c_str());
    if (fd < 0) return -fd;
    file.fd = detail::descriptor(fd);
    return static_cast<int>(-kernel::call(SYS_fstat, fd, &file.status));
  });
  if (error != 0) refuse(error);
  return file;
}

bool has_hidden_name(std::string_view path) noexcept {
  return path.starts_with('.') || path.find("/.") != std::string_view::npos;
}

std::string etag_of(const struct stat& status) {
  char text[64];
  const int size = std::snprintf(text, sizeof text, "\"%llx-%llx-%llx\"",
                                 static_cast<unsigned long long>(status.st_mtim.tv_sec),
                                 static_cast<unsigned long long>(status.st_mtim.tv_nsec),
                                 static_cast<unsigned long long>(status.st_size));
  return {text, static_cast<std::size_t>(size)};
}

/// Sends a part of the file as the body, whose length is set. A file that has become shorter
/// meanwhile breaks the answer off.
void send_part(http_response& response, int fd, http::byte_range part) {
  const std::size_t piece = std::min<std::uint64_t>(part.size, piece_bytes);
  const auto buffer = std::make_unique_for_overwrite<char[]>(std::max<std::size_t>(piece, 1));
  while (part.size != 0) {
    const std::size_t wanted = std::min<std::uint64_t>(part.size, piece_bytes);
    const ssize_t count =
        io::pread(fd, buffer.get(), wanted, static_cast<off_t>(part.begin), io::wait_mode{});
    if (count == -ECANCELED) coir::detail::throw_if_interrupted();
    if (count < 0) {
      throw std::system_error(static_cast<int>(-count), std::system_category(),
                              "read a file to serve");
    }
    if (count == 0) throw std::runtime_error("a file became shorter while it was served");
    response.write({buffer.get(), static_cast<std::size_t>(count)});
    part.begin += static_cast<std::uint64_t>(count);
    part.size -= static_cast<std::uint64_t>(count);
  }
}

}  // namespace

std::string_view media_type_of(std::string_view name) noexcept {
  const std::string_view suffix = name.substr(name.rfind('.') + 1);
  for (const media_type& each : media_types) {
    if (http::equal_ignoring_case(each.suffix, suffix)) return each.type;
  }
  return "application/octet-stream";
}

class http_files::folder {
 public:
  explicit folder(const std::string& path)
      : fd_(static_cast<int>(kernel::call(SYS_openat, AT_FDCWD, path.c_str(),
                                          O_PATH | O_DIRECTORY | O_CLOEXEC, 0))) {
    if (fd_.get() < 0) fail(-fd_.get(), "open the folder " + path);
    const detail::descriptor probe(open_beneath(fd_.get(), "."));
    if (probe.get() == -ENOSYS) fail(ENOSYS, "serve files: openat2(2), which Linux 5.6 brought");
  }

  int fd() const noexcept { return fd_.get(); }

 private:
  [[noreturn]] static void fail(int error, const std::string& what) {
    throw std::system_error(error, std::system_category(), what);
  }

  detail::descriptor fd_;
};

http_files::http_files(const std::string& path) : folder_(std::make_shared<folder>(path)) {}

void http_files::operator()(http_request& request, http_response& response) const {
  const std::string_view below = request.path_value("path");
  send(request, response, below.empty() ? request.path() : below);
}

void http_files::send(http_request& request, http_response& response, std::string_view path) const {
  http_headers& headers = response.headers();
  if (request.method() != "GET" && request.method() != "HEAD") {
    headers.set("Allow", "GET, HEAD");
    throw http_error(405);
  }
  while (path.starts_with('/')) path.remove_prefix(1);
  if (has_hidden_name(path) || path.find('\0') != std::string_view::npos) throw http_error(404);
  std::string name = path.empty() ? "." : std::string(path);
  opened_file file = open_file(folder_->fd(), name);
  if (S_ISDIR(file.status.st_mode)) {
    if (!request.path().ends_with('/')) {
      response.set_status(301);
      headers.set("Location", percent_encoded(request.path(), "/") + '/');
      return response.send("");
    }
    name += "/index.html";
    file = open_file(folder_->fd(), name);
  }
  if (!S_ISREG(file.status.st_mode)) throw http_error(404);

  const std::string etag = etag_of(file.status);
  const http::validators now{etag, file.status.st_mtim.tv_sec};
  headers.set("ETag", etag);
  headers.set("Last-Modified", http::date_text(now.modified));
  headers.set("Accept-Ranges", "bytes");
  const int status = http::checked(request.headers(), now);
  if (status == 412) throw http_error(412);
  response.set_status(status);
  if (status == 304) return response.send("");
  headers.set("Content-Type", media_type_of(name));

  const auto size = static_cast<std::uint64_t>(file.status.st_size);
  http::byte_range part{0, size};
  const http::range_choice choice = http::chosen_range(request.headers(), size, now);
  if (choice.what == http::range_choice::outcome::unsatisfiable) {
    headers.set("Content-Range", "bytes */" + std::to_string(size));
    throw http_error(416);
  }
  if (choice.what == http::range_choice::outcome::part) {
    part = choice.part;
    response.set_status(206);
    headers.set("Content-Range", "bytes " + std::to_string(part.begin) + '-' +
                                     std::to_string(part.begin + part.size - 1) + '/' +
                                     std::to_string(size));
  }
  headers.set("Content-Length", std::to_string(part.size));
  if (request.method() != "HEAD") send_part(response, file.fd.get(), part);
}

}  // namespace coir::net
