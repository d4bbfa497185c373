#include <coir/exceptions.hpp>

namespace coir {

timeout::~timeout() = default;
deadlock::~deadlock() = default;

const char* timeout::what() const noexcept { return "timed out"; }

}  // namespace coir
