/// Threads, made in two ways: by the pthread_create that the program is linked with, and by the
/// one of libc itself, which nothing that was preloaded sees. Each leaves traces of its end.
#pragma once

#include <atomic>
#include <functional>
#include <memory>

#include <pthread.h>

namespace stress {

enum class making : int { ordinary, native };

/// What a thread must have left when it has been joined.
struct traces {
  std::atomic<int> locals{};  ///< destructors of thread_local objects that ran
  std::atomic<int> keys{};    ///< destructors of thread-specific keys that ran
};

struct started {
  pthread_t id{};
  std::shared_ptr<traces> left;
};

/// `name` is a string constant. The function may be ended by pthread_cancel or pthread_exit.
started start(making how, const char* name, int number, std::function<void()> function);
/// The same, detached.
void start_detached(making how, const char* name, int number, std::function<void()> function);

/// Joins and checks the traces; what the thread returned: null, or PTHREAD_CANCELED.
void* finish(started& thread);
/// The same, when it must have returned normally.
void finish_well(started& thread);

/// That thread-local things are the running thread's own still.
void check_identity();

/// Threads that were started and those whose last destructor has run.
long threads_started();
long threads_ended();

}  // namespace stress
