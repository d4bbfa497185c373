// A nursery: three fibers fetch parts of one page, and the first that fails ends the others.
//
// The scope waits for its fibers at its end. With kill_others a failure kills the siblings, which
// clean up while they are unwound, reaches the code that waits for them, and leaves the scope when
// all have ended: nothing runs on behind the back of whoever called.

#include "common/command_line.hpp"

#include <coir/coir.hpp>

#include <chrono>
#include <cstdio>
#include <stdexcept>
#include <string>

namespace {

using namespace std::chrono_literals;
using std::chrono::milliseconds;

constexpr char usage[] =
    "usage: nursery [--fail NAME] [--ignore]\n"
    "Fetches the parts head, body and foot of a page at the same time, which take 0.02, 0.2 and\n"
    "0.1 s. NAME is the one that fails at its end. The others are then killed and clean up; with\n"
    "--ignore they go on, and the page is shown without the part that failed.\n";

struct options {
  std::string failing;
  bool ignores_failures = false;
};

options parse(int argc, char** argv) {
  options result;
  example::command_line line;
  line.text("fail", result.failing).flag("ignore", result.ignores_failures).parse(argc, argv);
  const std::string& name = result.failing;
  if (!name.empty() && name != "head" && name != "body" && name != "foot")
    throw example::usage_error("--fail must be head, body or foot, not '" + name + "'");
  return result;
}

/// A connection that has to be closed, however the fetch ends.
class connection {
 public:
  explicit connection(std::string name) : name_(std::move(name)) {
    std::printf("%s: connected\n", name_.c_str());
  }
  connection(const connection&) = delete;
  connection& operator=(const connection&) = delete;
  ~connection() { std::printf("%s: closed\n", name_.c_str()); }

 private:
  std::string name_;
};

std::string fetch(const std::string& name, milliseconds length, const options& how) {
  const connection to_server(name);
  coir::sleep(length);
  if (name == how.failing) throw std::runtime_error(name + " cannot be found");
  std::printf("%s: fetched\n", name.c_str());
  return name + " of the page";
}

/// The part, or why there is none.
std::string text_of(coir::fiber<std::string>& part) {
  try {
    return part.get();
  } catch (const std::runtime_error& error) {
    return std::string("(") + error.what() + ")";
  }
}

void show_page(coir::scope& s, const options& how) {
  auto head = s.spawn({.name = "head"}, fetch, "head", 20ms, how);
  auto body = s.spawn({.name = "body"}, fetch, "body", 200ms, how);
  auto foot = s.spawn({.name = "foot"}, fetch, "foot", 100ms, how);
  s.join();  // throws the first failure, unless failures are ignored
  for (auto* part : {&head, &body, &foot}) std::printf("%s\n", text_of(*part).c_str());
}

int run(const options& how) {
  const auto policy =
      how.ignores_failures ? coir::on_failure::ignore : coir::on_failure::kill_others;
  try {
    coir::with_scope(policy, [&](coir::scope& s) { show_page(s, how); });
    return 0;
  } catch (const std::runtime_error& error) {
    std::printf("no page: %s\n", error.what());
    return 1;
  }
}

}  // namespace

int main(int argc, char** argv) {
  return example::run_main("nursery", usage, [&] { return run(parse(argc, argv)); });
}
