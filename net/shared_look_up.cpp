// c-ares runs on a fiber, which may be killed or come to its deadline while others still want the
// answer. So a shared look-up belongs to all who wait for it, and the right to ask goes from one to
// the next: whoever gives up resigns, and wakes one of the others, who asks anew.
#include "net/shared_look_up.hpp"

#include "net/ares_look_up.hpp"
#include "net/cooperative.hpp"
#include "net/resolver_settings.hpp"
#include "runtime/io/resolve.hpp"

#include <coir/detail/short_lock.hpp>
#include <coir/detail/wait_queue.hpp>

#include <cerrno>
#include <cstddef>
#include <memory>
#include <mutex>
#include <utility>

#include <pthread.h>

namespace coir::net::detail {
namespace {

using coir::detail::deadline;
using coir::detail::wait_status;

constexpr auto relaxed = std::memory_order_relaxed;

struct shared_question {
  explicit shared_question(const std::string& name) : host(name) {}

  const std::string host;
  // The answer: of who asks until is_done, then everybody's to read
  std::vector<address> found;
  std::error_code error;

  // Guarded by the lock of the list
  shared_question* next = nullptr;
  std::size_t users = 1;
  bool is_asked = false;  ///< by one of the users
  bool is_done = false;   ///< and on the list no longer
  coir::detail::wait_queue waiters;
};

/// What is being asked, by all workers; a few hundred at a time are a short list beside the packets
/// that they cost.
struct shared_questions {
  coir::detail::short_lock lock;
  shared_question* first = nullptr;
};

constinit shared_questions questions;

/// The child of a fork has none of the fibers that ask.
const int registered = ::pthread_atfork(nullptr, nullptr, [] { std::construct_at(&questions); });

/// Under the lock.
void take_off_the_list(shared_question& question) noexcept {
  shared_question** at = &questions.first;
  while (*at != &question) at = &(*at)->next;
  *at = question.next;
}

/// One user's part in a question.
class share {
 public:
  explicit share(const std::string& host) {
    (void)registered;
    auto mine = std::make_unique<shared_question>(host);
    const std::lock_guard guard(questions.lock);
    for (question_ = questions.first; question_; question_ = question_->next) {
      if (question_->host != host) continue;
      ++question_->users;
      io::look_up_count().coalesced.fetch_add(1, relaxed);
      return;
    }
    mine->next = questions.first;
    questions.first = question_ = mine.release();
  }
  share(const share&) = delete;
  share& operator=(const share&) = delete;
  ~share() {
    questions.lock.lock();
    if (is_asking_ && !question_->is_done) {
      question_->is_asked = false;
      question_->waiters.wake_one();
    }
    const bool is_last = --question_->users == 0;
    if (is_last && !question_->is_done) take_off_the_list(*question_);
    questions.lock.unlock();
    if (is_last) delete question_;
  }

  /// Parks until the answer is there, or until it is this fiber's turn to ask; 0 or -errno.
  int await(deadline until) {
    std::unique_lock guard(questions.lock);
    while (!question_->is_done && question_->is_asked) {
      coir::detail::waiter self;
      const wait_status how =
          question_->waiters.wait(*guard.release(), self, until, coir::detail::wait_reason::io,
                                  coir::detail::interruptible::yes);
      guard = std::unique_lock(questions.lock);
      if (how == wait_status::timed_out && !question_->is_done) return -ETIMEDOUT;
      if (how == wait_status::interrupted && !question_->is_done) return -ECANCELED;
    }
    is_asking_ = !question_->is_done;
    if (is_asking_) question_->is_asked = true;
    return 0;
  }
  bool is_asking() const noexcept { return is_asking_; }

  void answer(std::vector<address> found, std::error_code error) noexcept {
    question_->found = std::move(found);
    question_->error = error;
    const std::lock_guard guard(questions.lock);
    question_->is_done = true;
    take_off_the_list(*question_);
    question_->waiters.wake_all();
  }
  /// Once it is answered, which it stays.
  const std::vector<address>& found() const noexcept { return question_->found; }
  std::error_code error() const noexcept { return question_->error; }

 private:
  shared_question* question_;
  bool is_asking_ = false;
};

/// Counts a wait, which a kill may end.
class counted_wait {
 public:
  counted_wait() noexcept { io::look_up_count().waiting.fetch_add(1, relaxed); }
  counted_wait(const counted_wait&) = delete;
  counted_wait& operator=(const counted_wait&) = delete;
  ~counted_wait() {
    io::look_up_count().waiting.fetch_sub(1, relaxed);
    if (!is_over_) io::look_up_count().given_up.fetch_add(1, relaxed);
  }
  void end() noexcept { is_over_ = true; }

 private:
  bool is_over_ = false;
};

}  // namespace

std::vector<address> share_look_up(const std::string& host, deadline until, std::error_code& ec) {
  share mine(host);
  counted_wait wait;
  finish(mine.await(until), ec);
  if (ec) return {};
  if (mine.is_asking()) {
    std::vector<address> found = look_up_by_ares(host, settings_of_resolver().servers, until, ec);
    if (ec == std::errc::timed_out) return {};  // the others may have more time
    mine.answer(std::move(found), ec);
  }
  wait.end();
  ec = mine.error();
  return mine.found();
}

}  // namespace coir::net::detail
