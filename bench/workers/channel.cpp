// What does it cost to pass a number from one worker to another?

#include "bench/workers/program.hpp"

#include <coir/coir.hpp>

namespace {

/// Two channels without buffer, and what either side of a round trip does with them.
struct two_channels {
  coir::channel<std::int64_t> there;
  coir::channel<std::int64_t> back;

  void answer(std::int64_t trips) {
    for (std::int64_t i = 0; i < trips; ++i) back.send(*there.recv() + 1);
  }
  void ask(std::int64_t trips) {
    std::int64_t number = 0;
    for (std::int64_t i = 0; i < trips; ++i) {
      there.send(number);
      number = *back.recv();
    }
    bench::check(number == trips);
  }
};

}  // namespace

// One unit is a round trip: a number over a channel without buffer to a fiber on the other worker,
// and the next number back over another channel.
double bench::cross_channel_round_trip_ns(const manner& how) {
  coir::workers crew({.count = 2, .pin = true});
  two_channels channels;
  return ns_per_unit(how, 100, [&](std::int64_t trips) {
    auto other = crew.spawn_on(1, &two_channels::answer, &channels, trips);
    crew.spawn_on(0, &two_channels::ask, &channels, trips).get();
    other.get();
  });
}

// The same where nobody says on which worker the other side is to run.
double bench::unplaced_channel_round_trip_ns(const manner& how) {
  coir::workers crew(2);
  two_channels channels;
  return ns_per_unit(how, 100, [&](std::int64_t trips) {
    const auto both = [&channels, trips] {
      auto other = coir::spawn(&two_channels::answer, &channels, trips);
      channels.ask(trips);
      other.get();
    };
    crew.spawn(both).get();
  });
}

// One unit is one number over a channel with room for 128: a fiber on one worker sends as long as
// there is room, one on the other receives as long as there are numbers.
double bench::cross_buffered_item_ns(const manner& how) {
  coir::workers crew({.count = 2, .pin = true});
  coir::channel<std::int64_t> channel(channel_room);
  return ns_per_unit(how, 1000, [&](std::int64_t items) {
    auto sender = crew.spawn_on(0, [&] {
      for (std::int64_t i = 0; i < items; ++i) channel.send(i);
    });
    auto receiver = crew.spawn_on(1, [&] {
      std::int64_t sum = 0;
      for (std::int64_t i = 0; i < items; ++i) sum += *channel.recv();
      return sum;
    });
    check(receiver.get() == sum_below(items));
    sender.get();
  });
}
