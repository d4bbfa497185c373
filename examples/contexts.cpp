// Two contexts that switch values to and fro: one takes a sum apart, the other adds it up.
//
// A context runs only when somebody switches to it. There is no scheduler in between: each switch
// hands a word over and comes back with the answer, as greenlets do in Python.

#include "common/command_line.hpp"

#include <coir/coir.hpp>

#include <charconv>
#include <cstdio>
#include <sstream>
#include <stdexcept>
#include <string>

namespace {

constexpr char usage[] =
    "usage: contexts [SUM]\n"
    "Adds the numbers in SUM (\"1 + 2 + 39\" when not given) with two contexts: one splits the\n"
    "text into words, the other adds them and answers each with the sum so far.\n";

/// The number in a word; throws std::invalid_argument when it is none.
long to_number(const std::string& word) {
  long value = 0;
  const char* end = word.data() + word.size();
  const auto [stop, error] = std::from_chars(word.data(), end, value);
  if (error != std::errc() || stop != end) throw std::invalid_argument("not a number: " + word);
  return value;
}

/// Adds up what `splitter` sends, and answers each word with the sum so far. It never returns: its
/// destructor ends it at its last switch.
std::string add_words(coir::context<std::string>& splitter, std::string word) {
  long sum = 0;
  for (;;) {
    if (word != "+") sum += to_number(word);
    word = splitter.switch_to(std::to_string(sum));
  }
}

/// Sends the words of `text` to `adder` one by one, and returns its last answer.
std::string split_words(coir::context<std::string>& adder, const std::string& text) {
  std::istringstream words(text);
  std::string answer = "0";
  for (std::string word; words >> word;) {
    answer = adder.switch_to(word);
    std::printf("splitter sent %-4s adder answered %s\n", word.c_str(), answer.c_str());
  }
  return answer;
}

int add_up(const std::string& text) {
  coir::context<std::string>* peer = nullptr;
  coir::context<std::string> splitter(
      [&peer](std::string input) { return split_words(*peer, input); });
  coir::context<std::string> adder(
      [&splitter](std::string word) { return add_words(splitter, std::move(word)); });
  peer = &adder;
  // What the splitter returns, and what the adder throws, comes back here.
  const std::string sum = splitter.switch_to(text);
  std::printf("sum: %s\n", sum.c_str());
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  return example::run_main("contexts", usage, [&] {
    if (argc > 2) throw example::usage_error("one sum at a time");
    const std::string text = argc == 2 ? argv[1] : "1 + 2 + 39";
    if (text == "--help" || text == "-h") return example::show_help(usage);
    return add_up(text);
  });
}
