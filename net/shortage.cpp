#include "net/shortage.hpp"

#include "net/tell.hpp"

#include <coir/detail/clock.hpp>

#include <algorithm>

#include <sys/resource.h>

namespace coir::net::detail {
namespace {

// Another process may free what we are short of, and that wakes nobody here.
constexpr std::chrono::nanoseconds longest_pause = std::chrono::seconds(1);

// A server at the edge of its limit fails again each time it has accepted one: the same episode.
constexpr std::int64_t episode_gap_ns = 10'000'000'000;

}  // namespace

void room::wait_for(std::chrono::nanoseconds pause) {
  struct leave {
    std::atomic<int>& count;
    ~leave() { count.fetch_sub(1, std::memory_order_relaxed); }
  };
  waiting_.fetch_add(1, std::memory_order_relaxed);
  const leave at_end{waiting_};
  freed_.clear();
  freed_.wait_for(pause);
}

bool room::is_new_episode() noexcept {
  const std::int64_t now = coir::detail::now_ns();
  const std::int64_t last = last_ns_.exchange(now);
  return last == 0 || now - last > episode_gap_ns;
}

void room::note_shortage() noexcept { last_ns_ = coir::detail::now_ns(); }

void shortage::wait(const std::string& reason, std::size_t active) {
  if (room_.is_new_episode()) tell_once(reason, active);
  room_.wait_for(pause_);
  room_.note_shortage();
  pause_ = std::min(2 * pause_, longest_pause);
}

void shortage::tell_once(const std::string& reason, std::size_t active) {
  tell("the server on " + where_.to_string() + " cannot " + what_ + " now: " + reason + "; " +
       std::to_string(active) +
       " are being served, and it tries again when one has ended, and from time to time");
}

std::string describe_shortage(const std::error_code& ec) {
  std::string text = ec.message();
  if (ec == std::errc::too_many_files_open) {
    rlimit limit{};
    const bool is_known = ::getrlimit(RLIMIT_NOFILE, &limit) == 0;
    text += " (the process may have ";
    text += is_known ? std::to_string(limit.rlim_cur) : "no more";
    text += ": raise it with ulimit -n, or lower max_connections)";
  } else if (ec == std::errc::too_many_files_open_in_system) {
    text += " (of the whole machine: see the setting fs.file-max)";
  }
  return text;
}

}  // namespace coir::net::detail
