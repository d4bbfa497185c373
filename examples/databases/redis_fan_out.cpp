// A hundred blocking commands to Redis at a time, by hiredis, on one thread; and deadlines.
//
// hiredis knows nothing of fibers. redisCommandArgv waits for its answer in read, which is coir's
// hook. BLPOP on a list that stays empty takes as long as it is told.

#include "examples/databases/fan_out.hpp"
#include "examples/databases/redis.hpp"

#include <charconv>
#include <cstdio>
#include <memory>
#include <string>
#include <string_view>

namespace {

constexpr char usage[] =
    "usage: redis_fan_out SERVER [--queries N] [--connections N] [--seconds S] [--deadline S]\n"
    "Makes N (100) BLPOP commands of S (0.2) seconds to Redis at the same time, by as many\n"
    "connections or fewer, then interrupts slow ones by deadlines of S (1) seconds. SERVER is\n"
    "HOST:PORT or the path of a socket; REDIS_PASSWORD may hold a password.\n";

/// A list to which nothing is ever added.
constexpr char empty_list[] = "coir:nothing";

class redis_database {
 public:
  using connection = example::redis;

  explicit redis_database(std::string server) : server_(std::move(server)) {}

  std::unique_ptr<connection> connect() const { return std::make_unique<connection>(server_); }

  static void wait_for(connection& at, double seconds) {
    if (at.command({"BLPOP", empty_list, std::to_string(seconds)})->type == REDIS_REPLY_ARRAY) {
      throw std::runtime_error(std::string("there is something in the list ") + empty_list);
    }
  }

  /// INFO has a line for it.
  static long count_waiting(connection& at) {
    constexpr std::string_view name = "blocked_clients:";
    const example::redis_reply info = at.command({"INFO", "clients"});
    const std::string_view text = example::text_of(*info);
    const std::size_t found = text.find(name);
    long count = 0;
    if (found == text.npos ||
        std::from_chars(text.data() + found + name.size(), text.data() + text.size(), count).ec !=
            std::errc()) {
      throw std::runtime_error("INFO does not tell how many clients are blocked");
    }
    return count;
  }

 private:
  std::string server_;
};

/// hiredis gives a connection up when a read on it fails, so it is closed, and Redis takes the
/// command back.
void leave_plain_call(redis_database& database, const example::fan_out_options& how) {
  const auto other = database.connect();
  double seconds = 0;
  {
    const auto doomed = database.connect();
    seconds = example::left_after(
        how.deadline, [&] { redis_database::wait_for(*doomed, example::slow_query_seconds); });
  }
  std::printf("plain call: left after %.3f s, connection closed, %ld still at the server\n",
              seconds, example::still_waiting(database, *other));
}

/// The wait is ours, so that the connection stays whole. Redis ends the command when it is asked
/// to over another connection, and the answer is received.
void leave_and_go_on(redis_database& database, const example::fan_out_options& how) {
  const auto other = database.connect();
  const auto kept = database.connect();
  const std::string id = std::to_string(kept->command({"CLIENT", "ID"})->integer);
  kept->send({"BLPOP", empty_list, std::to_string(example::slow_query_seconds)});
  const double seconds = example::left_after(how.deadline, [&] { kept->receive(); });
  other->command({"CLIENT", "UNBLOCK", id});
  if (kept->receive()->type != REDIS_REPLY_NIL) throw std::runtime_error("an odd answer");
  const example::redis_reply echo = kept->command({"ECHO", "well"});
  std::printf("own wait: left after %.3f s, command ended, %ld still at the server, and it is %s\n",
              seconds, example::still_waiting(database, *other),
              std::string(example::text_of(*echo)).c_str());
}

}  // namespace

int main(int argc, char** argv) {
  return example::fan_out_main("redis_fan_out", usage, argc, argv,
                               [](const example::fan_out_options& how) {
                                 redis_database database(how.server);
                                 example::fan_out(database, how);
                                 leave_plain_call(database, how);
                                 leave_and_go_on(database, how);
                               });
}
