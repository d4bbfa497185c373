/// What the four database examples have in common: many queries at a time from one thread, each by
/// the plain blocking calls of a C library, with a count of what was under way together.
///
/// A database here is a class `Database` with
///     using connection = ...;                             // movable, closes itself
///     std::unique_ptr<connection> connect();              // parks; throws
///     void wait_for(connection&, double seconds);         // a query that takes so long
///     long count_waiting(connection&);                    // how many such queries the server sees
#pragma once

#include "examples/databases/hooked_call.hpp"

#include "examples/common/command_line.hpp"

#include <coir/coir.hpp>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include <signal.h>

namespace example {

using namespace std::chrono_literals;

/// The options of each of the examples.
struct fan_out_options {
  std::string server;
  long queries = 100;
  long connections = 0;  ///< as many as queries
  std::chrono::milliseconds wait = 200ms;
  std::chrono::milliseconds deadline = 1s;  ///< of slow queries
};

/// Of the command line SERVER [--queries N] [--connections N] [--seconds S]
/// [--deadline S]; throws usage_error.
inline fan_out_options parse_fan_out(int argc, char** argv) {
  fan_out_options result;
  command_line line;
  line.number("queries", result.queries, 1, 10'000);
  line.number("connections", result.connections, 1, 10'000);
  line.seconds("seconds", result.wait).seconds("deadline", result.deadline);
  const std::vector<std::string> servers = line.arguments(argc, argv);
  if (servers.size() != 1) throw usage_error("one server must be given");
  result.server = servers.front();
  if (result.connections == 0) result.connections = result.queries;
  return result;
}

/// Calls `run(options)`, the example proper, with what the command line says; the exit status.
template <class Run>
int fan_out_main(const char* program, const char* usage, int argc, char** argv, Run run) {
  return run_main(program, usage, [&] {
    const fan_out_options how = parse_fan_out(argc, argv);
    require_hooks();
    signal(SIGPIPE, SIG_IGN);  // not every library sends with MSG_NOSIGNAL
    run(how);
    return 0;
  });
}

/// What queries did: how many at a time, how long in all, on which threads. Fibers of one thread.
class tally {
 public:
  /// Calls `query()` and counts it.
  template <class Query>
  void count(Query query) {
    threads_.insert(std::this_thread::get_id());
    most_ = std::max(most_, ++now_);
    const auto begin = std::chrono::steady_clock::now();
    query();
    waits_ += std::chrono::steady_clock::now() - begin;
    --now_;
    ++done_;
  }

  long done() const { return done_; }
  long most_at_a_time() const { return most_; }
  double waits_in_seconds() const { return waits_.count(); }
  std::size_t threads() const { return threads_.size(); }

 private:
  long now_ = 0;
  long most_ = 0;
  long done_ = 0;
  std::chrono::duration<double> waits_{};
  std::set<std::thread::id> threads_;
};

constexpr int connecting_max = 50;         ///< connections made at a time: servers have a backlog
constexpr double slow_query_seconds = 30;  ///< how long that query would take
constexpr auto server_patience = 5s;       ///< for the server to notice that it is cancelled

/// Makes all queries at the same time, as far as there are connections, and prints what came of it.
/// Throws what a query throws.
template <class Database>
void fan_out(Database& database, const fan_out_options& how) {
  using connection = typename Database::connection;
  const auto observer_connection = database.connect();  // where nobody answers, one error will do
  const std::vector<long> numbers(std::min(how.connections, how.queries));
  const auto connections =
      coir::pool(connecting_max).map([&](long) { return database.connect(); }, numbers);
  coir::queue<connection*> idle;
  for (const std::unique_ptr<connection>& each : connections) idle.put(each.get());
  tally counted;
  long most_at_server = 0;

  const auto begin = std::chrono::steady_clock::now();
  {
    coir::scope running(coir::on_failure::kill_others);  // and throws the error here
    for (long i = 0; i < how.queries; ++i) {
      running.spawn([&] {
        connection* const mine = idle.get();
        counted.count(
            [&] { database.wait_for(*mine, std::chrono::duration<double>(how.wait).count()); });
        idle.put(mine);
      });
    }
    while (counted.done() < how.queries) {
      most_at_server = std::max(most_at_server, database.count_waiting(*observer_connection));
      coir::sleep(10ms);
    }
  }
  const std::chrono::duration<double> wall = std::chrono::steady_clock::now() - begin;
  std::printf("%ld queries over %zu connections on %zu kernel thread (%s)\n", counted.done(),
              connections.size(), counted.threads(), coir::backend());
  std::printf("at a time: %ld under way, %ld seen by the server\n", counted.most_at_a_time(),
              most_at_server);
  std::printf("wall time %.3f s, the waits of the queries together %.3f s\n", wall.count(),
              counted.waits_in_seconds());
  std::fflush(stdout);
}

/// Calls `query()`, which would take far too long, for `deadline` at most; returns after how many
/// seconds it was left. Throws std::logic_error if it was not.
template <class Query>
double left_after(std::chrono::milliseconds deadline, Query query) {
  const auto begin = std::chrono::steady_clock::now();
  try {
    coir::with_timeout(deadline, query);
  } catch (const coir::timeout&) {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  }
  throw std::logic_error("the slow query came to its end");
}

/// Looks until the server sees no query waiting any more, for a while; returns how many it sees.
template <class Database>
long still_waiting(Database& database, typename Database::connection& connection) {
  const auto until = std::chrono::steady_clock::now() + server_patience;
  long count = database.count_waiting(connection);
  while (count > 0 && std::chrono::steady_clock::now() < until) {
    coir::sleep(10ms);
    count = database.count_waiting(connection);
  }
  return count;
}

}  // namespace example
