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

}  // namespace coir
