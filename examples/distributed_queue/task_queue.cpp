#include "examples/distributed_queue/task_queue.hpp"

#include <charconv>
#include <stdexcept>
#include <string_view>
#include <utility>

namespace example {
namespace {

constexpr char group[] = "workers";

/// Takes the task away if it is there, and only then puts the result.
constexpr char finish_script[] = R"(
if redis.call('XACK', KEYS[1], ARGV[1], ARGV[2]) == 0 then return 0 end
redis.call('XDEL', KEYS[1], ARGV[2])
redis.call('XADD', KEYS[2], '*', 'number', ARGV[3], 'primes', ARGV[4], 'worker', ARGV[5],
           'taken_over', ARGV[6])
return 1
)";

[[noreturn]] void throw_strange_answer() {
  throw std::runtime_error(
      "Redis gave an answer that was not expected; is it version 6.2 or later?");
}

/// The element of a reply that must be an array.
const redisReply& at(const redisReply& array, std::size_t index) {
  if (array.type != REDIS_REPLY_ARRAY || index >= array.elements) throw_strange_answer();
  return *array.element[index];
}

/// An entry of a stream: its id and its fields.
class entry {
 public:
  explicit entry(const redisReply& reply) : reply_(reply) {}

  std::string id() const { return std::string(text_of(at(reply_, 0))); }

  std::string_view field(std::string_view name) const {
    const redisReply& fields = at(reply_, 1);
    for (std::size_t i = 0; i + 1 < fields.elements; i += 2) {
      if (text_of(at(fields, i)) == name) return text_of(at(fields, i + 1));
    }
    throw std::runtime_error("entry " + id() + " has no field " + std::string(name));
  }

  std::uint64_t number(std::string_view name) const {
    const std::string_view text = field(name);
    std::uint64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size()) {
      throw std::runtime_error("entry " + id() + " has no number as " + std::string(name));
    }
    return value;
  }

 private:
  const redisReply& reply_;
};

task task_of(const redisReply& reply, bool is_taken_over) {
  const entry e(reply);
  return {e.id(), e.number("number"), e.number("from"), e.number("to"), is_taken_over};
}

/// The entries in the answer to a read of one stream.
const redisReply& entries_of(const redisReply& answer) { return at(at(answer, 0), 1); }

}  // namespace

// The braces make a cluster keep both keys, which one script uses, on one node.
task_queue::task_queue(const std::string& server, const std::string& name, std::string worker)
    : connection_(server),
      tasks_("{" + name + "}:tasks"),
      results_("{" + name + "}:results"),
      worker_(std::move(worker)) {}

std::uint64_t task_queue::size() {
  return static_cast<std::uint64_t>(connection_.command({"XLEN", tasks_})->integer +
                                    connection_.command({"XLEN", results_})->integer);
}

void task_queue::put(const task& t) {
  connection_.command({"XADD", tasks_, "*", "number", std::to_string(t.number), "from",
                       std::to_string(t.from), "to", std::to_string(t.to)});
}

std::vector<result> task_queue::results_after(const std::string& last,
                                              std::chrono::milliseconds patience) {
  const redis_reply answer =
      connection_.command({"XREAD", "COUNT", "100", "BLOCK", std::to_string(patience.count()),
                           "STREAMS", results_, last});
  std::vector<result> found;
  if (answer->type == REDIS_REPLY_NIL) return found;
  const redisReply& entries = entries_of(*answer);
  for (std::size_t i = 0; i < entries.elements; ++i) {
    const entry e(at(entries, i));
    found.push_back({e.id(), e.number("number"), e.number("primes"), std::string(e.field("worker")),
                     e.number("taken_over") != 0});
  }
  return found;
}

void task_queue::close() { connection_.command({"DEL", tasks_, results_}); }

void task_queue::open() {
  try {
    connection_.command({"XGROUP", "CREATE", tasks_, group, "0", "MKSTREAM"});
  } catch (const redis_error& error) {
    if (!std::string_view(error.what()).starts_with("BUSYGROUP")) throw;  // there it is already
  }
}

/// A command that needs the group. UNBLOCKED comes to those who wait when the stream is deleted.
redis_reply task_queue::ask_workers_end(const std::vector<std::string>& words) {
  try {
    return connection_.command(words);
  } catch (const redis_error& error) {
    const std::string_view text = error.what();
    if (text.starts_with("NOGROUP") || text.starts_with("UNBLOCKED")) throw queue_closed();
    throw;
  }
}

std::optional<task> task_queue::take(std::chrono::milliseconds patience) {
  const redis_reply answer =
      ask_workers_end({"XREADGROUP", "GROUP", group, worker_, "COUNT", "1", "BLOCK",
                       std::to_string(patience.count()), "STREAMS", tasks_, ">"});
  if (answer->type == REDIS_REPLY_NIL) return std::nullopt;
  return task_of(at(entries_of(*answer), 0), false);
}

std::optional<task> task_queue::take_over(std::chrono::milliseconds lease) {
  std::string cursor = "0-0";
  do {  // a call looks at some entries only
    const redis_reply answer =
        ask_workers_end({"XAUTOCLAIM", tasks_, group, worker_, std::to_string(lease.count()),
                         cursor, "COUNT", "1"});
    const redisReply& entries = at(*answer, 1);
    if (entries.elements > 0) return task_of(at(entries, 0), true);
    cursor = text_of(at(*answer, 0));
  } while (cursor != "0-0");
  return std::nullopt;
}

// Should another have taken a task over meanwhile, it comes back here and both finish it, the first
// of them with effect.
void task_queue::renew(const std::vector<std::string>& ids) {
  std::vector<std::string> words{"XCLAIM", tasks_, group, worker_, "0"};
  words.insert(words.end(), ids.begin(), ids.end());
  words.push_back("JUSTID");
  ask_workers_end(words);
}

bool task_queue::finish(const task& t, std::uint64_t primes) {
  const redis_reply done = connection_.command(
      {"EVAL", finish_script, "2", tasks_, results_, group, t.id, std::to_string(t.number),
       std::to_string(primes), worker_, t.is_taken_over ? "1" : "0"});
  return done->integer == 1;
}

}  // namespace example
