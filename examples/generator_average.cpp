// The running average of numbers, kept by a generator that takes each number and hands out the
// average so far: Python's classic of a coroutine that is sent values.
//
// What the average needs to remember are plain local variables of the generator's body. It stands
// at its yield between two numbers, and its stack is unwound when there are no more.

#include "common/command_line.hpp"

#include <coir/coir.hpp>

#include <charconv>
#include <cstdio>
#include <iostream>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>

#include <getopt.h>

namespace {

constexpr char usage[] =
    "usage: generator_average [--reset-below NUMBER] [--] [NUMBER...]\n"
    "Prints the average so far after each NUMBER; without any, reads one from each line of the\n"
    "standard input. A number below the limit makes the average begin anew with the next one.\n";

/// To be thrown into an averager: forget all numbers.
struct begin_anew {};

/// Takes numbers by send() and hands out the average so far, 0 before the first one.
coir::generator<double, double> averager() {
  return coir::generator<double, double>([](auto& yield) {
    double sum = 0;
    long count = 0;
    for (;;) {
      try {
        sum += yield(count > 0 ? sum / static_cast<double>(count) : 0.0);
        ++count;
      } catch (const begin_anew&) {
        sum = 0;
        count = 0;
      }
    }
  });
}

double to_number(std::string_view text) {
  double value = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || stop != end)
    throw std::invalid_argument("not a number: '" + std::string(text) + "'");
  return value;
}

struct options {
  std::optional<double> reset_below;
  int first = 0;  ///< of the arguments: the place of the first number
  bool is_help = false;
};

options parse(int argc, char** argv) {
  static const option known[] = {
      {"reset-below", required_argument, nullptr, 'r'}, {"help", no_argument, nullptr, 'h'}, {}};
  options result;
  for (int c; (c = getopt_long(argc, argv, "+h", known, nullptr)) != -1;) {
    if (c == 'r') {
      result.reset_below = to_number(optarg);
    } else if (c == 'h') {
      result.is_help = true;
    } else {
      throw example::usage_error("");
    }
  }
  result.first = optind;
  return result;
}

/// The program's numbers, one after the other: the arguments, or the lines of the standard input.
coir::generator<double> numbers(int count, char** arguments) {
  return coir::generator<double>([=](auto& yield) {
    for (int i = 0; i < count; ++i) yield(to_number(arguments[i]));
    if (count > 0) return;
    for (std::string line; std::getline(std::cin, line);) {
      if (!line.empty()) yield(to_number(line));
    }
    if (std::cin.bad()) throw std::runtime_error("cannot read the standard input");
  });
}

int run(const options& how, coir::generator<double> input) {
  coir::generator<double, double> average = averager();
  average.next();  // to its first yield, where it can be sent numbers
  for (const double number : input) {
    if (how.reset_below && number < *how.reset_below) {
      average.throw_in(std::make_exception_ptr(begin_anew()));
      std::puts("begin anew");
    } else {
      std::printf("%g\n", *average.send(number));
    }
  }
  return std::fflush(stdout) == 0 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  return example::run_main("generator_average", usage, [&] {
    const options how = parse(argc, argv);
    if (how.is_help) return example::show_help(usage);
    return run(how, numbers(argc - how.first, argv + how.first));
  });
}
