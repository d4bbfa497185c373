// One fiber makes all attempts: it begins connects that do not wait, and parks for whichever socket
// says something first. A fiber for each attempt would cost a stack and a kill, and would tell
// nothing that poll does not.
#include "net/happy_eyeballs.hpp"

#include "net/cooperative.hpp"
#include "runtime/io/io.hpp"
#include "runtime/kernel/calls.hpp"

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <vector>

namespace coir::net::detail {
namespace {

using coir::detail::deadline;

// What RFC 8305 recommends: longer than the way to most peers and back, and than a packet sent
// again on a short way, but hardly noticed by a person.
constexpr deadline attempt_delay_ns = 250'000'000;

/// Of the addresses left the first one whose family is not that of the one before, if there is one.
std::vector<address> taking_turns(std::span<const address> peers) {
  std::vector<address> left(peers.begin(), peers.end());
  for (std::size_t i = 1; i < left.size(); ++i) {
    const auto other =
        std::find_if(left.begin() + static_cast<std::ptrdiff_t>(i), left.end(),
                     [&](const address& a) { return a.family() != left[i - 1].family(); });
    if (other != left.end())
      std::rotate(left.begin() + static_cast<std::ptrdiff_t>(i), other, other + 1);
  }
  return left;
}

/// Errors that say that this machine has no way to the address at all.
bool has_no_way(int error) noexcept {
  return error == -ENETUNREACH || error == -EADDRNOTAVAIL || error == -EAFNOSUPPORT;
}

/// The attempts under way. Closes their sockets.
class race {
 public:
  race() = default;
  race(const race&) = delete;
  race& operator=(const race&) = delete;
  ~race() {
    for (const pollfd& each : sockets_) io::close(each.fd);
  }

  bool is_empty() const noexcept { return sockets_.empty(); }
  /// The one that is connected; none while there is none.
  descriptor winner() noexcept { return std::move(winner_); }
  bool has_winner() const noexcept { return winner_.get() >= 0; }
  int error() const noexcept { return error_; }

  void begin(const address& peer) {
    sockets_.reserve(sockets_.size() + 1);
    std::error_code ec;
    descriptor made = make_socket(peer.family(), SOCK_STREAM, ec);
    const int result = ec ? -ec.value() : kernel::connect(made.get(), peer.data(), peer.size());
    if (result == 0) {
      winner_ = std::move(made);
    } else if (result == -EINPROGRESS || result == -EINTR) {
      sockets_.push_back({made.release(), POLLOUT, 0});
    } else {
      note(result);
    }
  }

  /// Parks until one of the attempts has ended, or until the deadline; 0 or -errno.
  int await(deadline until) noexcept {
    const int ready = io::poll(sockets_.data(), sockets_.size(), until);
    for (std::size_t i = sockets_.size(); ready > 0 && i-- > 0;) {
      if (sockets_[i].revents) end(i);
    }
    return std::min(ready, 0);
  }

 private:
  /// The attempt is over, one way or the other.
  void end(std::size_t index) noexcept {
    const int fd = sockets_[index].fd;
    int error = 0;
    socklen_t size = sizeof error;
    const int result = kernel::getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
    const bool is_connected = result == 0 && error == 0;
    if (!is_connected) note(result < 0 ? result : -error);
    if (is_connected && has_winner()) return;  // closed with the others
    sockets_.erase(sockets_.begin() + static_cast<std::ptrdiff_t>(index));
    if (is_connected) {
      winner_ = descriptor(fd);
    } else {
      io::close(fd);
    }
  }
  void note(int error) noexcept {
    if (error_ == 0 || !has_no_way(error) || has_no_way(error_)) error_ = error;
  }

  std::vector<pollfd> sockets_;
  descriptor winner_;
  int error_ = 0;  ///< what will be told if all fail
};

}  // namespace

descriptor connect_to_first(std::span<const address> peers, deadline until, std::error_code& ec) {
  const std::vector<address> order = taking_turns(peers);
  race attempts;
  for (auto next = order.begin(); !attempts.has_winner();) {
    if (next == order.end() && attempts.is_empty()) break;
    if (next != order.end()) attempts.begin(*next++);
    if (attempts.is_empty() || attempts.has_winner()) continue;
    const deadline soon = next == order.end() ? until : coir::detail::now_ns() + attempt_delay_ns;
    const int result = attempts.await(std::min(soon, until));
    if (result < 0) {
      finish(result, ec);
      return {};
    }
    if (!attempts.has_winner() && until != coir::detail::never && coir::detail::now_ns() >= until) {
      ec = std::make_error_code(std::errc::timed_out);
      return {};
    }
  }
  finish(attempts.has_winner() ? 0 : attempts.error(), ec);
  return attempts.winner();
}

}  // namespace coir::net::detail
