/// coir, under the names that the benchmarks use; boost_library.hpp is its twin.
#pragma once

#include <coir/coir.hpp>

#include <chrono>
#include <cstdint>
#include <utility>

namespace bench {

/// Stateless: a name, verbs and types.
struct coir_library {
  using fiber = coir::fiber<>;
  using mutex = coir::mutex;
  using recursive_mutex = coir::recursive_mutex;
  using condition = coir::condition_variable;
  using barrier = coir::barrier<>;
  using promise = coir::promise<std::int64_t>;

  /// Runs `f` in a fiber with a pooled stack, once the caller has parked.
  template <class Function>
  static fiber spawn(Function f) {
    return coir::spawn(std::move(f));
  }
  static void yield() { coir::yield(); }
  static void pass(barrier& b) { b.arrive_and_wait(); }

  /// A queue of numbers without room: a put waits for its get.
  class rendezvous {
   public:
    void put(std::int64_t value) { queue_.put(value); }
    std::int64_t get() { return queue_.get(); }

   private:
    coir::queue<std::int64_t> queue_{0};
  };

  /// A queue with room for 128 numbers.
  class buffered {
   public:
    void put(std::int64_t value) { queue_.put(value); }
    std::int64_t get() { return queue_.get(); }

   private:
    coir::queue<std::int64_t> queue_{128};
  };

  /// A channel of numbers without buffer.
  class channel {
   public:
    void send(std::int64_t value) { channel_.send(value); }
    std::int64_t recv() { return *channel_.recv(); }

   private:
    coir::channel<std::int64_t> channel_;
  };

  /// A channel with room for 128 numbers.
  class buffered_channel {
   public:
    void send(std::int64_t value) { channel_.send(value); }
    std::int64_t recv() { return *channel_.recv(); }

   private:
    coir::channel<std::int64_t> channel_{128};
  };

  /// A semaphore that starts empty.
  class semaphore {
   public:
    void release() { semaphore_.release(); }
    void acquire() { semaphore_.acquire(); }
    bool acquire_within(std::chrono::seconds limit) { return semaphore_.try_acquire_for(limit); }

   private:
    coir::counting_semaphore semaphore_{0};
  };
};

}  // namespace bench
