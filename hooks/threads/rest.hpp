/// Carriers without work or without a token: in the epoll, or on their futex.
#pragma once

#include "hooks/threads/carrier.hpp"

namespace coir::threads {

/// For hubs: returns with a token. A carrier that has lost its own sleeps until somebody needs it.
void rest_while_stuck(carrier& c) noexcept;
/// For hubs: gives the token back and sleeps, in the epoll or on the futex, unless there is work.
void rest(carrier& c) noexcept;

}  // namespace coir::threads
