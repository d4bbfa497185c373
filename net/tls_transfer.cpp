// Reading, writing, and the end of both.
#include "net/cooperative.hpp"
#include "net/tls_engine.hpp"
#include "net/tls_steps.hpp"
#include "runtime/io/io.hpp"
#include "runtime/kernel/calls.hpp"

#include <algorithm>
#include <cerrno>
#include <memory>

namespace coir::net::detail {
namespace {

constexpr std::size_t record_bytes = record_buffer::record_bytes;

}  // namespace

std::size_t tls_engine::read(mutable_buffer into, deadline until, std::error_code& ec) {
  use keep(*this);
  turn reading(readers_, until, ec);
  std::size_t count = 0;
  const auto read_record = [&](SSL* ssl) {
    return SSL_read_ex(ssl, into.data(), into.size(), &count);
  };
  if (ec || !step_until_readable(read_record, until, ec)) return 0;
  count += read_more(into.from(count));
  io::stream_socket::count_call();
  return count;
}

bool tls_engine::wait_readable(deadline until, std::error_code& ec) {
  use keep(*this);
  turn reading(readers_, until, ec);
  const auto look = [](SSL* ssl) {
    char byte;
    std::size_t count = 0;
    return SSL_peek_ex(ssl, &byte, 1, &count);
  };
  return !ec && step_until_readable(look, until, ec);
}

/// Repeats a step of the reader until it yields something. False at the end, or with `ec` set.
template <class Call>
bool tls_engine::step_until_readable(Call call, deadline until, std::error_code& ec) {
  for (bool is_last_try = false;;) {
    if (!is_open()) {
      ec = code_of(-EBADF);
      return false;
    }
    if (has_ended_ || !begin(ec)) return false;
    const step made = make(call);
    if (made == step::done) return true;
    if (made == step::failed) ec = failure_;
    if (made == step::failed || has_ended_) return false;  // ended by shutdown(), too
    if (!await_input(until, is_last_try, ec)) return false;
  }
}

/// Reads on as far as OpenSSL has received already. An error meets the next call.
std::size_t tls_engine::read_more(mutable_buffer into) noexcept {
  std::size_t count = 0;
  may_receive_ = false;
  while (count < into.size() && SSL_has_pending(ssl_.get())) {
    const mutable_buffer rest = into.from(count);
    std::size_t more = 0;
    const step made =
        make([&](SSL* ssl) { return SSL_read_ex(ssl, rest.data(), rest.size(), &more); });
    if (made != step::done) break;
    count += more;
  }
  may_receive_ = true;
  return count;
}

std::size_t tls_engine::write(const_buffer from, deadline until, std::error_code& ec) {
  use keep(*this);
  return write_some(from, until, ec);
}

/// Makes and sends as many records as the socket takes at once, at least one.
std::size_t tls_engine::write_some(const_buffer from, deadline until, std::error_code& ec) {
  turn writing(writers_, until, ec);
  if (ec || !begin(ec)) return 0;
  send_backlog(until, ec);
  std::size_t count = 0;
  while (!ec && count < from.size() && backlog_.empty()) {
    const std::size_t more = write_records(from.from(count), until, ec);
    count += more;
    // May yield: nothing is gathered now.
    for (std::size_t i = 0; i < more; i += record_bytes) io::stream_socket::count_call();
  }
  if (!ec) send_backlog(until, ec);
  return count;
}

/// Makes a few records and sends them together, as far as the socket takes them.
std::size_t tls_engine::write_records(const_buffer from, deadline until, std::error_code& ec) {
  if (from.size() <= record_bytes) return write_record(from, until, ec);
  const std::size_t size = std::min(from.size(), record_buffer::records_max * record_bytes);
  const gathering together(*this);
  std::size_t count = 0;
  do {
    const const_buffer rest = from.from(count);
    count += write_record({rest.data(), std::min(rest.size(), size - count)}, until, ec);
  } while (!ec && gathered_ && count < size);
  return count;
}

/// Makes one record of the first bytes of `from`; parks only where OpenSSL wants to read first.
std::size_t tls_engine::write_record(const_buffer from, deadline until, std::error_code& ec) {
  const std::size_t size = std::min(from.size(), record_bytes);
  for (bool is_last_try = false;;) {
    if (!begin(ec)) return 0;
    if (is_write_shut_) {
      ec = code_of(-EPIPE);
      return 0;
    }
    std::size_t count = 0;
    const step made = make([&](SSL* ssl) { return SSL_write_ex(ssl, from.data(), size, &count); });
    if (made == step::done) {
      if (send_error_) {
        ec = send_error_;
        return 0;
      }
      return count;
    }
    if (made != step::wants_input) {
      ec = failure_ ? failure_ : code_of(-EPIPE);
      return 0;
    }
    end_gathering();
    if (!await_input(until, is_last_try, ec)) return 0;
  }
}

/// Small parts are copied together, so that they share a record; large ones are not copied.
std::size_t tls_engine::write_parts(std::span<const const_buffer> parts, deadline until,
                                    std::error_code& ec) {
  use keep(*this);
  std::unique_ptr<char[]> together;
  std::size_t filled = 0;
  std::size_t count = 0;
  const auto write_out = [&](const_buffer bytes) {
    for (std::size_t done = 0; !ec && done < bytes.size();) {
      const std::size_t more = write_some(bytes.from(done), until, ec);
      done += more;
      count += more;
    }
  };
  const auto write_filled = [&] {
    if (filled > 0) write_out({together.get(), filled});
    filled = 0;
  };
  for (const_buffer rest : parts) {
    while (!ec && rest.size() > 0) {
      if (filled == 0 && rest.size() >= record_bytes) {
        write_out({rest.data(), rest.size() / record_bytes * record_bytes});
        rest = rest.from(rest.size() / record_bytes * record_bytes);
        continue;
      }
      if (!together) together = std::make_unique_for_overwrite<char[]>(record_bytes);
      const std::size_t more = std::min(rest.size(), record_bytes - filled);
      std::copy_n(static_cast<const char*>(rest.data()), more, together.get() + filled);
      filled += more;
      rest = rest.from(more);
      if (filled == record_bytes) write_filled();
    }
  }
  if (!ec) write_filled();
  return count;
}

// --- the end -------------------------------------------------------------------------------------

void tls_engine::shutdown(direction which, deadline until, std::error_code& ec) {
  use keep(*this);
  ec.clear();
  if (!is_open()) ec = code_of(-EBADF);
  if (!ec && which != direction::read) end_writing(until, ec);
  if (!ec && which != direction::write) {
    is_read_shut_ = true;
    transport_.shutdown(direction::read, ec);
  }
}

/// Says that nothing more comes (close_notify), behind what was written before.
void tls_engine::end_writing(deadline until, std::error_code& ec) {
  if (!ensure_worker(ec)) return;
  turn writing(writers_, until, ec);
  if (ec || is_write_shut_ || !begin(ec)) return;
  send_backlog(until, ec);
  bool is_last_try = false;
  while (!ec && SSL_in_init(ssl_.get())) {  // a message has come in part
    const step made = make([](SSL* ssl) { return SSL_do_handshake(ssl); });
    if (made == step::failed) ec = failure_;
    if (made == step::wants_input && await_input(until, is_last_try, ec)) begin(ec);
  }
  if (ec) return;
  is_write_shut_ = true;
  // 0: said, and the peer has not said it yet; its answer is for the readers.
  const step made = make([](SSL* ssl) { return SSL_shutdown(ssl) >= 0 ? 1 : -1; });
  if (made == step::failed) ec = failure_;
  if (!ec) send_backlog(until, ec);
}

void tls_engine::close(std::error_code& ec) noexcept {
  ec.clear();
  if (!is_open()) return;
  end_at_once();
  transport_.close(ec);
}

/// Says that nothing more comes, if that can be done without waiting.
void tls_engine::end_at_once() noexcept {
  if (!is_secure_ || is_write_shut_ || failure_ || send_error_) return;
  if (kernel::call(SYS_getpid) != process_ || !io::on_worker()) return;
  if (try_backlog() != 0 || SSL_in_init(ssl_.get())) return;
  is_write_shut_ = true;
  make([](SSL* ssl) { return SSL_shutdown(ssl) >= 0 ? 1 : -1; });
}

}  // namespace coir::net::detail
