#include <coir/thread_pool.hpp>

#include "runtime/io/offload_threads.hpp"
#include "runtime/task/task.hpp"

#include <stdexcept>
#include <system_error>

namespace coir {
namespace detail {
namespace {

void run_job(offload_job& job) noexcept {
  auto& own = static_cast<thread_job&>(job);
  own.outcome = perform_task(*own.work);
}

void end_job(offload_job& job) noexcept {
  const auto& own = static_cast<thread_job&>(job);
  finish_task(*own.work, own.outcome);
}

void forget_members(void* members) noexcept { static_cast<roster*>(members)->forget_all(); }

void throw_if_failed(int error) {
  if (error == 0) return;
  throw std::system_error(-error, std::generic_category(),
                          "coir: cannot start a thread for a thread_pool; raise ulimit -u");
}

}  // namespace

bool take_back_job(thread_job& job) noexcept { return job.threads->take_back(job); }

}  // namespace detail

thread_pool::thread_pool(std::size_t maxsize)
    : basic_group(maxsize),
      threads_(new io::offload_threads(maxsize, "coir-pool", detail::forget_members, &roster_)) {}

thread_pool::~thread_pool() {
  roster_.wait_empty();
  threads_->end_threads(detail::never, detail::interruptible::no);
}

void thread_pool::set_maxsize(std::size_t maxsize) {
  roster_.set_places(maxsize);
  detail::throw_if_failed(threads_->set_threads_max(maxsize));
}

std::size_t thread_pool::size() noexcept { return threads_->threads(); }

void thread_pool::kill(bool wait) {
  if (!wait) return roster_.kill_members(nullptr);
  kill_until(detail::never);
}

bool thread_pool::kill_until(detail::deadline until) {
  if (is_own_caller())
    throw std::logic_error("coir::thread_pool: one of its threads cannot wait for its own end");
  if (!roster_.kill(nullptr, until)) return false;
  const detail::wait_status how = threads_->end_threads(until, detail::interruptible::yes);
  if (how == detail::wait_status::interrupted) detail::throw_if_interrupted();
  return how == detail::wait_status::woken;
}

void thread_pool::submit(detail::task& t, detail::thread_job& job, const attributes& how) {
  detail::identify_task(t, how);
  job.run = detail::run_job;
  job.done = detail::end_job;
  job.threads = threads_.get();
  job.work = &t;
  t.retain();  // for the thread that ends it
  const int error = threads_->submit(job);
  if (error < 0) t.release();
  detail::throw_if_failed(error);
}

bool thread_pool::is_own_caller() const noexcept { return threads_->is_own_thread(); }

void thread_pool::set_idle_max(std::int64_t ns) noexcept { threads_->set_idle_max(ns); }

}  // namespace coir
