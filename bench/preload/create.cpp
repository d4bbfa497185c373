// What does it cost to make a std::thread that does next to nothing, and to join it?
//
//   create N: makes and joins N threads, one after the other; prints the nanoseconds for each.

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <thread>

int main(int argc, char** argv) {
  const long count = argc > 1 ? std::atol(argv[1]) : 100'000;
  long sum = 0;
  const auto begun = std::chrono::steady_clock::now();
  for (long i = 0; i < count; ++i) std::thread([&sum] { ++sum; }).join();
  const std::chrono::duration<double, std::nano> took = std::chrono::steady_clock::now() - begun;
  if (sum != count) return 1;
  std::printf("%.1f\n", took.count() / static_cast<double>(count));
}
