#include "hooks/launcher/variables.hpp"

#include <algorithm>
#include <charconv>
#include <system_error>

#include <arpa/inet.h>
#include <netinet/in.h>

namespace coir::launcher {
namespace {

// The limits are those of the code that reads the variable: what it would not take, the launcher
// does not pass on.
template <unsigned long long Min, unsigned long long Max>
bool is_number(std::string_view text) {
  unsigned long long number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size() && number >= Min && number <= Max;
}

bool is_backend(std::string_view text) {
  return text == "uring" || text == "io_uring" || text == "epoll";
}

bool is_resolver(std::string_view text) { return text == "thread" || text == "ares"; }

/// "127.0.0.1", "127.0.0.1:53", "::1" or "[::1]:53".
bool is_name_server(std::string_view text) {
  const bool has_brackets = text.starts_with('[');
  const std::size_t end = has_brackets ? text.find(']') : text.rfind(':');
  const bool is_ipv6 = has_brackets || (end != text.npos && text.find(':') != end);
  std::string host(text);
  if (has_brackets && end == text.npos) return false;
  if (has_brackets || (!is_ipv6 && end != text.npos)) {
    host = text.substr(has_brackets, end - has_brackets);
    const std::string_view rest = text.substr(has_brackets ? end + 1 : end);
    if (!rest.empty() && (rest[0] != ':' || !is_number<1, 65535>(rest.substr(1)))) return false;
  }
  unsigned char binary[sizeof(in6_addr)];
  return inet_pton(is_ipv6 ? AF_INET6 : AF_INET, host.c_str(), binary) == 1;
}

bool is_name_server_list(std::string_view text) {
  for (int count = 1; count <= 8; ++count) {
    const std::size_t comma = text.find(',');
    if (!is_name_server(text.substr(0, comma))) return false;
    if (comma == text.npos) return true;
    text.remove_prefix(comma + 1);
  }
  return false;
}

bool is_clock(std::string_view text) { return text == "real" || text == "virtual"; }

bool is_mode(std::string_view text) { return text == "fiber" || text == "thread" || text == "off"; }

bool is_anything(std::string_view) { return true; }

constexpr std::string_view families[] = {"thread",  "sync",   "io",    "file", "dns",
                                         "process", "signal", "stdio", "aio"};

bool is_family_list(std::string_view text) {
  while (!text.empty()) {
    const std::size_t comma = text.find(',');
    const std::string_view word = text.substr(0, comma);
    if (!word.starts_with('-') || std::ranges::count(families, word.substr(1)) == 0) return false;
    if (comma == text.npos) return true;
    text.remove_prefix(comma + 1);
  }
  return false;  // a comma at the end
}

constexpr variable variables[] = {
    {"COIR_WORKERS", "processors", "a number from 1 to 1024", is_number<1, 1024>,
     "how many fibers run at once (coir run), or workers a set has"},
    {"COIR_MODE", "fiber", "fiber, thread or off", is_mode,
     "what a preloaded program's threads become: fiber, thread or off"},
    {"COIR_HOOKS", "all",
     "a list like -dns,-file of thread sync io file dns process signal stdio aio", is_family_list,
     "families of hooks that are switched off, as -dns,-file"},
    {"COIR_REPORT", "no", "1 or the name of a file", is_anything,
     "at the end, report what became cooperative: 1 for stderr, or a file"},
    {"COIR_KERNEL_THREADS", "512", "a number from 2 to 4000", is_number<2, 4000>,
     "how many spare kernel threads calls that block may take"},
    {"COIR_MONITOR_US", "2000", "a number from 100 to 1000000", is_number<100, 1'000'000>,
     "microseconds between the monitor's looks at busy kernel threads"},
    {"COIR_BACKEND", "uring, else epoll", "uring or epoll", is_backend,
     "how fibers wait for I/O: uring or epoll"},
    {"COIR_STACK", "262144", "a number of bytes from 16384 to 4294967296",
     is_number<16384, 4294967296>, "bytes of a fiber's stack; touched pages are what counts"},
    {"COIR_SPIN_US", "while it pays", "a number from 0 to 1000", is_number<0, 1000>,
     "microseconds to spin before an idle worker sleeps"},
    {"COIR_MAX_BLOCKING_MS", "off", "a number from 0 to 86400000", is_number<0, 86'400'000>,
     "milliseconds that a fiber may hold its worker before that is reported"},
    {"COIR_OFFLOAD_THREADS", "8", "a number from 1 to 1024", is_number<1, 1024>,
     "threads for blocking work: offload(), files without io_uring"},
    {"COIR_RESOLVER", "thread", "thread or ares", is_resolver,
     "who looks up names for net: getaddrinfo on a thread, or c-ares on the fiber itself"},
    {"COIR_RESOLVER_THREADS", "8", "a number from 1 to 1024", is_number<1, 1024>,
     "threads for name look-ups"},
    {"COIR_NAME_SERVERS", "of /etc/resolv.conf",
     "a list of at most 8 like 127.0.0.1:5353,[::1]:53,10.0.0.1", is_name_server_list,
     "name servers that COIR_RESOLVER=ares asks"},
    {"COIR_SEED", "none", "a number", is_number<0, ~0ULL>,
     "replay: pick the schedule of the program's coir workers by this seed"},
    {"COIR_CLOCK", "real", "real or virtual", is_clock,
     "the clock of a replay: real, or virtual, which jumps to the next deadline"},
};

}  // namespace

std::span<const variable> all_variables() noexcept { return variables; }

const variable* find_variable(std::string_view name) noexcept {
  for (const variable& v : variables) {
    if (v.name == name) return &v;
  }
  return nullptr;
}

std::string fault_of(std::string_view name, std::string_view value) {
  const variable* known = find_variable(name);
  if (!known) return std::string(name) + " is set, and coir reads no variable of that name";
  if (value.empty() || known->is_valid(value)) return {};
  return std::string(name) + " is " + std::string(value) + "; it must be " + known->allowed;
}

thread_mode mode_of(std::string_view value) noexcept {
  if (value == "off") return thread_mode::off;
  return value == "thread" ? thread_mode::thread : thread_mode::fiber;
}

std::span<const std::string_view> switchable_families() noexcept { return families; }

}  // namespace coir::launcher
