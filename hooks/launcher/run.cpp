// The program takes the launcher's place (exec), so that its exit status, its signals and its
// process number are its own.
#include "hooks/launcher/run.hpp"

#include "hooks/launcher/libraries.hpp"
#include "hooks/launcher/program.hpp"

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <sstream>

#include <unistd.h>

namespace coir::launcher {
namespace {

int refuse(const refusal& why) {
  std::cerr << "coir run: " << why.reason << '\n';
  return why.exit_status;
}

/// Puts `library` in front of what LD_PRELOAD has already, which may be the same library: coir may
/// run under coir. An empty `library` takes it away.
void preload(const std::string& library) {
  const char* present = std::getenv("LD_PRELOAD");
  std::string all = library;
  std::istringstream others(present ? present : "");
  for (std::string other; std::getline(others, other, ':');) {
    const bool is_ours = other == library || other.ends_with("/libcoir_preload.so");
    if (!other.empty() && !is_ours) all += (all.empty() ? "" : ":") + other;
  }
  if (all.empty()) {
    unsetenv("LD_PRELOAD");
  } else {
    setenv("LD_PRELOAD", all.c_str(), 1);
  }
}

int become(const std::string& path, const std::vector<std::string>& command) {
  std::vector<char*> arguments;
  for (const std::string& word : command) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  execv(path.c_str(), arguments.data());
  return refuse({path + ": " + std::strerror(errno), exit_cannot_run});
}

}  // namespace

int run(const std::vector<std::string>& command, const settings& chosen) {
  for (const auto& [name, value] : chosen) setenv(name.c_str(), value.c_str(), 1);
  const char* mode_text = std::getenv("COIR_MODE");
  const thread_mode mode = mode_of(mode_text ? mode_text : "");
  const program found = judge(command.front(), mode);
  if (found.why_not) return refuse(*found.why_not);
  if (mode == thread_mode::off) {
    preload({});
    return become(found.path, command);
  }
  const std::string library = find_preload_library();
  if (library.empty()) {
    return refuse({"libcoir_preload.so is not in ../lib beside this launcher; install coir again",
                   exit_cannot_run});
  }
  if (library.find_first_of(" :") != std::string::npos) {
    return refuse(
        {library + ": LD_PRELOAD cannot hold a path with a space or a colon", exit_cannot_run});
  }
  preload(library);
  return become(found.path, command);
}

}  // namespace coir::launcher
