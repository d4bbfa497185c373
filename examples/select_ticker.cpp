// One fiber listens to several at a time: producers with a channel each, a tick, a deadline. When
// it has heard enough it closes a channel that all producers listen to.

#include "common/command_line.hpp"

#include <coir/coir.hpp>

#include <chrono>
#include <cstddef>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace {

using namespace std::chrono_literals;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr milliseconds first_pace = 5ms;  // the second producer takes twice as long, and so on

constexpr char usage[] =
    "usage: select_ticker [--producers N] [--numbers N] [--tick SECONDS] [--limit SECONDS]\n"
    "N producers (3) count, each at its own pace. The program hears whoever has a number, and "
    "says\n"
    "at every tick (0.05) how many came. It ends when N numbers (100) have come, or after the\n"
    "limit (0.5), and tells the producers to stop.\n";

struct options {
  int producers = 3;
  int numbers = 100;
  milliseconds tick = 50ms;
  milliseconds limit = 500ms;
};

options parse(int argc, char** argv) {
  options result;
  example::command_line line;
  line.number("producers", result.producers, 1, 1000);
  line.number("numbers", result.numbers, 1, 1'000'000);
  line.seconds("tick", result.tick).seconds("limit", result.limit).parse(argc, argv);
  if (result.tick <= 0ms) throw example::usage_error("--tick must be longer than nothing");
  return result;
}

/// Sends 1, 2, 3 and so on at its pace until `quit` is closed; returns how many were received.
int produce(coir::channel<int>& out, coir::channel<bool>& quit, milliseconds pace) {
  for (int sent = 0;;) {
    if (coir::select(coir::on_recv(quit), coir::after(pace)) == 0) return sent;
    if (coir::select(coir::on_recv(quit), coir::on_send(out, sent + 1)) == 0) return sent;
    ++sent;
  }
}

/// Hears the producers and knows what each has said last.
class listener {
 public:
  explicit listener(const options& how) : how_(how), last_(channels_of(how)) {}

  /// Adds a case for the next producer's channel.
  void add(coir::channel<int>& from) {
    const std::size_t place = cases_.size();
    cases_.push_back(coir::on_recv(from, [this, place](std::optional<int> number) {
      last_[place] = *number;
      ++heard_;
    }));
  }

  /// Listens until enough has come, or the limit.
  void listen() {
    const auto begin = steady_clock::now();
    cases_.push_back(coir::after(begin + how_.limit, [this] { is_over_ = true; }));
    auto next_tick = begin + how_.tick;
    const auto tick = [&] {
      std::printf("tick: %d numbers\n", heard_);
      next_tick += how_.tick;
    };
    cases_.push_back(coir::after(next_tick, tick));
    while (!is_over_ && heard_ < how_.numbers) {
      const std::size_t place = coir::select(cases_);
      if (place + 1 == cases_.size()) cases_.back() = coir::after(next_tick, tick);
    }
    std::printf("%s: %d numbers\n", is_over_ ? "limit" : "enough", heard_);
  }

  /// What the producer at `place` has said last: how often it was heard.
  int last(std::size_t place) const { return last_[place]; }

 private:
  static std::size_t channels_of(const options& how) {
    return static_cast<std::size_t>(how.producers);
  }

  const options& how_;
  std::vector<coir::select_case> cases_;
  std::vector<int> last_;
  int heard_ = 0;
  bool is_over_ = false;
};

int run(const options& how) {
  coir::channel<bool> quit;
  std::vector<std::unique_ptr<coir::channel<int>>> channels;
  std::vector<coir::fiber<int>> producers;
  listener all(how);
  for (int i = 1; i <= how.producers; ++i) {
    coir::channel<int>& out = *channels.emplace_back(std::make_unique<coir::channel<int>>());
    all.add(out);
    producers.push_back(coir::spawn({.name = "producer " + std::to_string(i)},
                                    [&, i] { return produce(out, quit, i * first_pace); }));
  }
  all.listen();
  quit.close();

  bool is_complete = true;
  for (std::size_t i = 0; i < producers.size(); ++i) {
    const int sent = producers[i].get();
    std::printf("producer %zu: %d\n", i + 1, sent);
    is_complete = is_complete && sent == all.last(i);
  }
  return is_complete ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  return example::run_main("select_ticker", usage, [&] { return run(parse(argc, argv)); });
}
