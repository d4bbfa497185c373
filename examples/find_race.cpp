// How to test fibers for mistakes that depend on their order: transfers between accounts, of which
// one version checks the balance before a wait and trusts it after. Each run has another schedule;
// the seed of one that fails repeats it.

#include "common/command_line.hpp"

#include <coir/coir.hpp>

#include <chrono>
#include <cstdio>
#include <mutex>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

using namespace std::chrono_literals;

constexpr char usage[] =
    "usage: find_race [--fixed] [--schedules N]\n"
    "Runs transfers between accounts by N schedules (1000), until one overdraws an account.\n"
    "  --fixed        with a lock over the check and the transfer: none does\n"
    "  --schedules N  how many at most, 1 to 1000000\n"
    "Exit status: 0 no account was overdrawn, 1 one was, 2 usage. COIR_SEED=N repeats one run.\n";

struct options {
  bool is_fixed = false;
  long schedules = 1000;
};

options parse(int argc, char** argv) {
  options o;
  example::command_line line;
  line.flag("fixed", o.is_fixed).number("schedules", o.schedules, 1, 1'000'000).parse(argc, argv);
  return o;
}

struct account {
  std::string owner;
  int balance = 0;
  coir::mutex lock;
};

/// Asks the fraud department, which takes a while.
void approve() { coir::sleep(1s); }

void transfer(account& from, account& to, int amount, bool is_fixed) {
  std::unique_lock guard(from.lock, std::defer_lock);
  if (is_fixed) guard.lock();
  if (from.balance < amount) return;
  if (amount > 50) approve();  // the mistake: what was checked need not hold any longer
  from.balance -= amount;
  to.balance += amount;
  if (from.balance < 0) throw std::runtime_error(from.owner + "'s account is overdrawn");
}

/// Two transfers at about the same time. In the order in which they are spawned nothing goes wrong,
/// so an ordinary run never shows the mistake.
void run_bank(bool is_fixed) {
  account ann{"Ann", 100, {}};
  account bob{"Bob", 20, {}};
  std::vector<coir::fiber<>> transfers;
  transfers.push_back(coir::spawn([&] { transfer(ann, bob, 30, is_fixed); }));
  transfers.push_back(coir::spawn([&] { transfer(ann, bob, 80, is_fixed); }));
  coir::joinall(transfers);
  for (auto& each : transfers) each.get();
  if (ann.balance + bob.balance != 120) throw std::runtime_error("money was lost");
}

int run(const options& o) {
  int runs = 0;
  try {
    coir::explore_schedules(static_cast<std::size_t>(o.schedules), [&] {
      ++runs;
      run_bank(o.is_fixed);
    });
  } catch (const std::runtime_error& e) {
    std::printf("schedule %d: %s\n", runs, e.what());
    return 1;
  }
  std::printf("%d schedules, and no account was overdrawn\n", runs);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  return example::run_main("find_race", usage, [&] { return run(parse(argc, argv)); });
}
