/// Files, pipes and the standard streams for fibers: gevent's fileobject.
///
/// A call parks its fiber where a plain one would block the thread: on a disk, a pipe, a terminal,
/// and already in open, which waits for a network file system, or for the other end of a FIFO.
/// Nothing is buffered on the way out; what read_line has read ahead is used by later reads.
///
/// Most calls come twice, as in std::filesystem: one throws std::system_error, whose what() names
/// the file ("read from /etc/motd: Input/output error"), its twin sets or clears an error code and
/// throws only std::bad_alloc and what interrupts a wait: fiber_exit when the fiber is killed, and
/// the time-out of a timeout_scope, which is how a call is limited. The end of a file is a value: 0
/// bytes.
#pragma once

#include <coir/exceptions.hpp>
#include <coir/export.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>

#include <sys/types.h>
#include <sys/uio.h>

namespace coir {

/// Errors of files that no system call knows.
enum class file_errc {
  end_of_file = 1,    ///< read_exactly met the end before it had all its bytes
  line_too_long = 2,  ///< read_line has met no end of the line within its limit
  file_too_long = 3,  ///< read_rest or read_file would exceed its limit
};

/// The category of file_errc. Any thread; never parks.
COIR_API const std::error_category& file_category() noexcept;
/// Makes a code of file_errc; found by std::error_code's constructor. Any thread; never parks.
COIR_API std::error_code make_error_code(file_errc e) noexcept;

/// What open is to do; read, write or append must be among it.
struct open_options {
  /// Reads are allowed
  bool read = false;
  /// Writes are allowed, at the position
  bool write = false;
  /// Every write goes to the end of the file, as it is then
  bool append = false;
  /// Make the file where there is none
  bool create = false;
  /// Make the file, and fail with std::errc::file_exists where there is one
  bool create_new = false;
  /// Throw away what the file holds
  bool truncate = false;
  /// Of a file that is made, less the process's umask
  mode_t permissions = 0666;
  /// Further flags of open(2): O_DIRECT, O_SYNC, O_NOFOLLOW, O_TMPFILE, …
  int flags = 0;
};

/// What seek counts from.
enum class seek_from {
  begin,    ///< the first byte of the file
  current,  ///< where the next read or write would be
  end,      ///< behind the last byte of the file
};

/// An open file, pipe, terminal or whatever else has a descriptor; a socket, too. Owns the
/// descriptor, which is closed on exec. Movable; an object that was moved from, or made without
/// arguments, is closed, and its calls fail with std::errc::bad_file_descriptor.
///
/// One fiber may read while another writes; several that read, or write, have to take turns. pread
/// and pwrite may be called by any number at a time. Fibers of any worker may call. close() may
/// come while others wait in reads and writes of pipes and the like, which then fail with
/// std::errc::bad_file_descriptor; moving, assigning and destroying may not. No call raises
/// SIGPIPE: writing to a pipe that nobody reads fails with std::errc::broken_pipe.
class COIR_API file {
 public:
  file() noexcept = default;
  /// Opens the file called `path`. Waits for the other end of a FIFO, as open(2) does; parks
  /// meanwhile, can be killed there, and notices the other end within about 20 ms. On a slow disk a
  /// kill is kept until the kernel has answered.
  static file open(const std::string& path, const open_options& how = {.read = true});
  static file open(const std::string& path, const open_options& how, std::error_code& ec);
  /// Takes over an open descriptor, whatever mode it is in; `name` stands for it in messages. Fails
  /// with std::errc::bad_file_descriptor when it is none; it is the caller's then. Never parks.
  static file adopt(int fd, std::string name = {});
  static file adopt(int fd, std::string name, std::error_code& ec);
  file(file&& other) noexcept;
  file& operator=(file&& other) noexcept;
  ~file();

  /// Reads at least one byte and at most `size`; parks until there is something. Returns how many
  /// bytes it was: 0 at the end, or when `size` is 0.
  std::size_t read_some(void* data, std::size_t size);
  std::size_t read_some(void* data, std::size_t size, std::error_code& ec);
  std::size_t read_some(std::span<char> into) { return read_some(into.data(), into.size()); }
  std::size_t read_some(std::span<char> into, std::error_code& ec) {
    return read_some(into.data(), into.size(), ec);
  }
  /// Reads `size` bytes, and returns that. The end before is file_errc::end_of_file; the twin
  /// returns how many bytes were read before an error. What was read is lost to a killed fiber.
  std::size_t read_exactly(void* data, std::size_t size);
  std::size_t read_exactly(void* data, std::size_t size, std::error_code& ec);
  std::size_t read_exactly(std::span<char> into) { return read_exactly(into.data(), into.size()); }
  std::size_t read_exactly(std::span<char> into, std::error_code& ec) {
    return read_exactly(into.data(), into.size(), ec);
  }
  /// read_some into several buffers, one behind the other.
  std::size_t readv(std::span<const iovec> parts);
  std::size_t readv(std::span<const iovec> parts, std::error_code& ec);
  /// Reads at `offset`, whatever the position is, at most `size` bytes; 0 at the end. Parks. Only
  /// for what can be sought in.
  std::size_t pread(void* data, std::size_t size, off_t offset);
  std::size_t pread(void* data, std::size_t size, off_t offset, std::error_code& ec);
  /// Reads up to the end of the line and returns it without its newline; nothing at the end of the
  /// file. The last line need not have a newline. A line of more than `bytes_max` bytes is
  /// file_errc::line_too_long; what was read of it stays, for read_some. Reads ahead: what another
  /// process reads from the same pipe or terminal is what was not read by then.
  std::optional<std::string> read_line(std::size_t bytes_max = 1 << 20);
  std::optional<std::string> read_line(std::size_t bytes_max, std::error_code& ec);
  /// Reads up to the end. More than `bytes_max` is file_errc::file_too_long; what was read stays,
  /// for read_some, as it does when the wait is interrupted.
  std::string read_rest(std::size_t bytes_max = SIZE_MAX);
  std::string read_rest(std::size_t bytes_max, std::error_code& ec);

  /// Writes all of the bytes; parks as often as it must. Returns how many it was, the twin, after
  /// an error, how many were written before it. A killed fiber may have written a part.
  std::size_t write_all(const void* data, std::size_t size);
  std::size_t write_all(const void* data, std::size_t size, std::error_code& ec);
  std::size_t write_all(std::string_view data) { return write_all(data.data(), data.size()); }
  std::size_t write_all(std::string_view data, std::error_code& ec) {
    return write_all(data.data(), data.size(), ec);
  }
  /// write_all of several buffers, one behind the other.
  std::size_t writev(std::span<const iovec> parts);
  std::size_t writev(std::span<const iovec> parts, std::error_code& ec);
  /// Writes all of the bytes at `offset`, whatever the position is; parks. Only for what can be
  /// sought in.
  std::size_t pwrite(const void* data, std::size_t size, off_t offset);
  std::size_t pwrite(const void* data, std::size_t size, off_t offset, std::error_code& ec);

  /// Parks until all that was written is on the disk.
  void fsync();
  void fsync(std::error_code& ec);
  /// As fsync, but without what is not needed to read it again, such as the time of the last
  /// change.
  void fdatasync();
  void fdatasync(std::error_code& ec);
  /// How many bytes a regular file has. Never parks.
  std::uint64_t size() const;
  std::uint64_t size(std::error_code& ec) const;
  /// Moves the position of reads and writes, and returns the new one, counted from the beginning.
  /// Never parks.
  off_t seek(off_t offset, seek_from from = seek_from::begin);
  off_t seek(off_t offset, seek_from from, std::error_code& ec);
  /// Makes the file `size` bytes long; what is new is zero. Parks.
  void truncate(off_t size);
  void truncate(off_t size, std::error_code& ec);

  /// Closes the descriptor; never parks, but a network file system may keep the thread for a while:
  /// fsync() first. Closing a closed file does nothing. The destructor does the same and drops the
  /// error.
  void close();
  void close(std::error_code& ec) noexcept;
  /// False for a closed file. Never parks.
  bool is_open() const noexcept { return fd_ >= 0; }
  /// The descriptor; -1 when closed. The file still owns it. Never parks.
  int native_handle() const noexcept { return fd_; }
  /// Gives the descriptor up: the file is closed, and the caller owns what is returned (-1 when
  /// there was none). Bytes that were read ahead from a pipe or terminal are lost. Never parks.
  int release() noexcept;
  /// What messages call the file: the path it was opened by, or the name it was given. Never parks.
  const std::string& name() const noexcept { return name_; }

 private:
  friend file& standard_input();
  friend file& standard_output();
  friend file& standard_error();
  friend class process;
  enum class kind : unsigned char { regular, pipe, socket, other };
  file(int fd, std::string name, kind what) noexcept
      : fd_(fd), kind_(what), name_(std::move(name)) {}

  static file& standard(int fd, const char* name);
  static kind kind_of(unsigned mode) noexcept;
  bool begin_call(std::error_code& ec) const;
  std::size_t read_plain(const iovec* parts, std::size_t count, std::error_code& ec);
  std::size_t write_parts(const iovec* parts, std::size_t count, std::error_code& ec);
  std::size_t take_ahead(void* data, std::size_t size) noexcept;
  std::size_t read_ahead(std::error_code& ec);
  void drop_ahead() noexcept;
  std::size_t ahead() const noexcept { return ahead_.size() - ahead_used_; }
  void check(const char* what, const std::error_code& ec) const;

  int fd_ = -1;
  kind kind_ = kind::other;
  bool is_standard_ = false;    ///< never closed
  std::size_t ahead_used_ = 0;  ///< how much of ahead_ was handed out
  std::string ahead_;           ///< what read_line has read too much
  std::string name_;
};

/// The two ends of a pipe.
struct pipe_files {
  /// Reads are from here
  file reader;
  /// Writes go here; once it is closed, in all processes, reads find the end
  file writer;
};

/// Makes a pipe. Both ends are closed on exec and in blocking mode, so that any program can use
/// them; give one to a child by process_options. Fails with std::errc::too_many_files_open when no
/// descriptors are left. Never parks.
COIR_API pipe_files pipe();
COIR_API pipe_files pipe(std::error_code& ec);

/// Descriptor 0 as a file. The same object for the whole process, which never closes it and never
/// touches its mode: the description behind it is shared with the shell and with other programs.
/// Never parks.
COIR_API file& standard_input();
/// Descriptor 1; as standard_input. Knows nothing of what std::cout and stdio keep in buffers.
COIR_API file& standard_output();
/// Descriptor 2; as standard_output.
COIR_API file& standard_error();

/// Everything that the file called `path` holds; parks. More than `bytes_max` bytes are
/// file_errc::file_too_long.
COIR_API std::string read_file(const std::string& path, std::size_t bytes_max = SIZE_MAX);
COIR_API std::string read_file(const std::string& path, std::size_t bytes_max, std::error_code& ec);

/// Makes `data` all that the file called `path` holds; makes the file where there is none, with
/// `permissions` less the umask. Parks. After an error the file may hold a part.
COIR_API void write_file(const std::string& path, std::string_view data, mode_t permissions = 0666);
COIR_API void write_file(const std::string& path, std::string_view data, mode_t permissions,
                         std::error_code& ec);

}  // namespace coir

template <>
struct std::is_error_code_enum<coir::file_errc> : std::true_type {};
