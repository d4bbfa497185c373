#include <coir/file.hpp>

#include "runtime/io/io.hpp"
#include "runtime/io/offload.hpp"
#include "runtime/io/parts.hpp"
#include "runtime/kernel/calls.hpp"
#include "runtime/kernel/thread_host.hpp"
#include "runtime/system/edge.hpp"
#include "runtime/system/open_file.hpp"
#include "runtime/system/pipe_write.hpp"

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>
#include <new>
#include <utility>

#include <sys/stat.h>

namespace coir {
namespace {

using detail::code_of;
using detail::finish;

constexpr std::size_t read_ahead_bytes = 16 * 1024;  // lines are short; a pipe holds 64 KiB
constexpr std::size_t rest_step_bytes = 64 * 1024;

class file_error_category final : public std::error_category {
 public:
  const char* name() const noexcept override { return "coir.file"; }
  std::string message(int code) const override {
    switch (static_cast<file_errc>(code)) {
      case file_errc::end_of_file:
        return "the file ended early";
      case file_errc::line_too_long:
        return "a line is longer than the limit";
      case file_errc::file_too_long:
        return "there is more than the limit allows";
    }
    return "unknown error of a file";
  }
};

/// The flags of open(2); -EINVAL for what makes no sense.
int flags_of(const open_options& how) noexcept {
  const bool writes = how.write || how.append;
  if (!how.read && !writes && !(how.flags & O_PATH)) return -EINVAL;
  if ((how.create || how.create_new || how.truncate) && !writes) return -EINVAL;
  int flags = how.flags & ~O_ACCMODE;
  flags |= how.read && writes ? O_RDWR : writes ? O_WRONLY : O_RDONLY;
  if (how.append) flags |= O_APPEND;
  if (how.create || how.create_new) flags |= O_CREAT;
  if (how.create_new) flags |= O_EXCL;
  if (how.truncate) flags |= O_TRUNC;
  return flags;
}

/// What to try, where the code alone does not say it.
std::string advice_on(const std::error_code& ec, const open_options& how) {
  if (ec.value() == EINVAL && flags_of(how) < 0)
    return " (open_options must have read, write or append; create and truncate need the latter)";
  if (ec.value() == EMFILE) return " (raise ulimit -n, or close files that are not needed)";
  return {};
}

}  // namespace

const std::error_category& file_category() noexcept {
  static const file_error_category only;
  return only;
}

std::error_code make_error_code(file_errc e) noexcept {
  return {static_cast<int>(e), file_category()};
}

file file::open(const std::string& path, const open_options& how) {
  std::error_code ec;
  file made = open(path, how, ec);
  if (ec) detail::throw_error(ec, "open " + path + advice_on(ec, how));
  return made;
}

file file::open(const std::string& path, const open_options& how, std::error_code& ec) {
  ec.clear();
  const int flags = flags_of(how);
  const bool has_nul = path.find('\0') != std::string::npos;
  if (flags < 0 || has_nul) ec = code_of(-EINVAL);
  if (ec || !detail::ensure_worker(ec)) return {};
  std::string name = path;  // there must be memory for it before there is a descriptor
  const detail::opened made = detail::open_file(path.c_str(), flags, how.permissions);
  finish(made.fd, ec);
  if (ec) return {};
  return file(made.fd, std::move(name), kind_of(made.mode));
}

file file::adopt(int fd, std::string name) {
  std::error_code ec;
  file made = adopt(fd, std::move(name), ec);
  if (ec) detail::throw_error(ec, "adopt descriptor " + std::to_string(fd));
  return made;
}

file file::adopt(int fd, std::string name, std::error_code& ec) {
  if (name.empty()) name = "descriptor " + std::to_string(fd);
  struct stat status {};
  finish(kernel::call(SYS_fstat, fd, &status), ec);
  if (!ec) finish(kernel::fcntl(fd, F_SETFD, FD_CLOEXEC), ec);
  return ec ? file() : file(fd, std::move(name), kind_of(status.st_mode));
}

file::file(file&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)),
      kind_(other.kind_),
      ahead_used_(std::exchange(other.ahead_used_, 0)),
      ahead_(std::move(other.ahead_)),
      name_(std::move(other.name_)) {
  other.ahead_.clear();
}

file& file::operator=(file&& other) noexcept {
  if (this == &other) return *this;
  std::error_code dropped;
  close(dropped);
  fd_ = std::exchange(other.fd_, -1);
  kind_ = other.kind_;
  ahead_used_ = std::exchange(other.ahead_used_, 0);
  ahead_ = std::move(other.ahead_);
  other.ahead_.clear();
  name_ = std::move(other.name_);
  return *this;
}

file::~file() {
  std::error_code dropped;
  close(dropped);
}

std::size_t file::read_some(void* data, std::size_t size) {
  std::error_code ec;
  const std::size_t count = read_some(data, size, ec);
  check("read from", ec);
  return count;
}

std::size_t file::read_some(void* data, std::size_t size, std::error_code& ec) {
  if (!begin_call(ec)) return 0;
  if (ahead() > 0) return take_ahead(data, size);
  const iovec part{data, size};
  return read_plain(&part, 1, ec);
}

std::size_t file::read_exactly(void* data, std::size_t size) {
  std::error_code ec;
  const std::size_t count = read_exactly(data, size, ec);
  check("read from", ec);
  return count;
}

std::size_t file::read_exactly(void* data, std::size_t size, std::error_code& ec) {
  ec.clear();
  std::size_t count = 0;
  while (!ec && count < size) {
    const std::size_t more = read_some(static_cast<char*>(data) + count, size - count, ec);
    if (more == 0 && !ec) ec = file_errc::end_of_file;
    count += more;
  }
  return count;
}

std::size_t file::readv(std::span<const iovec> parts) {
  std::error_code ec;
  const std::size_t count = readv(parts, ec);
  check("read from", ec);
  return count;
}

std::size_t file::readv(std::span<const iovec> parts, std::error_code& ec) {
  if (!begin_call(ec)) return 0;
  if (ahead() == 0) return read_plain(parts.data(), parts.size(), ec);
  std::size_t count = 0;
  for (const iovec& part : parts) count += take_ahead(part.iov_base, part.iov_len);
  return count;
}

std::size_t file::pread(void* data, std::size_t size, off_t offset) {
  std::error_code ec;
  const std::size_t count = pread(data, size, offset, ec);
  check("read from", ec);
  return count;
}

std::size_t file::pread(void* data, std::size_t size, off_t offset, std::error_code& ec) {
  if (!begin_call(ec)) return 0;
  return finish(io::pread(fd_, data, size, offset, {}), ec);
}

std::optional<std::string> file::read_line(std::size_t bytes_max) {
  std::error_code ec;
  std::optional<std::string> line = read_line(bytes_max, ec);
  check("read from", ec);
  return line;
}

std::optional<std::string> file::read_line(std::size_t bytes_max, std::error_code& ec) {
  if (!begin_call(ec)) return std::nullopt;
  for (std::size_t looked_at = 0;;) {
    const auto found = ahead_.find('\n', ahead_used_ + looked_at);
    const bool is_whole = found != std::string::npos;
    const std::size_t length = is_whole ? found - ahead_used_ : ahead();
    if (length > bytes_max) {
      ec = file_errc::line_too_long;
      return std::nullopt;
    }
    looked_at = length;
    if (is_whole || read_ahead(ec) == 0) {
      if (ec || (!is_whole && length == 0)) return std::nullopt;
      std::string line = ahead_.substr(ahead_used_, length);
      ahead_used_ += length + (is_whole ? 1 : 0);
      return line;
    }
  }
}

std::string file::read_rest(std::size_t bytes_max) {
  std::error_code ec;
  std::string rest = read_rest(bytes_max, ec);
  check("read from", ec);
  return rest;
}

std::string file::read_rest(std::size_t bytes_max, std::error_code& ec) {
  if (!begin_call(ec)) return {};
  while (ahead() <= bytes_max && read_ahead(ec) > 0) {
  }
  if (!ec && ahead() > bytes_max) ec = file_errc::file_too_long;
  if (ec) return {};
  std::string rest = std::move(ahead_);
  rest.erase(0, ahead_used_);
  ahead_.clear();
  ahead_used_ = 0;
  return rest;
}

std::size_t file::write_all(const void* data, std::size_t size) {
  std::error_code ec;
  const std::size_t count = write_all(data, size, ec);
  check("write to", ec);
  return count;
}

std::size_t file::write_all(const void* data, std::size_t size, std::error_code& ec) {
  const iovec part{const_cast<void*>(data), size};
  return write_parts(&part, 1, ec);
}

std::size_t file::writev(std::span<const iovec> parts) {
  std::error_code ec;
  const std::size_t count = writev(parts, ec);
  check("write to", ec);
  return count;
}

std::size_t file::writev(std::span<const iovec> parts, std::error_code& ec) {
  return write_parts(parts.data(), parts.size(), ec);
}

std::size_t file::pwrite(const void* data, std::size_t size, off_t offset) {
  std::error_code ec;
  const std::size_t count = pwrite(data, size, offset, ec);
  check("write to", ec);
  return count;
}

std::size_t file::pwrite(const void* data, std::size_t size, off_t offset, std::error_code& ec) {
  if (!begin_call(ec)) return 0;
  const auto* const bytes = static_cast<const char*>(data);
  std::size_t count = 0;
  while (!ec && count < size) {
    const auto at = offset + static_cast<off_t>(count);
    count += finish(io::pwrite(fd_, bytes + count, size - count, at, {}), ec);
  }
  return count;
}

void file::fsync() {
  std::error_code ec;
  fsync(ec);
  check("fsync", ec);
}

void file::fsync(std::error_code& ec) {
  if (begin_call(ec)) finish(io::fsync(fd_, {}), ec);
}

void file::fdatasync() {
  std::error_code ec;
  fdatasync(ec);
  check("fdatasync", ec);
}

void file::fdatasync(std::error_code& ec) {
  if (begin_call(ec)) finish(io::fdatasync(fd_, {}), ec);
}

std::uint64_t file::size() const {
  std::error_code ec;
  const std::uint64_t bytes = size(ec);
  check("size of", ec);
  return bytes;
}

std::uint64_t file::size(std::error_code& ec) const {
  struct stat status {};
  finish(kernel::call(SYS_fstat, fd_, &status), ec);
  return ec ? 0 : static_cast<std::uint64_t>(status.st_size);
}

off_t file::seek(off_t offset, seek_from from) {
  std::error_code ec;
  const off_t position = seek(offset, from, ec);
  check("seek in", ec);
  return position;
}

off_t file::seek(off_t offset, seek_from from, std::error_code& ec) {
  constexpr int whence[] = {SEEK_SET, SEEK_CUR, SEEK_END};
  drop_ahead();
  return static_cast<off_t>(
      finish(kernel::call(SYS_lseek, fd_, offset, whence[static_cast<int>(from)]), ec));
}

void file::truncate(off_t size) {
  std::error_code ec;
  truncate(size, ec);
  check("truncate", ec);
}

void file::truncate(off_t size, std::error_code& ec) {
  if (!begin_call(ec)) return;
  drop_ahead();
  finish(io::offload_or_error([&]() -> std::int64_t {
           const kernel::blocking_section others_run;
           return kernel::call(SYS_ftruncate, fd_, size);
         }),
         ec);
}

void file::close() {
  std::error_code ec;
  close(ec);
  check("close", ec);
}

void file::close(std::error_code& ec) noexcept {
  ec.clear();
  if (!is_open() || is_standard_) return;
  drop_ahead();
  const int result = io::close(std::exchange(fd_, -1));
  if (result < 0 && result != -EINTR) ec = code_of(result);  // on Linux EINTR has closed it
}

int file::release() noexcept {
  drop_ahead();
  return is_standard_ ? fd_ : std::exchange(fd_, -1);
}

file::kind file::kind_of(unsigned mode) noexcept {
  if (S_ISREG(mode) || S_ISBLK(mode)) return kind::regular;
  if (S_ISFIFO(mode)) return kind::pipe;
  return S_ISSOCK(mode) ? kind::socket : kind::other;
}

/// Every call that may wait begins so; `ec` is clear when it says true.
bool file::begin_call(std::error_code& ec) const {
  ec.clear();
  if (!is_open()) ec = code_of(-EBADF);
  return !ec && detail::ensure_worker(ec);
}

std::size_t file::read_plain(const iovec* parts, std::size_t count, std::error_code& ec) {
  const int n = static_cast<int>(std::min<std::size_t>(count, IOV_MAX));
  return finish(io::readv(fd_, parts, n, {}), ec);
}

std::size_t file::write_parts(const iovec* parts, std::size_t count, std::error_code& ec) {
  if (!begin_call(ec)) return 0;
  if (kind_ == kind::regular) drop_ahead();
  io::part_cursor left(parts, count);
  std::size_t done = 0;
  while (!ec && !left.is_at_end()) {
    const std::size_t some = std::min<std::size_t>(left.count(), IOV_MAX);
    ssize_t moved = 0;
    if (kind_ == kind::pipe) {
      moved = detail::write_pipe(fd_, left.parts(), some, {});
    } else if (kind_ == kind::socket) {
      msghdr message{};
      message.msg_iov = const_cast<iovec*>(left.parts());
      message.msg_iovlen = some;
      moved = io::sendmsg(fd_, &message, MSG_NOSIGNAL, {});
    } else {
      moved = io::writev(fd_, left.parts(), static_cast<int>(some), {});
    }
    const std::size_t bytes = finish(moved, ec);
    done += bytes;
    if (!ec && !left.advance(bytes)) throw std::bad_alloc();
  }
  return done;
}

std::size_t file::take_ahead(void* data, std::size_t size) noexcept {
  const std::size_t count = std::min(size, ahead());
  if (count > 0) std::memcpy(data, ahead_.data() + ahead_used_, count);
  ahead_used_ += count;
  return count;
}

/// Reads some more behind what was read ahead; how many bytes, 0 at the end.
std::size_t file::read_ahead(std::error_code& ec) {
  ahead_.erase(0, std::exchange(ahead_used_, 0));
  const std::size_t before = ahead_.size();
  const std::size_t step = before < read_ahead_bytes ? read_ahead_bytes : rest_step_bytes;
  if (ahead_.capacity() < before + step) ahead_.reserve(std::max(2 * before, before + step));
  struct cut_at_end {  // an interrupted wait throws
    std::string& text;
    std::size_t size;
    ~cut_at_end() { text.resize(size); }
  } shrink{ahead_, before};
  ahead_.resize(before + step);
  const iovec part{ahead_.data() + before, step};
  const std::size_t count = read_plain(&part, 1, ec);
  shrink.size += count;
  return count;
}

/// What was read ahead of a file that can be sought in goes back; that of others stays.
void file::drop_ahead() noexcept {
  if (ahead() == 0) return;
  if (kernel::call(SYS_lseek, fd_, -static_cast<off_t>(ahead()), SEEK_CUR) < 0) return;
  ahead_.clear();
  ahead_used_ = 0;
}

void file::check(const char* what, const std::error_code& ec) const {
  if (!ec) return;
  // After EBADF the name is not looked at: the fiber that closed the file may have destroyed it.
  const bool is_gone = ec == std::errc::bad_file_descriptor && !is_open();
  detail::throw_error(ec, std::string(what) + ' ' + (is_gone ? "a closed file" : name_));
}

pipe_files pipe() {
  std::error_code ec;
  pipe_files made = pipe(ec);
  if (ec) detail::throw_error(ec, "make a pipe");
  return made;
}

pipe_files pipe(std::error_code& ec) {
  detail::owned_fd reader;
  detail::owned_fd writer;
  finish(detail::make_pipe(reader, writer), ec);
  pipe_files made;
  if (!ec) made.reader = file::adopt(reader.release(), "a pipe", ec);
  if (!ec) made.writer = file::adopt(writer.release(), "a pipe", ec);
  return made;
}

}  // namespace coir
