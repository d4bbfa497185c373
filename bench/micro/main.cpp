// Runs the benchmarks; each file beside this one asks one question.

#include <benchmark/benchmark.h>
#include <coir/coir.hpp>

#include <cstdio>
#include <system_error>

namespace {

constexpr int exit_unavailable = 77;  // the backend that COIR_BACKEND asks for cannot be had here

}  // namespace

int main(int argc, char** argv) {
  try {
    benchmark::AddCustomContext("coir backend", coir::backend());
  } catch (const std::system_error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return exit_unavailable;
  }
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  benchmark::RunSpecifiedBenchmarks();
}
