// Name look-ups. libc's resolver runs on a thread for look-ups, off any fiber, while the fiber that
// asked is parked: its own sockets, files and modules then work as always.
//
// The functions without _r return memory that the next call overwrites. Other fibers call in
// between, so the result is made in memory of its own, and becomes the shared one when the fiber
// that asked goes on: it stays until another fiber's look-up returns, which cannot happen before
// this one parks.
#include "runtime/io/resolve.hpp"
#include "hooks/hook.hpp"

#include <cstdlib>
#include <memory>
#include <new>
#include <utility>

using namespace coir;
using namespace coir::hooks;

namespace {

/// h_errno is a thread-local like errno, with the same trap.
[[gnu::noinline]] void set_h_errno(int value) noexcept { h_errno = value; }

/// What gethostbyname points at.
struct host_answer {
  hostent host;
  char text[1];  ///< names and addresses that `host` points at; as long as was needed
};

struct free_memory {
  void operator()(void* memory) const noexcept { std::free(memory); }
};
using answer_memory = std::unique_ptr<host_answer, free_memory>;

constexpr std::size_t text_bytes_first = 1024;  // what glibc starts with; most answers fit
constexpr std::size_t text_bytes_max =
    1024 * 1024;  // an answer has at most 64 KiB; what needs more is a fault

constinit std::atomic<host_answer*> shared_answer{
    nullptr};  // the result of the last look-up; never freed at exit

/// Runs `call` as offloaded() does, but on a thread for look-ups, of which slow name servers may
/// take as many as there are.
template <class Call>
auto looked_up(Call call) noexcept -> offloaded_result<decltype(call())> {
  if (io::threads_of_caller()) return offloaded(call);
  struct job {
    Call& call;
    offloaded_result<decltype(call())> result;
  } work{call, {}};
  auto run = [](void* argument) {
    auto& own = *static_cast<job*>(argument);
    own.result.value = own.call();
    own.result.error = errno;
  };
  if (io::run_look_up(run, &work) < 0) run(&work);  // slower, but right
  return work.result;
}

/// Calls `look_up(host, text, bytes, result, h_error)`, one of the _r functions, with more and more
/// memory until the answer fits. Null memory when there is no answer.
template <class LookUp>
answer_memory look_up_growing(LookUp look_up, int& h_error) noexcept {
  for (std::size_t bytes = text_bytes_first; bytes <= text_bytes_max; bytes *= 2) {
    answer_memory answer(static_cast<host_answer*>(std::malloc(sizeof(host_answer) + bytes)));
    if (!answer) break;
    hostent* found = nullptr;
    const int error = look_up(&answer->host, answer->text, bytes, &found, &h_error);
    if (error == ERANGE) continue;
    return found ? std::move(answer) : nullptr;
  }
  h_error = NETDB_INTERNAL;
  errno = ENOMEM;  // of the offload thread; looked_up() carries it over
  return nullptr;
}

template <class LookUp>
hostent* look_up_host(LookUp look_up) noexcept {
  int h_error = NETDB_SUCCESS;
  const auto [answer, error] =
      looked_up([&] { return look_up_growing(look_up, h_error).release(); });
  if (!answer) {
    set_h_errno(h_error);
    if (h_error == NETDB_INTERNAL) finish(-error);
    return nullptr;
  }
  std::free(shared_answer.exchange(answer, std::memory_order_acq_rel));
  return &answer->host;
}

/// The _r functions return their error; errno is what the look-up left.
int finish_look_up(offloaded_result<int> result) noexcept {
  if (result.value != 0 && result.error != 0) finish(-result.error);
  return result.value;
}

}  // namespace

/// hook: names: libc's own, on a thread for look-ups; a kill ends the wait early
COIR_HOOK int getaddrinfo(const char* node, const char* service, const addrinfo* hints,
                          addrinfo** result) {
  if (!on_fiber(family::dns)) return real::getaddrinfo(node, service, hints, result);
  if (io::threads_of_caller()) {
    return finish_look_up(
        offloaded([&] { return real::getaddrinfo(node, service, hints, result); }));
  }
  int error = 0;
  const int code = io::getaddrinfo(node, service, hints, result, &error, detail::never,
                                   real::getaddrinfo.get(), &::freeaddrinfo);
  if (code == EAI_SYSTEM) finish(-error);
  return code;
}

/// hook: names: libc's own, on a thread for look-ups; a kill waits until it is done
COIR_HOOK int getnameinfo(const sockaddr* address, socklen_t address_size, char* host,
                          socklen_t host_size, char* service, socklen_t service_size, int flags) {
  auto look_up = [&] {
    return real::getnameinfo(address, address_size, host, host_size, service, service_size, flags);
  };
  constexpr int numbers_only = NI_NUMERICHOST | NI_NUMERICSERV;
  if (!on_fiber(family::dns) || (flags & numbers_only) == numbers_only) return look_up();
  return finish_look_up(looked_up(look_up));
}

/// hook: names: as with _r; stays until another fiber's look-up returns
COIR_HOOK hostent* gethostbyname(const char* name) {
  if (!on_fiber(family::dns)) return real::gethostbyname(name);
  return look_up_host([=](auto... out) { return real::gethostbyname_r(name, out...); });
}

/// hook: names: as with _r; stays until another fiber's look-up returns
COIR_HOOK hostent* gethostbyname2(const char* name, int family) {
  if (!on_fiber(family::dns)) return real::gethostbyname2(name, family);
  return look_up_host([=](auto... out) { return real::gethostbyname2_r(name, family, out...); });
}

/// hook: names: as with _r; stays until another fiber's look-up returns
COIR_HOOK hostent* gethostbyaddr(const void* address, socklen_t size, int family) {
  if (!on_fiber(family::dns)) return real::gethostbyaddr(address, size, family);
  return look_up_host(
      [=](auto... out) { return real::gethostbyaddr_r(address, size, family, out...); });
}

/// hook: names: libc's own, on a thread for look-ups; a kill waits until it is done
COIR_HOOK int gethostbyname_r(const char* name, hostent* host, char* text, size_t bytes,
                              hostent** result, int* h_error) {
  auto look_up = [&] { return real::gethostbyname_r(name, host, text, bytes, result, h_error); };
  return on_fiber(family::dns) ? finish_look_up(looked_up(look_up)) : look_up();
}

/// hook: names: libc's own, on a thread for look-ups; a kill waits until it is done
COIR_HOOK int gethostbyname2_r(const char* name, int family, hostent* host, char* text,
                               size_t bytes, hostent** result, int* h_error) {
  auto look_up = [&] {
    return real::gethostbyname2_r(name, family, host, text, bytes, result, h_error);
  };
  return on_fiber(family::dns) ? finish_look_up(looked_up(look_up)) : look_up();
}

/// hook: names: libc's own, on a thread for look-ups; a kill waits until it is done
COIR_HOOK int gethostbyaddr_r(const void* address, socklen_t size, int family, hostent* host,
                              char* text, size_t bytes, hostent** result, int* h_error) {
  auto look_up = [&] {
    return real::gethostbyaddr_r(address, size, family, host, text, bytes, result, h_error);
  };
  return on_fiber(family::dns) ? finish_look_up(looked_up(look_up)) : look_up();
}
