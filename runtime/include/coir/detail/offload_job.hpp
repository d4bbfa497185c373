/// Work for a thread that is kept for what can only block.
#pragma once

namespace coir::detail {

/// One piece of work in the queue of some offload threads. Owned by whoever submits it until `run`
/// begins.
struct offload_job {
  offload_job* next = nullptr;
  /// Does the work, on one of the threads. May free the job if `done` is null.
  void (*run)(offload_job&) noexcept = nullptr;
  /// Tells that the work is done, once the thread counts as idle again; null: nothing to tell. Its
  /// last touch of the job.
  void (*done)(offload_job&) noexcept = nullptr;
};

}  // namespace coir::detail
