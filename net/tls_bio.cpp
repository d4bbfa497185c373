// The BIO between OpenSSL and the socket, which only tries.
#include "net/cooperative.hpp"
#include "net/record_buffer.hpp"
#include "net/tls_engine.hpp"

#include <cerrno>
#include <new>
#include <utility>

namespace coir::net::detail {

BIO_METHOD* tls_engine::bio_methods() noexcept {
  static BIO_METHOD* const methods = [] {
    BIO_METHOD* const made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "coir");
    if (!made) return made;
    BIO_meth_set_read_ex(made, receive);
    BIO_meth_set_write_ex(made, send);
    BIO_meth_set_ctrl(made, control);
    return made;
  }();
  return methods;
}

int tls_engine::receive(BIO* bio, char* into, std::size_t size, std::size_t* got) noexcept {
  tls_engine& self = *static_cast<tls_engine*>(BIO_get_data(bio));
  BIO_clear_retry_flags(bio);
  *got = 0;
  const ssize_t result =
      self.may_receive_ ? self.transport_.socket().try_recv(into, size, 0) : -EAGAIN;
  if (result > 0) {
    *got = static_cast<std::size_t>(result);
    return 1;
  }
  // The end that shutdown() made looks to OpenSSL like a pause: it would take it for a truncation,
  // and then refuse to write.
  if (result == 0) (self.is_read_shut_ ? self.has_ended_ : self.has_eof_) = true;
  if (result == -EAGAIN || (result == 0 && self.is_read_shut_)) BIO_set_retry_read(bio);
  if (result < 0 && result != -EAGAIN) self.receive_error_ = code_of(result);
  return 0;
}

int tls_engine::send(BIO* bio, const char* from, std::size_t size, std::size_t* taken) noexcept {
  tls_engine& self = *static_cast<tls_engine*>(BIO_get_data(bio));
  BIO_clear_retry_flags(bio);
  *taken = size;
  if (self.send_error_) return 1;
  if (!self.gathered_) {
    self.pass_on(from, size);
  } else if (!self.gathered_->append(from, size)) {
    self.end_gathering();
    self.pass_on(from, size);
  }
  return 1;
}

/// Sends what has been gathered. A fiber must not park before.
void tls_engine::end_gathering() noexcept {
  record_buffer* const gathered = std::exchange(gathered_, nullptr);
  if (!gathered) return;
  if (gathered->size() > 0 && !send_error_) pass_on(gathered->data(), gathered->size());
  gathered->give_back();
}

/// Sends what the socket takes, unless older bytes wait; keeps the rest.
void tls_engine::pass_on(const char* from, std::size_t size) noexcept {
  std::size_t sent = 0;
  while (backlog_.empty() && sent < size) {
    const ssize_t result = transport_.socket().try_send(from + sent, size - sent, 0);
    if (result == -EAGAIN) break;
    if (result < 0) {
      send_error_ = code_of(result);
      return;
    }
    sent += static_cast<std::size_t>(result);
  }
  try {
    backlog_.insert(backlog_.end(), from + sent, from + size);
  } catch (const std::bad_alloc&) {
    send_error_ = std::make_error_code(std::errc::not_enough_memory);
  }
}

long tls_engine::control(BIO* bio, int command, long, void*) noexcept {
  const tls_engine& self = *static_cast<const tls_engine*>(BIO_get_data(bio));
  switch (command) {
    case BIO_CTRL_FLUSH:
      return 1;
    case BIO_CTRL_EOF:
      return self.has_eof_;
    default:
      return 0;
  }
}

}  // namespace coir::net::detail
