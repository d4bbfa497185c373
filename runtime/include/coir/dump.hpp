/// What the fibers of a thread are doing.
#pragma once

#include <coir/export.hpp>

#include <iosfwd>
#include <string>

namespace coir {

/// A line for each fiber of the calling thread's worker: name, number, whether it runs, is ready or
/// waits, for what, held by whom, and since when. For people to read; the form may change. Never
/// parks; throws std::bad_alloc.
COIR_API std::string dump();
/// Writes that to `out`.
COIR_API void dump(std::ostream& out);

/// dump() of every worker of the process, each under a line with its thread. Makes the calling
/// thread a worker, and parks until all have answered, for no longer than a second: one that holds
/// its thread for so long is named as such. Throws fiber_exit when the caller is killed meanwhile,
/// std::bad_alloc.
COIR_API std::string dump_all();

}  // namespace coir
