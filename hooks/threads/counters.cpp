#include "hooks/threads/counters.hpp"

namespace coir::threads {

constinit wiped<counters_state> counters{};

bool start_counting() noexcept { return counters.wipe_on_fork(); }

}  // namespace coir::threads
