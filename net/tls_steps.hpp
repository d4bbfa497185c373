/// What the sources of tls_engine share: how a call begins, and how it makes a step.
#pragma once

#include "net/cooperative.hpp"
#include "net/record_buffer.hpp"
#include "net/tls_engine.hpp"

#include <cerrno>
#include <chrono>
#include <mutex>

namespace coir::net::detail {

/// Keeps an engine for the length of a call: another fiber may abandon it meanwhile.
class tls_engine::use {
 public:
  explicit use(tls_engine& engine) noexcept : engine_(engine) { engine_.users_.add(); }
  use(const use&) = delete;
  use& operator=(const use&) = delete;
  ~use() { engine_.release(); }

 private:
  tls_engine& engine_;
};

/// The turn of one reader or writer; others wait for theirs in order.
class tls_engine::turn {
 public:
  turn(coir::mutex& of, deadline until, std::error_code& ec) : turn_(of, std::defer_lock) {
    if (turn_.try_lock()) return;
    if (until == coir::detail::never) {
      turn_.lock();
    } else if (!turn_.try_lock_until(point_of(until))) {
      ec = code_of(-ETIMEDOUT);
    }
  }

 private:
  using clock = std::chrono::steady_clock;
  static clock::time_point point_of(deadline until) {
    return clock::time_point(std::chrono::nanoseconds(until));
  }

  std::unique_lock<coir::mutex> turn_;
};

/// Has what steps put out gathered for as long as it lives, or until end_gathering(), and then
/// sent. Without a place to gather in each record goes out by itself.
class tls_engine::gathering {
 public:
  explicit gathering(tls_engine& engine) noexcept : engine_(engine) {
    engine_.gathered_ = record_buffer::borrow();
  }
  gathering(const gathering&) = delete;
  gathering& operator=(const gathering&) = delete;
  ~gathering() { engine_.end_gathering(); }

 private:
  tls_engine& engine_;
};

/// Makes one step, and looks at its errors before anybody else can make another.
template <class Call>
tls_engine::step tls_engine::make(Call call) noexcept {
  drop_errors();
  const int result = call(ssl_.get());
  switch (SSL_get_error(ssl_.get(), result)) {
    case SSL_ERROR_NONE:
      return step::done;
    case SSL_ERROR_WANT_READ:
      return step::wants_input;
    case SSL_ERROR_WANT_CLIENT_HELLO_CB:
      return step::wants_choice;
    case SSL_ERROR_ZERO_RETURN:
      has_ended_ = true;
      return step::ended;
    default:
      break;
  }
  failure_ = reason_of_failure();
  return step::failed;
}

}  // namespace coir::net::detail
