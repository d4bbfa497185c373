/// Boost.Fiber, under the names that the benchmarks use; coir_library.hpp is its twin.
#pragma once

#include <boost/fiber/all.hpp>

#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <utility>

namespace bench {

/// Stateless: a name, verbs and types.
struct boost_library {
  using fiber = boost::fibers::fiber;
  using mutex = boost::fibers::mutex;
  using recursive_mutex = boost::fibers::recursive_mutex;
  using condition = boost::fibers::condition_variable;
  using barrier = boost::fibers::barrier;
  using promise = boost::fibers::promise<std::int64_t>;

  /// Runs `f` in a fiber with a pooled stack, once the caller has parked.
  template <class Function>
  static fiber spawn(Function f) {
    return fiber(boost::fibers::launch::post, std::allocator_arg, stacks(), std::move(f));
  }
  static void yield() { boost::this_fiber::yield(); }
  static void pass(barrier& b) { b.wait(); }

  /// A channel of numbers without room: a put waits for its get.
  class rendezvous {
   public:
    void put(std::int64_t value) { channel_.push(value); }
    std::int64_t get() { return channel_.value_pop(); }

   private:
    boost::fibers::unbuffered_channel<std::int64_t> channel_;
  };

  /// A channel with room for 127 numbers: its capacity must be a power of two, one slot stays free.
  class buffered {
   public:
    void put(std::int64_t value) { channel_.push(value); }
    std::int64_t get() { return channel_.value_pop(); }

   private:
    boost::fibers::buffered_channel<std::int64_t> channel_{128};
  };

  /// The same as channels, with a status where a closed channel has to be told.
  class channel {
   public:
    void send(std::int64_t value) { channel_.push(value); }
    std::int64_t recv() {
      std::int64_t value = 0;
      channel_.pop(value);
      return value;
    }

   private:
    boost::fibers::unbuffered_channel<std::int64_t> channel_;
  };
  class buffered_channel {
   public:
    void send(std::int64_t value) { channel_.push(value); }
    std::int64_t recv() {
      std::int64_t value = 0;
      channel_.pop(value);
      return value;
    }

   private:
    boost::fibers::buffered_channel<std::int64_t> channel_{128};
  };

  /// A semaphore that starts empty. Boost.Fiber has none: what a user would write.
  class semaphore {
   public:
    void release() {
      const std::lock_guard guard(mutex_);
      ++units_;
      condition_.notify_one();
    }
    void acquire() {
      std::unique_lock lock(mutex_);
      condition_.wait(lock, [this] { return units_ > 0; });
      --units_;
    }
    bool acquire_within(std::chrono::seconds limit) {
      std::unique_lock lock(mutex_);
      if (!condition_.wait_for(lock, limit, [this] { return units_ > 0; })) return false;
      --units_;
      return true;
    }

   private:
    mutex mutex_;
    condition condition_;
    int units_ = 0;
  };

 private:
  static constexpr std::size_t stack_bytes = 64 * 1024;

  static boost::fibers::pooled_fixedsize_stack& stacks() {
    static boost::fibers::pooled_fixedsize_stack pool(stack_bytes);
    return pool;
  }
};

}  // namespace bench
