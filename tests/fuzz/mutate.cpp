// Feeds a fuzz target with variations of its corpus, where libFuzzer is not there to do so.
//
//   fuzz_NAME FOLDER COUNT [SEED]
//
// Prints the seed; the same seed makes the same inputs.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

using generator = std::mt19937_64;

std::vector<std::string> read_corpus(const char* folder) {
  std::vector<std::string> all;
  for (const auto& file : std::filesystem::directory_iterator(folder)) {
    std::ifstream in(file.path(), std::ios::binary);
    all.emplace_back(std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>());
  }
  return all;
}

std::size_t below(generator& random, std::size_t bound) {
  return std::uniform_int_distribution<std::size_t>(0, bound - 1)(random);
}

/// One change at one place, of the kinds that trouble parsers.
void change(std::string& text, const std::vector<std::string>& corpus, generator& random) {
  static constexpr const char* pieces[] = {
      "\r\n", "\n",  "\r", "\r\n\r\n", ":", " ", "\t",
      "%",    "%00", "..", "/",        "?", "#", ",",
      "-",    "\"",  "0",  "ffffffff", ";", "=", "18446744073709551616",
      "*",    "{",   "..."};
  const std::size_t at = below(random, text.size() + 1);
  switch (below(random, 6)) {
    case 0:
      text.insert(at, pieces[below(random, std::size(pieces))]);
      break;
    case 1:
      text.insert(at, 1, static_cast<char>(random()));
      break;
    case 2:
      if (at < text.size()) text[at] = static_cast<char>(random());
      break;
    case 3:
      text.erase(at, 1 + below(random, 8));
      break;
    case 4:
      text.resize(at);
      break;
    default: {
      const std::string& other = corpus[below(random, corpus.size())];
      const std::size_t from = below(random, other.size() + 1);
      text.insert(at, other, from, below(random, 64));
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> corpus = argc >= 3 ? read_corpus(argv[1]) : decltype(corpus)();
  if (corpus.empty()) {
    std::fprintf(stderr, "usage: fuzz_NAME FOLDER COUNT [SEED]; the folder must not be empty\n");
    return EXIT_FAILURE;
  }
  const std::uint64_t seed =
      argc > 3 ? std::strtoull(argv[3], nullptr, 10) : std::random_device{}();
  std::printf("seed %llu\n", static_cast<unsigned long long>(seed));
  std::fflush(stdout);
  generator random(seed);
  for (long left = std::atol(argv[2]); left > 0; --left) {
    std::string text = corpus[below(random, corpus.size())];
    for (std::size_t changes = below(random, 5); changes > 0; --changes) {
      change(text, corpus, random);
    }
    // Without a byte to spare, so that the address sanitizer sees who reads past its end
    const std::vector<std::uint8_t> input(text.begin(), text.end());
    LLVMFuzzerTestOneInput(input.data(), input.size());
  }
  return EXIT_SUCCESS;
}
