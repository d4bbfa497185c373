#include "net/http/connection_pool.hpp"

#include "net/deadlines.hpp"

#include <algorithm>
#include <iterator>
#include <utility>

namespace coir::net::http {
namespace {

using coir::detail::deadline;

/// False when the server has closed the connection, or says what nobody has asked. A connection
/// of which that cannot be seen is believed to live. Never waits, but may let other fibers run.
bool seems_alive(const connection& c) {
  if (!c.in.unread().empty()) return false;
  std::error_code ec;
  c.to->reads_expire_after(std::chrono::seconds(0));
  c.to->wait_readable(ec);
  return ec == std::errc::timed_out || ec == std::errc::operation_not_supported;
}

bool acquire(counting_semaphore& units, deadline until) {
  if (until == coir::detail::never) {
    units.acquire();
    return true;
  }
  return units.try_acquire_for(detail::time_left(until));
}

}  // namespace

connection_pool::lease& connection_pool::lease::operator=(lease&& other) noexcept {
  drop();
  pool_ = std::move(other.pool_);
  server_ = std::move(other.server_);
  connection_ = std::move(other.connection_);
  is_reused_ = other.is_reused_;
  return *this;
}

void connection_pool::lease::hold(std::unique_ptr<stream> opened) {
  connection_ = std::make_unique<connection>(std::move(opened));
  is_reused_ = false;
}

void connection_pool::lease::give_back() noexcept {
  if (connection_) pool_->keep(server_, std::move(connection_));
  drop();
}

void connection_pool::lease::drop() noexcept {
  connection_.reset();
  if (!server_) return;
  server_->free.release();
  pool_->forget(std::move(server_));
  pool_.reset();
}

connection_pool::lease connection_pool::take(const std::string& origin, wanted which,
                                             deadline until, std::error_code& ec) {
  ec.clear();
  close_old();
  lease taken;
  std::shared_ptr<server> from = server_of(origin);
  if (!acquire(from->free, until)) {
    ec = std::make_error_code(std::errc::timed_out);
    forget(std::move(from));
    return taken;
  }
  taken.pool_ = shared_from_this();
  taken.server_ = std::move(from);
  if (which == wanted::unused) {
    make_room(*taken.server_);
    return taken;
  }
  while (auto idle = take_idle(*taken.server_)) {
    if (which == wanted::after_loss || !seems_alive(*idle)) continue;
    taken.connection_ = std::move(idle);
    taken.is_reused_ = true;
    break;
  }
  return taken;
}

std::shared_ptr<connection_pool::server> connection_pool::server_of(const std::string& origin) {
  std::weak_ptr<server>& known = servers_[origin];
  std::shared_ptr<server> found = known.lock();
  if (!found) known = found = std::make_shared<server>(origin, limits_.per_server_max);
  return found;
}

/// The idle connection of that server that was used last: it has the best chance to live.
std::unique_ptr<connection> connection_pool::take_idle(const server& of) {
  for (auto each = idle_.rbegin(); each != idle_.rend(); ++each) {
    if (each->of.get() != &of) continue;
    std::unique_ptr<connection> found = std::move(each->kept);
    idle_.erase(std::next(each).base());
    return found;
  }
  return nullptr;
}

/// Closes the oldest idle connections of a server where leased ones have taken their places.
void connection_pool::make_room(server& at) noexcept {
  const auto is_there = [&](const idle_connection& each) { return each.of.get() == &at; };
  std::ptrdiff_t surplus = std::ranges::count_if(idle_, is_there) - at.free.available();
  std::erase_if(idle_,
                [&](const idle_connection& each) { return is_there(each) && surplus-- > 0; });
}

/// Makes a connection idle, in the place of the oldest if there is no room; closes it without
/// memory for that.
void connection_pool::keep(const std::shared_ptr<server>& of,
                           std::unique_ptr<connection> c) noexcept {
  close_old();
  if (limits_.idle_max == 0) return;
  try {
    idle_.push_back({of, std::move(c), coir::detail::deadline_after(limits_.idle_timeout)});
  } catch (const std::bad_alloc&) {
    return;
  }
  if (idle_.size() > limits_.idle_max) close_front();
}

void connection_pool::close_old() noexcept {
  const deadline now = coir::detail::now_ns();
  while (!idle_.empty() && idle_.front().until <= now) close_front();
}

void connection_pool::close_front() noexcept {
  std::shared_ptr<server> of = std::move(idle_.front().of);
  idle_.pop_front();
  forget(std::move(of));
}

void connection_pool::close_idle() noexcept {
  while (!idle_.empty()) close_front();
}

/// Lets go of a server; of its name, too, when nobody else holds it.
void connection_pool::forget(std::shared_ptr<server> s) noexcept {
  if (s.use_count() == 1) servers_.erase(s->origin);
}

}  // namespace coir::net::http
