// Who cooperates. The open `off` scopes of a thread form one list, in which each carries its
// fiber's number: fibers of one worker interleave, so the scopes do not close in the order in which
// they opened. The list is empty nearly always.
#include "hooks/hook.hpp"
#include "runtime/io/io.hpp"

#include <coir/fiber.hpp>
#include <coir/hooks.hpp>

namespace coir::hooks {

/// The list of this thread. Its members are not inlined where a fiber might park in between
/// (thread-locals move).
class off_scopes {
 public:
  [[gnu::noinline]] static bool is_empty() noexcept { return first_ == nullptr; }

  [[gnu::noinline]] static void add(off& scope) noexcept {
    scope.next_ = first_;
    first_ = &scope;
  }

  [[gnu::noinline]] static void remove(off& scope) noexcept {
    off** link = &first_;
    while (*link != &scope) link = &(*link)->next_;
    *link = scope.next_;
  }

  [[gnu::noinline]] static bool has(std::uint64_t fiber) noexcept {
    const off* scope = first_;
    while (scope && scope->fiber_ != fiber) scope = scope->next_;
    return scope != nullptr;
  }

 private:
  static thread_local constinit off* first_;
};

thread_local constinit off* off_scopes::first_ = nullptr;

off::off() noexcept {
  if (!io::on_worker()) return;
  is_open_ = true;
  fiber_ = this_fiber::id();
  off_scopes::add(*this);
}

off::~off() {
  if (is_open_) off_scopes::remove(*this);
}

bool on_fiber(family f) noexcept {
  if (is_off(f)) return false;
  if (!io::on_worker()) return io::threads_of_caller() != nullptr;
  return off_scopes::is_empty() || !off_scopes::has(this_fiber::id());
}

bool on_fiber_or_cancelled(family f) {
  if (is_off(f)) return false;
  if (io::thread_scheduler* const threads = io::threads_of_caller()) {
    threads->test_cancel();
    return true;
  }
  return on_fiber(f);
}

}  // namespace coir::hooks
