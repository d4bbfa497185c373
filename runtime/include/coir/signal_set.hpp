/// Waiting for signals: gevent.signal_handler, Go's signal.Notify.
///
///     coir::signal_set stop({SIGINT, SIGTERM});
///     coir::spawn([&] { std::printf("%s\n", stop.wait().text().c_str()); server.stop(); });
///
/// While a set lives its signals come to it and do nothing else. It catches them by a handler that
/// only notes what has come; what is done about them is done by a fiber, which may do anything.
#pragma once

#include <coir/detail/clock.hpp>
#include <coir/detail/select_case.hpp>
#include <coir/exceptions.hpp>
#include <coir/export.hpp>

#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <system_error>
#include <utility>

#include <signal.h>
#include <sys/types.h>

namespace coir {
namespace detail {
class signal_case_base;
}

/// One signal that has come.
struct signal_info {
  int number = 0;  ///< SIGINT, …
  int code = 0;    ///< SI_USER: kill(); SI_QUEUE: sigqueue(); CLD_EXITED, …
  pid_t pid = 0;   ///< of the process that sent it, or of the child; 0: the kernel
  uid_t uid = 0;   ///< the real user of that process
  int value = 0;   ///< what sigqueue() was given; the status of a child
  /// Says "SIGINT from process 123". Throws std::bad_alloc; never parks.
  COIR_API std::string text() const;
};

/// Catches some signals from its construction to its end. Handlers that the program has for them
/// rest meanwhile and are put back; those of other signals are not touched. A handler that the
/// program installs later takes its signal away from the set, and stays.
///
/// **Several sets** may catch the same signal: each gets it. Of several fibers that wait in one set
/// one gets it. Any fiber of any worker may wait, and plain threads, which become workers. An
/// ordinary signal that comes often at a time may count once, as POSIX says; a set keeps 200 at
/// least, as a rule 3,000, and counts those it had to drop.
///
/// In a coir::select a set stands by on_signal.
///
/// **Masks.** No mask is changed but that of the thread that makes the set: there its signals are
/// let in, from then on. The kernel gives a signal to any thread that lets it in, a worker or not;
/// if all others block it that one will do, whatever it waits in. System calls go on by themselves
/// (SA_RESTART) in all threads.
///
/// **Children.** A child of coir::process starts with no signal blocked and none caught. The child
/// of a fork is as if no set had been made: former handlers are back, and a wait in a set of the
/// parent's fails with std::errc::operation_not_permitted; it may make sets of its own.
///
/// SIGKILL and SIGSTOP cannot be caught; SIGSEGV, SIGBUS, SIGFPE, SIGILL and SIGTRAP are refused,
/// too: they tell of an error of the very thread. 64 sets may live at a time.
class COIR_API signal_set {
 public:
  /// Begins to catch `signals`. Throws std::invalid_argument for a number that cannot be caught,
  /// std::system_error when no descriptors are left (two are needed) or too many sets live. Never
  /// parks.
  explicit signal_set(std::initializer_list<int> signals)
      : signal_set(std::span(signals.begin(), signals.size())) {}
  explicit signal_set(std::span<const int> signals);
  signal_set(const signal_set&) = delete;
  signal_set& operator=(const signal_set&) = delete;
  /// Puts the former handlers back where no other set wants the signal. What was not waited for is
  /// dropped. No fiber may wait in it. Never parks.
  ~signal_set();

  /// Parks until a signal comes, or takes one that has come. Throws what interrupts the wait, and
  /// std::system_error in the child of a fork.
  signal_info wait();
  /// As wait, but for no longer than `timeout`; nothing when none has come by then.
  template <class Rep, class Period>
  std::optional<signal_info> wait_for(std::chrono::duration<Rep, Period> timeout) {
    return wait_until_deadline(detail::deadline_after(timeout));
  }
  /// As wait, but until `when` at the latest.
  template <class Duration>
  std::optional<signal_info> wait_until(
      std::chrono::time_point<std::chrono::steady_clock, Duration> when) {
    return wait_until_deadline(detail::deadline_at(when));
  }
  /// Takes a signal that has come; nothing when there is none. Never parks.
  std::optional<signal_info> try_wait() { return wait_until_deadline(0); }

  /// True when the set catches `number`. Never parks.
  bool contains(int number) const noexcept;
  /// How many signals came when there was no room for more. Never parks.
  std::uint64_t dropped() const noexcept;
  /// A descriptor that is readable while signals have come, for poll and the like; the set owns it,
  /// and only the set may read it. Never parks.
  int native_handle() const noexcept;

 private:
  friend class detail::signal_case_base;
  void expect_owner() const;
  std::optional<signal_info> take();
  std::optional<signal_info> wait_until_deadline(detail::deadline until);

  int place_ = -1;             ///< among the sets of the process
  int reader_ = -1;            ///< the end of the set's pipe from which waits read
  int writer_ = -1;            ///< the end that the handler writes to
  pid_t owner_;                ///< the process that made it
  std::uint64_t signals_ = 0;  ///< bit n-1: signal n
};

namespace detail {

/// Waits for a signal of a set.
class COIR_API signal_case_base : public descriptor_case {
 protected:
  explicit signal_case_base(signal_set& from) noexcept;
  /// What was taken; for run().
  const signal_info& info() const noexcept { return info_; }

 private:
  int hold() final;
  bool take() final;

  signal_set* from_;
  signal_info info_;
};

/// The same, with what is to be done then.
template <class Function>
class signal_case final : public signal_case_base {
 public:
  signal_case(signal_set& from, Function f) : signal_case_base(from), function_(std::move(f)) {}
  void run() override { function_(info()); }

 private:
  Function function_;
};

}  // namespace detail

/// A case of coir::select: takes a signal of the set; `f` gets the signal_info. While another case
/// happens the signal stays for the next who waits. The set must outlive the case. Select throws
/// what signal_set::wait throws in the child of a fork.
template <std::invocable<signal_info> Function = detail::do_nothing>
auto on_signal(signal_set& from, Function f = {}) {
  return detail::signal_case<Function>(from, std::move(f));
}

}  // namespace coir
