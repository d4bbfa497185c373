// The program takes the launcher's place (exec), so that its exit status, its signals and its
// process number are its own.
#include "hooks/launcher/run.hpp"

#include "hooks/launcher/program.hpp"

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <iostream>

#include <unistd.h>

namespace coir::launcher {
namespace {

namespace fs = std::filesystem;

int refuse(const refusal& why) {
  std::cerr << "coir run: " << why.reason << '\n';
  return why.exit_status;
}

/// The preload library: beside the launcher's folder, in the build tree as where it was installed.
/// Empty when missing.
fs::path find_library() {
  std::error_code error;
  const fs::path own = fs::read_symlink("/proc/self/exe", error);
  for (const char* folder : {"lib", COIR_LIBRARY_DIRECTORY}) {
    const fs::path library = (own.parent_path().parent_path() / folder / "libcoir_preload.so");
    if (fs::exists(library, error)) return library;
  }
  return {};
}

/// Puts `library` in front of what LD_PRELOAD has already.
void preload(const std::string& library) {
  const char* others = std::getenv("LD_PRELOAD");
  const bool is_alone = !others || !*others;
  setenv("LD_PRELOAD", (is_alone ? library : library + ":" + others).c_str(), 1);
}

int become(const std::string& path, const std::vector<std::string>& command) {
  std::vector<char*> arguments;
  for (const std::string& word : command) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  execv(path.c_str(), arguments.data());
  return refuse({path + ": " + std::strerror(errno), exit_cannot_run});
}

}  // namespace

int run(const std::vector<std::string>& command, const std::string& backend) {
  const std::string path = find_program(command.front());
  if (path.empty()) return refuse({command.front() + ": there is no such program", exit_not_found});
  if (const auto why = find_refusal(path)) return refuse(*why);
  const std::string library = find_library();
  if (library.empty()) {
    return refuse({"libcoir_preload.so is not in ../lib beside this launcher; install coir again",
                   exit_cannot_run});
  }
  if (library.find_first_of(" :") != std::string::npos) {
    return refuse(
        {library + ": LD_PRELOAD cannot hold a path with a space or a colon", exit_cannot_run});
  }
  preload(library);
  if (!backend.empty()) setenv("COIR_BACKEND", backend.c_str(), 1);
  return become(path, command);
}

}  // namespace coir::launcher
