/// Boost.Fiber on several threads that steal from each other.
#pragma once

#include <boost/fiber/algo/work_stealing.hpp>
#include <boost/fiber/all.hpp>

#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include <pthread.h>

namespace bench {

/// Stacks for fibers that may end on another thread than they began on, which Boost's own pools do
/// not allow. Those that are given back are lent again, the last one first.
class shared_stacks {
 public:
  boost::context::stack_context allocate() {
    const std::lock_guard guard(store().lock);
    if (store().free.empty()) return boost::fibers::fixedsize_stack(stack_bytes).allocate();
    const boost::context::stack_context stack = store().free.back();
    store().free.pop_back();
    return stack;
  }
  void deallocate(boost::context::stack_context& stack) {
    const std::lock_guard guard(store().lock);
    store().free.push_back(stack);
  }

 private:
  static constexpr std::size_t stack_bytes = 64 * 1024;
  struct shared {
    boost::fibers::detail::spinlock lock;
    std::vector<boost::context::stack_context> free;
  };
  static shared& store() {
    static shared only;
    return only;
  }
};

/// Threads with Boost's work-stealing scheduler, each kept to one processor. Their main fibers
/// stay where they are, fibers that these launch may be stolen. One object in a process: the
/// schedulers count themselves. An idle thread looks for work without end, which is how the
/// scheduler comes; the one that sleeps instead is not told of fibers that it could steal.
class boost_crew {
 public:
  using body = std::function<void(int thread)>;
  using fiber = boost::fibers::fiber;

  explicit boost_crew(int count) : returned_(static_cast<std::size_t>(count) + 1) {
    for (int i = 0; i < count; ++i) bodies_.push_back(std::make_unique<body_channel>(2));
    for (int i = 0; i < count; ++i) threads_.emplace_back([this, i] { serve(i); });
  }
  boost_crew(const boost_crew&) = delete;
  boost_crew& operator=(const boost_crew&) = delete;
  ~boost_crew() {
    for (const auto& channel : bodies_) channel->push(nullptr);
    for (std::thread& thread : threads_) thread.join();
  }

  /// Calls `f(i)` in the main fiber of each thread i; waits until all have returned.
  void run(const body& f) {
    for (const auto& channel : bodies_) channel->push(&f);
    returned_.wait();
  }
  /// The same with a body for the first thread alone. The others steal.
  void run_on_first(const std::function<void()>& f) {
    run([&f](int thread) {
      if (thread == 0) f();
    });
  }

  /// A fiber of the calling thread.
  template <class Function>
  static fiber spawn(Function f, boost::fibers::launch how = boost::fibers::launch::post) {
    return fiber(how, std::allocator_arg, shared_stacks(), std::move(f));
  }

 private:
  using body_channel = boost::fibers::buffered_channel<const body*>;

  void serve(int thread) {
    cpu_set_t cpu;
    CPU_ZERO(&cpu);
    CPU_SET(static_cast<unsigned>(thread) % std::thread::hardware_concurrency(), &cpu);
    pthread_setaffinity_np(pthread_self(), sizeof cpu, &cpu);
    if (const auto count = static_cast<std::uint32_t>(bodies_.size()); count > 1) {
      // A single thread would look for another one to steal from and never come back.
      boost::fibers::use_scheduling_algorithm<boost::fibers::algo::work_stealing>(count);
    }
    while (const body* const f = bodies_[static_cast<std::size_t>(thread)]->value_pop()) {
      (*f)(thread);
      returned_.wait();
    }
  }

  std::vector<std::unique_ptr<body_channel>> bodies_;
  boost::fibers::barrier returned_;
  std::vector<std::thread> threads_;
};

}  // namespace bench
