/// What the command lines of the examples have in common: their options, --help, and errors that
/// become an exit status.
#pragma once

#include <charconv>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <exception>
#include <functional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <getopt.h>

namespace example {

/// A command line that makes no sense; what() says why.
struct usage_error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// The user wants to read the usage.
struct help_wanted {};

/// The whole number in `text`, which must lie between `low` and `high`. `option` is its name in the
/// usage_error that is thrown otherwise.
inline long number(std::string_view option, std::string_view text, long low, long high) {
  long value = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || stop != end || value < low || value > high) {
    throw usage_error(std::string(option) + " must be a number from " + std::to_string(low) +
                      " to " + std::to_string(high) + ", not '" + std::string(text) + "'");
  }
  return value;
}

/// The time in `text`, seconds with a fraction ("2.5"), of at most a day. `option` is its name in
/// the usage_error that is thrown otherwise.
inline std::chrono::milliseconds seconds(std::string_view option, std::string_view text) {
  constexpr double longest = 86400;
  double value = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || stop != end || !(value >= 0) || value > longest) {
    throw usage_error(std::string(option) + " must be a time in seconds, not '" +
                      std::string(text) + "'");
  }
  return std::chrono::milliseconds(std::llround(value * 1000));
}

/// The options that a program knows, each with the variable that gets its value; what is not on
/// the command line leaves its variable as it is.
///
///     example::command_line line;
///     line.number("port", port, 0, 65535).flag("quiet", is_quiet).parse(argc, argv);
class command_line {
 public:
  /// `--NAME N`, from `low` to `high`.
  template <class Number>
  command_line& number(const char* name, Number& into, long low, long high) {
    return value(name, [=, &into](const std::string& option, std::string_view text) {
      into = static_cast<Number>(example::number(option, text, low, high));
    });
  }
  /// `--NAME SECONDS`, with a fraction.
  command_line& seconds(const char* name, std::chrono::milliseconds& into) {
    return value(name, [&into](const std::string& option, std::string_view text) {
      into = example::seconds(option, text);
    });
  }
  /// `--NAME TEXT`, into a string, an optional one, or a path.
  template <class Text>
  command_line& text(const char* name, Text& into) {
    return value(
        name, [&into](const std::string&, std::string_view given) { into = std::string(given); });
  }
  /// `--NAME TEXT`, any number of times.
  command_line& texts(const char* name, std::vector<std::string>& into) {
    return value(name,
                 [&into](const std::string&, std::string_view given) { into.emplace_back(given); });
  }
  /// `--NAME`.
  command_line& flag(const char* name, bool& into) {
    known_.push_back({name, false, [&into](const std::string&, std::string_view) { into = true; }});
    return *this;
  }

  /// Sets the variables, and returns the arguments that are no options. Throws usage_error for what
  /// makes no sense, and help_wanted for --help and -h.
  std::vector<std::string> arguments(int argc, char** argv) const {
    std::vector<option> table;
    for (const entry& each : known_) table.push_back({each.name, each.takes_value, nullptr, 0});
    table.push_back({"help", no_argument, nullptr, 'h'});
    table.push_back({});
    int index = 0;
    for (int c; (c = getopt_long(argc, argv, "h", table.data(), &index)) != -1;) {
      if (c == 'h') throw help_wanted();
      if (c != 0) throw usage_error("");  // getopt_long has said what it is
      const entry& found = known_[static_cast<std::size_t>(index)];
      found.take(std::string("--") + found.name, optarg ? optarg : "");
    }
    return {argv + optind, argv + argc};
  }

  /// The same where there may be options only.
  void parse(int argc, char** argv) const {
    if (!arguments(argc, argv).empty()) throw usage_error("too many arguments");
  }

 private:
  using taker = std::function<void(const std::string& option, std::string_view text)>;
  struct entry {
    const char* name;
    bool takes_value;
    taker take;
  };

  command_line& value(const char* name, taker take) {
    known_.push_back({name, true, std::move(take)});
    return *this;
  }

  std::vector<entry> known_;
};

/// Prints the usage for --help; returns the exit status.
inline int show_help(const char* usage) { return std::fputs(usage, stdout) < 0 ? 1 : 0; }

/// Calls `body()`, the program proper, which returns the exit status. help_wanted shows the usage.
/// An exception becomes a line on stderr and status 1; a usage_error also shows the usage and is
/// status 2.
template <class Body>
int run_main(const char* program, const char* usage, Body body) {
  try {
    return body();
  } catch (const help_wanted&) {
    return show_help(usage);
  } catch (const usage_error& error) {
    if (*error.what() != '\0') std::fprintf(stderr, "%s: %s\n", program, error.what());
    std::fputs(usage, stderr);
    return 2;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s: %s\n", program, error.what());
    return 1;
  }
}

}  // namespace example
