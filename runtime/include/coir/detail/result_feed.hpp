/// What stands between the fibers of an imap and its reader.
#pragma once

#include <coir/detail/owned.hpp>
#include <coir/detail/task.hpp>
#include <coir/detail/wait_queue.hpp>

#include <cstddef>

namespace coir::detail {

/// Tasks in the order in which they were begun, to be read in that order or in the order of their
/// ends. One fiber feeds it, one reads it; tasks may end on any thread.
class COIR_API result_feed {
 public:
  /// One task, from its start until it is read.
  struct item : end_watch {
    result_feed* feed = nullptr;
    task_ref<task> work;
    item* next = nullptr;  ///< among all
    item* prev = nullptr;
    item* next_ended = nullptr;  ///< among those that have ended, if they are read in that order
    bool has_ended = false;
  };

  /// No more than `ahead_max` tasks are to be begun and not read.
  result_feed(bool is_ordered, std::size_t ahead_max) noexcept
      : is_ordered_(is_ordered), ahead_max_(ahead_max) {}
  result_feed(const result_feed&) = delete;
  result_feed& operator=(const result_feed&) = delete;
  /// end() comes first.
  ~result_feed();

  /// Names the task whose end is the end of the input. Once, by the reader, before it reads.
  void set_feeder(task_ref<task> feeder) noexcept;
  /// For the feeder: parks while as many tasks as allowed are ahead of the reader. Throws
  /// fiber_exit when the feeder is killed meanwhile.
  void wait_for_room();
  /// For the feeder: appends a task that was started. Never parks.
  void add(owned<item> place, task_ref<task> work) noexcept;
  /// For the feeder: the input has thrown this; the reader gets it after all results.
  void fail(std::exception_ptr error) noexcept { input_error_ = std::move(error); }

  /// For the reader: parks until the next task can be read, and gives it away; null at the end of
  /// the input. Rethrows what the input has thrown, once. Throws fiber_exit when the reader is
  /// killed meanwhile, which loses nothing.
  task_ref<task> next();
  /// For the reader: kills the feeder and all tasks that were not read, and parks until they have
  /// ended; a kill of the reader is kept until then.
  void end() noexcept;

 private:
  struct input_watch : end_watch {
    result_feed* feed = nullptr;
  };

  static bool item_ended(end_watch& w, task& t) noexcept;
  static bool input_ended(end_watch& w, task& t) noexcept;
  item* readable() const noexcept;
  owned<item> take(item& i) noexcept;

  const bool is_ordered_;
  const std::size_t ahead_max_;
  task_ref<task> feeder_;
  input_watch input_;
  std::exception_ptr input_error_;  ///< the feeder's until it has ended
  short_lock lock_;
  wait_queue feeders_;  ///< guarded by lock_, as all that follows
  wait_queue readers_;
  item* first_ = nullptr;  ///< of all
  item* last_ = nullptr;
  item* first_ended_ = nullptr;
  item* last_ended_ = nullptr;
  std::size_t ahead_ = 0;  ///< how many there are
  bool is_fed_ = false;    ///< nothing more comes
};

}  // namespace coir::detail
