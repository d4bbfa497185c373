#include <coir/blocking.hpp>

namespace coir {
namespace {

std::string milliseconds(std::chrono::nanoseconds length) {
  return std::to_string(length.count() / 1'000'000) + " ms";
}

std::string several(std::uint64_t count, const char* one, const char* more) {
  return std::to_string(count) + ' ' + (count == 1 ? one : more);
}

std::string who(const blocked_fiber& b) {
  if (b.is_loop) return "the loop of worker";
  if (b.name.empty()) return "a fiber has held worker";
  return "fiber \"" + b.name + "\" (#" + std::to_string(b.id) + ") has held worker";
}

std::string who_suffers(const blocked_fiber& b) {
  std::string text;
  if (b.fibers_behind > 0)
    text += several(b.fibers_behind, "other fiber waits", "other fibers wait");
  if (b.fibers_behind > 0 && b.fibers_waiting > 0) text += ", and ";
  if (b.fibers_waiting > 0)
    text += several(b.fibers_waiting, "that has not begun", "that have not begun");
  return text;
}

}  // namespace

std::string blocked_fiber::text() const {
  std::string text = who(*this) + ' ' + worker + " (thread " + std::to_string(thread_id) + ')';
  text += (is_loop ? " has not come back for " : " for ") + milliseconds(held);
  text += "; behind it: " + who_suffers(*this) + '\n';
  text += "  it is " + activity + '\n';
  if (!spawned_at.empty()) text += "  spawned at " + spawned_at + '\n';
  if (stack.empty()) return text + "  no stack: " + no_stack_because + '\n';
  text += "  stack:\n";
  for (const std::string& frame : stack) text += "    " + frame + '\n';
  return text;
}

}  // namespace coir
