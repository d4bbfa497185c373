/// The edge of the runtime's cooperative calls, as net calls it.
#pragma once

#include "runtime/io/edge.hpp"

namespace coir::net::detail {

using coir::detail::code_of;
using coir::detail::ensure_worker;
using coir::detail::finish;
using coir::detail::throw_error;

}  // namespace coir::net::detail
