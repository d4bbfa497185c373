// Runs commands at the same time, each for a limited time, and prints what became of them. On
// SIGINT or SIGTERM it ends those that run and prints what they had written by then.
#include <coir/coir.hpp>
#include <coir/system.hpp>

#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <optional>
#include <string>
#include <system_error>
#include <vector>

using namespace std::chrono_literals;

namespace {

constexpr char usage[] =
    "usage: run_commands [--timeout SECONDS] [--at-once N] COMMAND...\n"
    "\n"
    "Runs each COMMAND with sh, prints its output and how it ended, in the order of the commands.\n"
    "  --timeout SECONDS  how long each may run; 10 unless said otherwise\n"
    "  --at-once N        how many may run at a time; 8 unless said otherwise\n"
    "Without a COMMAND it runs three of its own.\n"
    "Exits with 0 when all have succeeded, 1 when not, 130 when it was interrupted.\n";

struct settings {
  unsigned timeout_s = 10;
  unsigned at_once = 8;
  std::vector<std::string> commands;
};

unsigned number_of(const char* text) {
  unsigned number = 0;
  const char* const end = text + std::strlen(text);
  const auto [stop, error] = std::from_chars(text, end, number);
  return error == std::errc{} && stop == end ? number : 0;
}

/// Nothing for what it does not understand.
std::optional<settings> parse(int count, char** arguments) {
  settings all;
  for (int i = 1; i < count; ++i) {
    const std::string argument = arguments[i];
    const bool is_time = argument == "--timeout";
    if (is_time || argument == "--at-once") {
      unsigned& number = is_time ? all.timeout_s : all.at_once;
      number = ++i < count ? number_of(arguments[i]) : 0;
      if (number == 0) return std::nullopt;
    } else if (argument.starts_with("--")) {
      return std::nullopt;
    } else {
      all.commands.push_back(argument);
    }
  }
  if (all.commands.empty()) all.commands = {"echo hello", "printf 'b\\na\\n' | sort", "exit 3"};
  return all;
}

/// What became of one command.
struct outcome {
  std::string text = "not started";
  std::string output;
  bool is_success = false;
};

/// Runs one command; ended early, with its whole group, when the fiber is killed.
void run_command(const std::string& command, std::chrono::seconds timeout, outcome& result) {
  result.text = "interrupted";
  try {
    coir::process child({"sh", "-c", command}, {.input = coir::child_stream::null(),
                                                .output = coir::child_stream::pipe(),
                                                .error = coir::child_stream::same_as_output(),
                                                .group = coir::process_group::new_group});
    coir::timeout_scope limit(timeout);
    try {
      while (auto line = child.output().read_line()) result.output += "  " + *line + '\n';
      const coir::exit_status status = child.wait();
      result.text = status.text();
      result.is_success = status.success();
    } catch (const coir::timeout& e) {
      if (!limit.owns(e)) throw;
      result.text = "ended after " + std::to_string(timeout.count()) + " s";
    }  // the end of `child` ends the group
  } catch (const std::system_error& e) {
    result.text = e.what();
  }
}

}  // namespace

int main(int count, char** arguments) {
  const std::optional<settings> all = parse(count, arguments);
  if (!all) {
    const bool is_help = count == 2 && std::strcmp(arguments[1], "--help") == 0;
    std::fputs(usage, is_help ? stdout : stderr);
    return is_help ? 0 : 2;
  }

  coir::signal_set stop({SIGINT, SIGTERM});
  coir::pool pool(all->at_once);
  std::vector<outcome> outcomes(all->commands.size());
  bool is_interrupted = false;
  coir::fiber<> watcher = coir::spawn([&] {
    const coir::signal_info signal = stop.wait();
    coir::standard_error().write_all("run_commands: " + signal.text() + "\n");
    is_interrupted = true;
    pool.kill();
  });

  for (std::size_t i = 0; i < outcomes.size() && !is_interrupted; ++i) {
    pool.spawn([&, i] {
      run_command(all->commands[i], std::chrono::seconds(all->timeout_s), outcomes[i]);
    });
  }
  pool.join();
  watcher.kill();

  bool is_success = true;
  std::string report;
  for (std::size_t i = 0; i < outcomes.size(); ++i) {
    report += all->commands[i] + ": " + outcomes[i].text + '\n' + outcomes[i].output;
    is_success = is_success && outcomes[i].is_success;
  }
  try {
    coir::standard_output().write_all(report);
  } catch (const std::system_error& e) {
    std::fprintf(stderr, "run_commands: %s\n", e.what());
    return 1;
  }
  if (is_interrupted) return 130;
  return is_success ? 0 : 1;
}
