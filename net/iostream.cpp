#include <coir/net/iostream.hpp>

#include "net/cooperative.hpp"

#include <coir/no_kill.hpp>

#include <algorithm>
#include <cstring>
#include <exception>
#include <stdexcept>
#include <streambuf>

namespace coir::net {
namespace detail {

/// What an istream or ostream catches from its buffer becomes badbit, and goes no further unless
/// exceptions() has badbit. For errors that is right: they are thrown here. A kill must go on:
/// while one passes, badbit is added to exceptions().
class stream_buffer final : public std::streambuf {
 public:
  stream_buffer(stream& connection, std::ios& owner, std::size_t bytes)
      : connection_(connection),
        owner_(owner),
        bytes_(bytes),
        memory_(std::make_unique_for_overwrite<char[]>(2 * bytes)) {
    setg(memory_.get(), memory_.get(), memory_.get());
    setp(memory_.get() + bytes, memory_.get() + 2 * bytes);
  }

  const std::error_code& error() const noexcept { return error_; }
  stream& connection() const noexcept { return connection_; }

  /// Writes what waits; false with error() set.
  bool flush() {
    const std::size_t waiting = static_cast<std::size_t>(pptr() - pbase());
    if (waiting == 0) return true;
    setp(pbase(), epptr());
    return write({pbase(), waiting});
  }

 private:
  int_type underflow() override {
    return guarded([this] {
      expect(flush());
      std::error_code ec;
      const std::size_t count = connection_.read_some(mutable_buffer(memory_.get(), bytes_), ec);
      if (ec) error_ = ec;
      expect(!ec);
      setg(memory_.get(), memory_.get(), memory_.get() + count);
      return count == 0 ? traits_type::eof() : traits_type::to_int_type(*gptr());
    });
  }

  std::streamsize xsgetn(char* into, std::streamsize wanted) override {
    std::streamsize got = 0;
    while (got < wanted) {
      if (gptr() == egptr() && traits_type::eq_int_type(underflow(), traits_type::eof())) break;
      const std::streamsize count = std::min<std::streamsize>(egptr() - gptr(), wanted - got);
      std::memcpy(into + got, gptr(), static_cast<std::size_t>(count));
      gbump(static_cast<int>(count));
      got += count;
    }
    return got;
  }

  int_type overflow(int_type c) override {
    return guarded([&] {
      expect(flush());
      if (!traits_type::eq_int_type(c, traits_type::eof())) sputc(traits_type::to_char_type(c));
      return traits_type::not_eof(c);
    });
  }

  std::streamsize xsputn(const char* from, std::streamsize size) override {
    if (size <= 0) return 0;
    return guarded([&] {
      const std::size_t count = static_cast<std::size_t>(size);
      if (size <= epptr() - pptr()) {
        std::memcpy(pptr(), from, count);
        pbump(static_cast<int>(size));
        return size;
      }
      const std::size_t waiting = static_cast<std::size_t>(pptr() - pbase());
      setp(pbase(), epptr());
      std::error_code ec;
      connection_.write_parts({const_buffer(pbase(), waiting), const_buffer(from, count)}, ec);
      if (ec) error_ = ec;
      expect(!ec);
      return size;
    });
  }

  /// A flush by an ostream's sentry (unitbuf) is in a destructor: there nothing may be thrown.
  int sync() override {
    if ((owner_.flags() & std::ios::unitbuf) == 0) {
      return guarded([this] {
        expect(flush());
        return 0;
      });
    }
    const this_fiber::no_kill meanwhile;
    try {
      return flush() ? 0 : -1;
    } catch (...) {
      return -1;
    }
  }

  bool write(const_buffer bytes) {
    std::error_code ec;
    connection_.write_all(bytes, ec);
    if (ec) error_ = ec;
    return !ec;
  }

  /// An error becomes badbit: by a throw, for that is the only way that all functions of streams
  /// know.
  void expect(bool is_well) const {
    if (!is_well) throw error_thrown(error_);
  }

  struct error_thrown : std::system_error {
    explicit error_thrown(const std::error_code& ec) : std::system_error(ec, "stream") {}
  };

  template <class Function>
  auto guarded(Function work) -> decltype(work()) {
    if (forced_) {
      forced_ = false;
      owner_.exceptions(owner_.exceptions() & ~std::ios::badbit);
    }
    try {
      return work();
    } catch (const error_thrown&) {
      throw;
    } catch (...) {
      // It is good still, or nobody would have called, so that this throws nothing.
      if ((owner_.exceptions() & std::ios::badbit) == 0 && owner_.good()) {
        owner_.exceptions(owner_.exceptions() | std::ios::badbit);
        forced_ = true;
      }
      throw;
    }
  }

  stream& connection_;
  std::ios& owner_;
  const std::size_t bytes_;
  const std::unique_ptr<char[]> memory_;  ///< first what was read, then what is to be written
  std::error_code error_;
  bool forced_ = false;  ///< exceptions() has badbit because of a kill only
};

}  // namespace detail

iostream::iostream(stream& connection, std::size_t buffer_bytes)
    : std::iostream(nullptr), uncaught_(std::uncaught_exceptions()) {
  if (buffer_bytes == 0 || buffer_bytes > (std::size_t{1} << 30)) {
    throw std::invalid_argument("the buffer of an iostream has from 1 byte to 1 GiB");
  }
  buffer_ = std::make_unique<detail::stream_buffer>(connection, *this, buffer_bytes);
  rdbuf(buffer_.get());
}

iostream::iostream(std::unique_ptr<stream> connection, std::size_t buffer_bytes)
    : iostream(*connection, buffer_bytes) {
  owned_ = std::move(connection);
}

iostream::~iostream() {
  if (bad() || std::uncaught_exceptions() > uncaught_) return;
  const this_fiber::no_kill meanwhile;
  try {
    buffer_->flush();
  } catch (...) {  // a time-out of a scope: the caller asked for no more time than that
  }
}

std::error_code iostream::error() const noexcept { return buffer_->error(); }

stream& iostream::connection() const noexcept { return buffer_->connection(); }

}  // namespace coir::net
