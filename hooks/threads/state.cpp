#include "hooks/threads/state.hpp"

namespace coir::threads {

constinit wiped<scheduler_state> sched{};
constinit thread_fiber main_thread{};
__thread per_thread here __attribute__((tls_model("initial-exec"), visibility("hidden")));

}  // namespace coir::threads
