// The reader of ELF files believes nothing in them: every truncation and thousands of damaged
// copies of a real file are read to the end. Under the address sanitizer a read outside the file
// ends the test.
#include "hooks/launcher/elf_file.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <memory>
#include <random>
#include <string>

namespace {

using coir::launcher::dynamic_symbol;
using coir::launcher::elf_file;

/// Asks everything; returns something that depends on the answers.
std::size_t read_all_of(const elf_file& file) {
  std::size_t seen = file.machine() + file.interpreter().size();
  seen += file.has_header() + file.has_whole_segments() + file.is_static_pie();
  seen += file.has_section(".no.such.section") + file.has_note("nobody");
  for (std::string_view name : file.needed()) seen += name.size();
  for (const dynamic_symbol& symbol : file.dynamic_symbols()) seen += symbol.name.size();
  return seen;
}

/// Reads a copy with nothing behind its last byte.
std::size_t read_alone(const std::string& bytes) {
  const auto memory = std::make_unique<char[]>(bytes.size());
  std::memcpy(memory.get(), bytes.data(), bytes.size());
  return read_all_of(elf_file(std::string_view(memory.get(), bytes.size())));
}

elf_file real_file() {
  auto file = elf_file::open("/bin/true");
  EXPECT_TRUE(file);
  return std::move(*file);
}

TEST(ElfFile, ReadsARealProgram) {
  const elf_file file = real_file();
  ASSERT_TRUE(file.has_header());
  EXPECT_TRUE(file.has_whole_segments());
  EXPECT_NE(file.interpreter().find("ld-linux"), std::string_view::npos);
  EXPECT_FALSE(file.is_static_pie());
  EXPECT_TRUE(file.has_section(".text"));
  EXPECT_FALSE(file.has_section(".go.buildinfo"));
  EXPECT_TRUE(file.has_note("GNU"));
  EXPECT_FALSE(file.has_note("Go"));
  EXPECT_EQ(std::ranges::count(file.needed(), "libc.so.6"), 1);
  const auto symbols = file.dynamic_symbols();
  const auto main = std::ranges::find(symbols, "__libc_start_main", &dynamic_symbol::name);
  ASSERT_NE(main, symbols.end());
  EXPECT_FALSE(main->is_defined);
}

TEST(ElfFile, ReadsOneWithoutSectionHeadersByItsSegments) {
  const elf_file file = real_file();
  std::string bytes(file.bytes());
  Elf64_Ehdr header;
  std::memcpy(&header, bytes.data(), sizeof header);
  header.e_shoff = header.e_shnum = header.e_shstrndx = 0;
  std::memcpy(bytes.data(), &header, sizeof header);
  const elf_file stripped{std::string_view(bytes)};
  EXPECT_FALSE(stripped.has_section(".text"));
  const auto symbols = stripped.dynamic_symbols();
  EXPECT_EQ(std::ranges::count(symbols, "__libc_start_main", &dynamic_symbol::name), 1);
}

TEST(ElfFile, HasNothingToSayOfWhatIsNoElfFile) {
  for (const std::string bytes : {"", "\177ELF", "#!/bin/sh\n"}) EXPECT_EQ(read_alone(bytes), 0u);
  EXPECT_FALSE(elf_file::open("/no/such/file"));
  EXPECT_FALSE(elf_file::open("/"));
  EXPECT_FALSE(elf_file::open("/dev/null"));
}

TEST(ElfFile, SurvivesEveryTruncation) {
  const elf_file file = real_file();
  const std::string bytes(file.bytes());
  const std::size_t whole = read_alone(bytes);
  std::size_t differ = 0;
  for (std::size_t size = 0; size < bytes.size(); size += size < 4096 ? 1 : 61) {
    differ += read_alone(bytes.substr(0, size)) != whole;
  }
  EXPECT_GT(differ, 0u);
}

TEST(ElfFile, SurvivesDamage) {
  const char* given = std::getenv("COIR_TEST_SEED");
  const unsigned seed = given ? static_cast<unsigned>(std::atoi(given)) : std::random_device{}();
  std::cout << "COIR_TEST_SEED=" << seed << '\n';
  std::mt19937 random(seed);
  const elf_file file = real_file();
  const std::string whole(file.bytes());
  const std::size_t seen_whole = read_alone(whole);
  // Heads and tables of numbers are where damage does something: near the start, and the last part.
  const std::size_t start = std::min<std::size_t>(whole.size(), 4096);
  const char extremes[] = {'\0', '\1', '\x7f', '\x80', '\xff'};
  std::size_t differ = 0;
  for (int round = 0; round < 3000; ++round) {
    std::string bytes = whole;
    for (unsigned hit = 0; hit <= random() % 8; ++hit) {
      const std::size_t at = random() % 2 ? random() % start : random() % bytes.size();
      const std::size_t width = 1 + random() % 8;
      const char with = random() % 2 ? extremes[random() % 5] : static_cast<char>(random());
      for (std::size_t i = at; i < std::min(at + width, bytes.size()); ++i) bytes[i] = with;
    }
    differ += read_alone(bytes) != seen_whole;
  }
  EXPECT_GT(differ, 0u);
}

}  // namespace
