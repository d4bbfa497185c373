/// How a server goes on when it can accept or receive nothing more for now.
#pragma once

#include <coir/event.hpp>
#include <coir/net/address.hpp>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <string>
#include <system_error>

namespace coir::net::detail {

/// Tells those who lack descriptors or memory that something has ended, which may have freed some.
/// Any thread.
class room {
 public:
  /// Something has ended. Costs next to nothing while nobody waits; never parks.
  void freed() noexcept {
    if (waiting_.load(std::memory_order_relaxed) > 0) freed_.set();
  }
  /// Parks until freed(), but for no longer than `pause`. Throws fiber_exit.
  void wait_for(std::chrono::nanoseconds pause);
  /// True for the first shortage after a while without any, which is worth a line on stderr.
  bool is_new_episode() noexcept;
  /// There is a shortage still.
  void note_shortage() noexcept;

 private:
  std::atomic<int> waiting_{0};
  event freed_;
  std::atomic<std::int64_t> last_ns_{0};  ///< when there was a shortage last
};

/// The pauses of one fiber that accepts or receives: they grow while it goes on failing, and one
/// line on stderr says so for the server, not one each time.
class shortage {
 public:
  /// Lines say "server on `where`"; `what` cannot be done: "accept connections".
  shortage(room& to_come, const address& where, const char* what)
      : room_(to_come), where_(where), what_(what) {}

  /// It works again.
  void over() noexcept { pause_ = first_pause; }
  /// It has failed for `reason`, with so many handlers at work. Parks. Throws fiber_exit.
  void wait(const std::string& reason, std::size_t active);

 private:
  static constexpr std::chrono::nanoseconds first_pause = std::chrono::milliseconds(10);

  void tell_once(const std::string& reason, std::size_t active);

  room& room_;
  const address& where_;
  const char* const what_;
  std::chrono::nanoseconds pause_ = first_pause;
};

/// What to tell of a failed call, with what to do about it where that is known.
std::string describe_shortage(const std::error_code& ec);

}  // namespace coir::net::detail
