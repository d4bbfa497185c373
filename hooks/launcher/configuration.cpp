#include "hooks/launcher/configuration.hpp"

#include <cstdlib>
#include <iomanip>

namespace coir::launcher {
namespace {

struct variable {
  const char* name;
  const char* default_value;
  const char* meaning;
};

constexpr variable variables[] = {
    {"COIR_BACKEND", "uring, else epoll", "how fibers wait for I/O: uring or epoll"},
    {"COIR_STACK", "262144", "bytes of a fiber's stack; touched pages are what counts"},
    {"COIR_SPIN_US", "0", "microseconds to spin before an idle worker sleeps"},
    {"COIR_OFFLOAD_THREADS", "8", "threads for blocking work: name look-ups, offload()"},
};

}  // namespace

void print_configuration(std::ostream& out) {
  auto print = [&](const char* name, const char* value, const char* source, const char* meaning) {
    out << std::left << std::setw(22) << name << std::setw(19) << value << std::setw(13) << source
        << meaning << '\n';
  };
  print("variable", "value", "from", "meaning");
  for (const variable& v : variables) {
    const char* given = std::getenv(v.name);
    print(v.name, given ? given : v.default_value, given ? "environment" : "default", v.meaning);
  }
}

}  // namespace coir::launcher
