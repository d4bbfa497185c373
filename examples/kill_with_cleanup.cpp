// What a fiber may do about its kill: destructors run as for any exception, a handler may say
// good-bye, and what must not be cut short is guarded.

#include "common/command_line.hpp"

#include <coir/coir.hpp>

#include <chrono>
#include <cstdio>
#include <stdexcept>
#include <string_view>

namespace {

using namespace std::chrono_literals;

constexpr char usage[] =
    "usage: kill_with_cleanup\n"
    "Kills five fibers, each of which does something else about it.\n";

/// Prints its name when it goes, however that comes.
class resource {
 public:
  explicit resource(const char* name) : name_(name) {}
  resource(const resource&) = delete;
  resource& operator=(const resource&) = delete;
  ~resource() { std::printf("  %s is released\n", name_); }

 private:
  const char* name_;
};

void work() {
  const resource file("the file");
  const resource lock("the lock");
  coir::sleep(1h);
  std::printf("  this is never printed\n");
}

/// A kill is no std::exception: a handler for ordinary errors lets it pass.
void say_goodbye() {
  try {
    coir::sleep(1h);
  } catch (const std::exception&) {
    std::printf("  this is never printed\n");
  } catch (const coir::fiber_exit&) {
    std::printf("  said good-bye\n");
    throw;
  }
}

/// Its kill waits for the guard to go.
void commit() {
  {
    const coir::this_fiber::no_kill guard;
    std::printf("  writing\n");
    coir::sleep(20ms);
    std::printf("  written\n");
  }
  coir::sleep(1h);
}

/// One that swallows its kill lives on, which is seldom wise.
const char* ignore_it() {
  try {
    coir::sleep(1h);
  } catch (const coir::fiber_exit&) {
    coir::sleep(10ms);
  }
  return "went on regardless";
}

/// Kills `f` once it works, and says what has come of it.
template <class T>
void kill(const char* what, const coir::fiber<T>& f) {
  std::printf("%s:\n", what);
  coir::yield();
  f.kill();
  std::printf("  ended %s\n", f.successful() ? "well" : "with an error");
}

int run() {
  kill("one with resources", coir::spawn(work));
  kill("one with a handler", coir::spawn(say_goodbye));
  kill("one that must not be cut short", coir::spawn(commit));
  coir::fiber<const char*> stubborn = coir::spawn(ignore_it);
  kill("one that ignores it", stubborn);
  std::printf("  %s\n", stubborn.get());

  std::printf("one that is told why:\n");
  coir::fiber<> told = coir::spawn({.name = "told"}, [] { coir::sleep(1h); });
  coir::yield();
  told.kill(std::make_exception_ptr(std::runtime_error("the server goes down")));
  try {
    told.get();
  } catch (const std::runtime_error& error) {
    std::printf("  %s\n", error.what());
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  return example::run_main("kill_with_cleanup", usage, [&] {
    if (argc == 2 && std::string_view(argv[1]) == "--help") return example::show_help(usage);
    if (argc > 1) throw example::usage_error("there are no arguments");
    return run();
  });
}
