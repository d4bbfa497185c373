/// Tokens: who runs, and who is brought in when there is work.
///
/// A carrier without work either polls (one of them) or sleeps on its futex. Whoever queues a
/// fiber while a token is free sets is_waking and brings one carrier: an idle one, else the
/// poller, else a new one. That carrier clears is_waking when it has taken a fiber and brings the
/// next if there is more.
#pragma once

#include "hooks/threads/carrier.hpp"
#include "hooks/threads/state.hpp"

#include <cstdint>

namespace coir::threads {

inline bool holds_token(const carrier& c) noexcept {
  return c.state.load(std::memory_order_relaxed) == carrier_state::running;
}

/// Brings a carrier to the ready fibers when a token is free.
void bring_runner() noexcept;
/// A hub has taken a fiber: lets others be brought again.
void found_work() noexcept;

/// The carrier of the caller goes on without a token; its queue goes to all.
void give_token(carrier& c) noexcept;
/// A fiber that has been caught holding its carrier is likely to do so again.
void give_token_if_hog(thread_fiber& self) noexcept;
/// False when all are taken.
bool get_token(carrier& c) noexcept;
/// Takes the token of `c`, whose switch counter must still be `switches`; true when it did.
bool take_token_from(carrier& c, std::uint64_t switches, std::uint16_t hog_rounds) noexcept;

// For carriers that go to rest or come back. The caller holds state_lock.

bool is_token_free() noexcept;
void become_running(carrier& c) noexcept;
/// Gives the token back.
void become(carrier& c, carrier_state other) noexcept;
/// Puts it into the list of those that bring_runner() wakes.
void put_idle(carrier& c) noexcept;
/// Fibers in the queue of a carrier without a token would wait for ever.
void empty_queue(carrier& c) noexcept;

}  // namespace coir::threads
