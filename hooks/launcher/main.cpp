// coir: starts programs with coir's hooks preloaded, tells beforehand whether that will work, and
// how coir is configured.
#include "hooks/launcher/configuration.hpp"
#include "hooks/launcher/doctor.hpp"
#include "hooks/launcher/run.hpp"
#include "hooks/launcher/variables.hpp"

#include <CLI/CLI.hpp>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <string>
#include <string_view>
#include <vector>

namespace {

namespace fs = std::filesystem;
using coir::launcher::settings;

constexpr int exit_usage = 2;

/// PROG and its arguments: all that follows the options. A `--` ends those options; a later one is
/// PROG's own.
std::vector<std::string> command_of(const CLI::App& verb, char** dashes, char** end) {
  std::vector<std::string> command = verb.remaining();
  if (dashes == end) return command;
  command.insert(command.end(), command.empty() ? dashes + 1 : dashes, end);
  return command;
}

/// What the command line says for the variables.
struct options {
  std::string workers, mode, backend, report, stack;
  std::vector<bool> switched_off = std::vector<bool>(coir::launcher::switchable_families().size());
};

/// Takes the value of a variable, and refuses what coir would not take.
CLI::Option* add_variable(CLI::App& verb, const char* option, const char* variable,
                          std::string& value) {
  return verb.add_option(option, value, std::string(variable) + " for PROG")
      ->check([variable](const std::string& text) {
        return text.empty() ? std::string("it needs a value")
                            : coir::launcher::fault_of(variable, text);
      });
}

/// An option that stands for itself or has a value behind "=": the next word is never taken.
void add_report(CLI::App& verb, std::string& value) {
  verb.add_flag("--report{1}", value, "COIR_REPORT for PROG: to stderr, or =FILE");
}

CLI::App* add_run(CLI::App& app, options& given) {
  CLI::App* verb = app.add_subcommand(
      "run", "run [OPTIONS] -- PROG ARGS...: start PROG with the hooks preloaded");
  verb->prefix_command();
  add_variable(*verb, "--workers", "COIR_WORKERS", given.workers);
  add_variable(*verb, "--mode", "COIR_MODE", given.mode);
  add_variable(*verb, "--backend", "COIR_BACKEND", given.backend);
  add_variable(*verb, "--stack", "COIR_STACK", given.stack);
  add_report(*verb, given.report);
  for (std::size_t i = 0; i < given.switched_off.size(); ++i) {
    const std::string family(coir::launcher::switchable_families()[i]);
    verb->add_flag_callback(
        "--no-" + family, [&given, i] { given.switched_off[i] = true; },
        "leave the hooks of this family out");
  }
  return verb;
}

/// COIR_HOOKS as the options have it; empty when they switch nothing off.
std::string hooks_of(const options& given) {
  std::string list;
  for (std::size_t i = 0; i < given.switched_off.size(); ++i) {
    if (!given.switched_off[i]) continue;
    list += (list.empty() ? "-" : ",-") + std::string(coir::launcher::switchable_families()[i]);
  }
  return list;
}

/// PROG may change its folder before it writes the report.
std::string report_of(const options& given) {
  if (given.report.empty() || given.report == "1") return given.report;
  return fs::absolute(given.report).string();
}

settings settings_of(const options& given) {
  const settings all = {{"COIR_WORKERS", given.workers}, {"COIR_MODE", given.mode},
                        {"COIR_BACKEND", given.backend}, {"COIR_REPORT", report_of(given)},
                        {"COIR_STACK", given.stack},     {"COIR_HOOKS", hooks_of(given)}};
  settings chosen;
  for (const auto& setting : all) {
    if (!setting.second.empty()) chosen.push_back(setting);
  }
  return chosen;
}

int complain(const char* verb, const std::string& what) {
  std::cerr << "coir " << verb << ": " << what << '\n';
  return exit_usage;
}

/// What is wrong with the mode in the environment, by which the launcher itself goes.
std::string fault_of_mode(const std::string& chosen) {
  const char* inherited = std::getenv("COIR_MODE");
  return chosen.empty() && inherited ? coir::launcher::fault_of("COIR_MODE", inherited) : "";
}

int start(const std::vector<std::string>& command, bool is_after_dashes, const options& given) {
  if (command.empty())
    return complain("run", "no program is named; usage: coir run [OPTIONS] -- PROG ARGS...");
  if (command.front().starts_with("--") && !is_after_dashes)
    return complain("run", "there is no option " + command.front());
  if (const std::string fault = fault_of_mode(given.mode); !fault.empty())
    return complain("run", fault);
  const std::string report = report_of(given);
  if (!report.empty() && report != "1" && !fs::is_directory(fs::path(report).parent_path()))
    return complain("run", "--report: the folder of " + report + " does not exist");
  return coir::launcher::run(command, settings_of(given));
}

int examine(const std::vector<std::string>& command, const options& given) {
  if (command.size() != 1)
    return complain("doctor", "one program must be named; usage: coir doctor [--mode=MODE] PROG");
  if (const std::string fault = fault_of_mode(given.mode); !fault.empty())
    return complain("doctor", fault);
  const char* inherited = std::getenv("COIR_MODE");
  const std::string mode = !given.mode.empty() ? given.mode : inherited ? inherited : "";
  return coir::launcher::examine(command.front(), coir::launcher::mode_of(mode), std::cout);
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Fibers for programs: blocking calls that do not block a thread.", "coir");
  app.set_version_flag("--version", "coir " COIR_VERSION);
  app.require_subcommand(1);
  options given;
  CLI::App* run = add_run(app, given);
  CLI::App* doctor = app.add_subcommand(
      "doctor", "doctor [--mode=MODE] PROG: say what would work under `coir run`, and what not");
  doctor->prefix_command();
  add_variable(*doctor, "--mode", "COIR_MODE", given.mode);
  CLI::App* config = app.add_subcommand("config", "list the COIR_ variables and their values");

  char** const end = argv + argc;
  char** const dashes = std::find(argv, end, std::string_view("--"));
  try {
    app.parse(static_cast<int>(dashes - argv), argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : exit_usage;
  }
  if (run->parsed()) {
    return start(command_of(*run, dashes, end), run->remaining().empty(), given);
  }
  if (doctor->parsed()) return examine(command_of(*doctor, dashes, end), given);
  if (config->parsed()) coir::launcher::print_configuration(std::cout, std::cerr);
  return 0;
}
