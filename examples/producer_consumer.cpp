// A producer and a consumer with a queue of five places between them.
//
// The producer is faster, so it soon waits for room at every put: the queue keeps it at most five
// items ahead, whatever the speeds are.

#include "common/command_line.hpp"

#include <coir/coir.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdio>

namespace {

using namespace std::chrono_literals;

constexpr std::size_t queue_places = 5;
constexpr int end_of_items = 0;  // items are numbered from 1

constexpr char usage[] =
    "usage: producer_consumer [--items N] [--pause SECONDS]\n"
    "A producer puts the numbers 1 to N (20) into a queue of 5 places; a consumer takes one, "
    "rests\n"
    "for SECONDS (0.01), and takes the next.\n";

struct options {
  int items = 20;
  std::chrono::milliseconds pause = 10ms;
};

options parse(int argc, char** argv) {
  options result;
  example::command_line line;
  line.number("items", result.items, 1, 1'000'000).seconds("pause", result.pause);
  line.parse(argc, argv);
  return result;
}

/// What the consumer saw.
struct tally {
  int items = 0;
  long sum = 0;
  std::size_t most_waiting = 0;  ///< the largest number of items that lay in the queue
};

void produce(coir::queue<int>& items, int count) {
  for (int item = 1; item <= count; ++item) {
    const bool is_full = items.full();
    items.put(item);
    std::printf("put %d%s\n", item, is_full ? " after waiting for room" : "");
  }
  items.put(end_of_items);
}

tally consume(coir::queue<int>& items, std::chrono::milliseconds pause) {
  tally seen;
  for (;;) {
    seen.most_waiting = std::max(seen.most_waiting, items.size());
    const int item = items.get();
    if (item == end_of_items) return seen;
    std::printf("          got %d\n", item);
    ++seen.items;
    seen.sum += item;
    coir::this_fiber::sleep_for(pause);
  }
}

int run(const options& how) {
  coir::queue<int> items(queue_places);
  auto producer = coir::spawn({.name = "producer"}, [&] { produce(items, how.items); });
  auto consumer = coir::spawn({.name = "consumer"}, [&] { return consume(items, how.pause); });
  producer.get();
  const tally& seen = consumer.get();
  std::printf("%d items, sum %ld, at most %zu waiting\n", seen.items, seen.sum, seen.most_waiting);
  const long count = how.items;
  return seen.items == count && seen.sum == count * (count + 1) / 2 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  return example::run_main("producer_consumer", usage, [&] { return run(parse(argc, argv)); });
}
