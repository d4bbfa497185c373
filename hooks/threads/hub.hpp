/// A carrier's own context, which looks for fibers and runs them.
#pragma once

namespace coir::threads {

/// What a hub does for ever.
[[noreturn]] void run_hub() noexcept;

}  // namespace coir::threads
