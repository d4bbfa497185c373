// The questions of channel.cpp, put to Boost.Fiber: where both sides have a place, each is the main
// fiber of its thread.

#include "bench/workers/boost_crew.hpp"
#include "bench/workers/program.hpp"

namespace {

struct two_channels {
  boost::fibers::unbuffered_channel<std::int64_t> there;
  boost::fibers::unbuffered_channel<std::int64_t> back;

  void answer(std::int64_t trips) {
    for (std::int64_t i = 0; i < trips; ++i) back.push(there.value_pop() + 1);
  }
  void ask(std::int64_t trips) {
    std::int64_t number = 0;
    for (std::int64_t i = 0; i < trips; ++i) {
      there.push(number);
      number = back.value_pop();
    }
    bench::check(number == trips);
  }
};

}  // namespace

double bench::cross_channel_round_trip_ns(const manner& how) {
  boost_crew crew(2);
  two_channels channels;
  return ns_per_unit(how, 100, [&](std::int64_t trips) {
    crew.run([&](int thread) { thread == 0 ? channels.ask(trips) : channels.answer(trips); });
  });
}

double bench::unplaced_channel_round_trip_ns(const manner& how) {
  boost_crew crew(2);
  two_channels channels;
  return ns_per_unit(how, 100, [&](std::int64_t trips) {
    crew.run_on_first([&] {
      auto other = boost_crew::spawn([&] { channels.answer(trips); });
      auto one = boost_crew::spawn([&] { channels.ask(trips); });
      one.join();
      other.join();
    });
  });
}

// One of the places of Boost's channel stays free, and their number must be a power of two.
double bench::cross_buffered_item_ns(const manner& how) {
  boost_crew crew(2);
  boost::fibers::buffered_channel<std::int64_t> channel(channel_room);
  return ns_per_unit(how, 1000, [&](std::int64_t items) {
    std::int64_t sum = 0;
    crew.run([&](int thread) {
      for (std::int64_t i = 0; i < items; ++i) {
        if (thread == 0) {
          channel.push(i);
        } else {
          sum += channel.value_pop();
        }
      }
    });
    check(sum == sum_below(items));
  });
}
