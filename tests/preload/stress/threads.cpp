#include "threads.hpp"

#include "board.hpp"

#include <utility>

#include <dlfcn.h>

namespace stress {
namespace {

std::atomic<long> started_count;
std::atomic<long> ended_count;

struct request {
  std::function<void()> function;
  std::shared_ptr<traces> left;
  const char* name;
  int number;
  bool is_native;
};

/// Lives in each thread; its destructor is one of the traces.
struct witness {
  std::shared_ptr<traces> left;
  pthread_t id{};
  ~witness() {
    if (!left) return;
    left->locals.fetch_add(1);
    leave_line();
    ended_count.fetch_add(1);
  }
};
thread_local witness own;

pthread_key_t make_key() {
  pthread_key_t key;
  STRESS_CHECK(::pthread_key_create(&key, [](void* value) {
                 const auto left = static_cast<std::shared_ptr<traces>*>(value);
                 (*left)->keys.fetch_add(1);
                 delete left;
               }) == 0);
  return key;
}

pthread_key_t witness_key() {
  static const pthread_key_t key = make_key();
  return key;
}

void* run(void* argument) {
  const std::unique_ptr<request> wanted(static_cast<request*>(argument));
  own.left = wanted->left;
  own.id = ::pthread_self();
  STRESS_CHECK(::pthread_setspecific(witness_key(), new std::shared_ptr<traces>(wanted->left)) ==
               0);
  enter_board(wanted->name, wanted->number, wanted->is_native);
  wanted->function();
  check_identity();
  doing("ends");
  return nullptr;
}

using create_function = int (*)(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*);

create_function creator(making how) {
  static const auto libcs_own = [] {
    void* const libc = ::dlopen("libc.so.6", RTLD_NOW | RTLD_NOLOAD);
    STRESS_CHECK(libc);
    void* const found = ::dlsym(libc, "pthread_create");
    STRESS_CHECK(found);
    return reinterpret_cast<create_function>(found);
  }();
  return how == making::native ? libcs_own : &::pthread_create;
}

}  // namespace

started start(making how, const char* name, int number, std::function<void()> function) {
  started made;
  made.left = std::make_shared<traces>();
  auto wanted = std::make_unique<request>(std::move(function), made.left, name, number,
                                          how == making::native);
  started_count.fetch_add(1);
  STRESS_CHECK(creator(how)(&made.id, nullptr, &run, wanted.get()) == 0);
  static_cast<void>(wanted.release());
  return made;
}

void start_detached(making how, const char* name, int number, std::function<void()> function) {
  const started made = start(how, name, number, std::move(function));
  STRESS_CHECK(::pthread_detach(made.id) == 0);
}

void* finish(started& thread) {
  void* result = nullptr;
  STRESS_CHECK(::pthread_join(thread.id, &result) == 0);
  STRESS_CHECK(thread.left->locals.load() == 1);
  STRESS_CHECK(thread.left->keys.load() == 1);
  return result;
}

void finish_well(started& thread) { STRESS_CHECK(finish(thread) == nullptr); }

void check_identity() {
  if (!own.left) return;  // the main thread
  STRESS_CHECK(::pthread_equal(own.id, ::pthread_self()));
  const auto value = static_cast<std::shared_ptr<traces>*>(::pthread_getspecific(witness_key()));
  STRESS_CHECK(value && *value == own.left);
}

long threads_started() { return started_count.load(); }
long threads_ended() { return ended_count.load(); }

}  // namespace stress
