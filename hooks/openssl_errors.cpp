// OpenSSL's queue of errors, which it keeps for the thread. A fiber that parks in a hooked call,
// maybe inside SSL_read, takes its own errors along.
//
// OpenSSL 3 or later, where the program is linked with it, itself or through a library. The names
// are weak: without OpenSSL they are null, and nothing is done. Not reached: an OpenSSL that is
// linked statically, or loaded by dlopen.
//
// Rejected: to give each fiber a value of its own for the key under which OpenSSL finds its queue,
// by hooks of pthread_getspecific and pthread_setspecific. Allocators call those before anything
// else is there; OpenSSL's other keys, such as its random generators, are better shared; and it
// frees a queue only at the end of a thread.
#include "runtime/io/library_state.hpp"

#include <memory>
#include <new>
#include <string>
#include <vector>

#include <openssl/err.h>

#pragma weak ERR_clear_error
#pragma weak ERR_get_error_all
#pragma weak ERR_new
#pragma weak ERR_peek_error
#pragma weak ERR_set_debug
#pragma weak ERR_set_error

namespace coir::hooks {
namespace {

struct noted_error {
  unsigned long code;
  int flags;
  std::string file;
  int line;
  std::string function;
  std::string text;
};

using noted_errors = std::vector<noted_error>;  // the oldest first

std::string text_of(const char* text) { return text ? text : ""; }

/// Marks (ERR_set_mark) are lost. OpenSSL sets them around look-ups, in which nothing waits.
class openssl_errors final : public io::library_state {
 public:
  void* take() noexcept override {
    if (ERR_peek_error() == 0) return nullptr;
    try {
      auto all = std::make_unique<noted_errors>();
      noted_error next;
      const char* file = nullptr;
      const char* function = nullptr;
      const char* text = nullptr;
      while ((next.code = ERR_get_error_all(&file, &next.line, &function, &text, &next.flags))) {
        next.file = text_of(file);
        next.function = text_of(function);
        next.text = text_of(text);
        all->push_back(next);
      }
      return all.release();
    } catch (const std::bad_alloc&) {
      return nullptr;  // none is better than another fiber's
    }
  }

  void give_back(void* taken) noexcept override {
    if (ERR_peek_error() != 0) ERR_clear_error();
    const std::unique_ptr<noted_errors> all(static_cast<noted_errors*>(taken));
    if (!all) return;
    for (const noted_error& each : *all) {
      ERR_new();
      ERR_set_debug(each.file.c_str(), each.line, each.function.c_str());
      const bool has_text = (each.flags & ERR_TXT_STRING) != 0;
      ERR_set_error(ERR_GET_LIB(each.code), ERR_GET_REASON(each.code), has_text ? "%s" : nullptr,
                    each.text.c_str());
    }
  }
};

[[gnu::constructor]] void look_after_openssl() noexcept {
  if (!ERR_clear_error || !ERR_get_error_all || !ERR_new || !ERR_peek_error || !ERR_set_debug ||
      !ERR_set_error) {
    return;
  }
  // Never destroyed: fibers park to the end of the process.
  alignas(openssl_errors) static unsigned char place[sizeof(openssl_errors)];
  io::use_library_state(*new (place) openssl_errors);
}

}  // namespace
}  // namespace coir::hooks
