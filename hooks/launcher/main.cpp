// coir: starts programs with coir's hooks preloaded, and tells how coir is configured.
#include "hooks/launcher/configuration.hpp"
#include "hooks/launcher/run.hpp"

#include <CLI/CLI.hpp>

#include <algorithm>
#include <iostream>
#include <string>
#include <string_view>
#include <vector>

namespace {

constexpr int exit_usage = 2;

/// PROG and its arguments: all that follows the options of `run`. A `--` ends those options; a
/// later one is PROG's own.
std::vector<std::string> command_of(const CLI::App& run, char** dashes, char** end) {
  std::vector<std::string> command = run.remaining();
  if (dashes == end) return command;
  command.insert(command.end(), command.empty() ? dashes + 1 : dashes, end);
  return command;
}

int start(const CLI::App& run, const std::string& backend, char** dashes, char** end) {
  const std::vector<std::string> command = command_of(run, dashes, end);
  if (!command.empty()) return coir::launcher::run(command, backend);
  std::cerr
      << "coir run: no program is named; usage: coir run [--backend=uring|epoll] -- PROG ARGS...\n";
  return exit_usage;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Fibers for programs: blocking calls that do not block a thread.", "coir");
  app.set_version_flag("--version", "coir " COIR_VERSION);
  app.require_subcommand(1);

  CLI::App* run = app.add_subcommand(
      "run", "run [--backend=uring|epoll] -- PROG ARGS...: start PROG with the hooks preloaded");
  run->prefix_command();
  std::string backend;
  run->add_option("--backend", backend, "COIR_BACKEND for PROG")
      ->check(CLI::IsMember({"uring", "epoll"}));
  CLI::App* config = app.add_subcommand("config", "list the COIR_ variables and their values");

  char** const end = argv + argc;
  char** const dashes = std::find(argv, end, std::string_view("--"));
  try {
    app.parse(static_cast<int>(dashes - argv), argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : exit_usage;
  }
  if (run->parsed()) return start(*run, backend, dashes, end);
  if (config->parsed()) coir::launcher::print_configuration(std::cout);
  return 0;
}
