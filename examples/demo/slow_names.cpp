// A getaddrinfo that is slow: what the demo preloads where it may not set up a slow name server.
//
// Each name that ends in .demo.test is 127.0.0.1, told after COIR_DEMO_DELAY_MS; the names that
// were asked for are appended to the file COIR_DEMO_NAMES. Everything else goes to libc. The call
// blocks its thread meanwhile, as a real look-up does.

#include <cstdlib>
#include <string>
#include <string_view>

#include <dlfcn.h>
#include <fcntl.h>
#include <netdb.h>
#include <time.h>
#include <unistd.h>

namespace {

constexpr std::string_view our_domain = ".demo.test";

void write_down(std::string_view name) {
  const char* const path = std::getenv("COIR_DEMO_NAMES");
  const int file = path ? open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600) : -1;
  if (file < 0) return;  // the demo then misses the name, and says so
  const std::string line = std::string(name) + "\n";
  (void)!write(file, line.data(), line.size());
  close(file);
}

void take_long() {
  const char* const text = std::getenv("COIR_DEMO_DELAY_MS");
  const long delay_ms = text ? std::atol(text) : 0;
  const timespec length{delay_ms / 1000, delay_ms % 1000 * 1'000'000};
  nanosleep(&length, nullptr);
}

}  // namespace

extern "C" __attribute__((visibility("default"))) int getaddrinfo(const char* node,
                                                                  const char* service,
                                                                  const addrinfo* hints,
                                                                  addrinfo** result) {
  static const auto next =
      reinterpret_cast<decltype(&getaddrinfo)>(dlsym(RTLD_NEXT, "getaddrinfo"));
  if (!node || !std::string_view(node).ends_with(our_domain)) {
    return next(node, service, hints, result);
  }
  write_down(node);
  take_long();
  return next("127.0.0.1", service, hints, result);
}
