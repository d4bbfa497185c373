#include <coir/exceptions.hpp>

namespace coir {

timeout::~timeout() = default;
deadlock::~deadlock() = default;

const char* timeout::what() const noexcept { return "timed out"; }

pool_full::~pool_full() = default;

const char* pool_full::what() const noexcept { return "pool full"; }

}  // namespace coir
