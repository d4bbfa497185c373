/// An ELF file as somebody else made it, read without loading it.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <elf.h>

namespace coir::launcher {

/// A name in a file's dynamic symbol table.
struct dynamic_symbol {
  std::string_view name;
  bool is_defined;  ///< false for one that the file takes from elsewhere
};

/// A 64-bit ELF file, mapped. Nothing in the file is believed: every offset is held against its
/// size before it is followed, and what does not fit reads as missing. Views that it hands out live
/// as long as it does. Any thread, one at a time.
class elf_file {
 public:
  /// Maps the file; nothing when it cannot be read, or is empty.
  static std::optional<elf_file> open(const std::string& path);
  /// A file in memory, for as long as that stays.
  explicit elf_file(std::string_view bytes) noexcept : bytes_(bytes) {}
  elf_file(elf_file&& other) noexcept;
  elf_file& operator=(elf_file&&) = delete;
  ~elf_file();

  /// All of the file.
  std::string_view bytes() const noexcept { return bytes_; }
  /// True when it begins as ELF files do.
  bool has_magic() const noexcept { return bytes_.starts_with(ELFMAG); }
  /// True when there is a whole header, of a 64-bit little-endian file.
  bool has_header() const noexcept { return header().has_value(); }
  /// Which processor it is for: EM_X86_64 and so on; EM_NONE without a header.
  unsigned machine() const noexcept;
  /// True when all of the program headers lie in the file.
  bool has_whole_segments() const noexcept;
  /// The dynamic linker that it names (PT_INTERP); empty when it names none.
  std::string_view interpreter() const noexcept;
  /// True for a program that was linked statically, but may be loaded anywhere.
  bool is_static_pie() const noexcept;
  /// True when it has a section of that name.
  bool has_section(std::string_view name) const noexcept;
  /// True when it carries a note by `owner` ("Go", "GNU").
  bool has_note(std::string_view owner) const noexcept;
  /// The libraries that it asks for itself (DT_NEEDED).
  std::vector<std::string_view> needed() const;
  /// Its dynamic symbols.
  std::vector<dynamic_symbol> dynamic_symbols() const;

 private:
  elf_file() noexcept = default;

  template <class T>
  std::optional<T> read(std::uint64_t offset) const noexcept;
  std::string_view part(std::uint64_t offset, std::uint64_t size) const noexcept;
  std::optional<Elf64_Ehdr> header() const noexcept;
  std::optional<Elf64_Phdr> segment(unsigned index) const noexcept;
  std::optional<Elf64_Shdr> section(unsigned index) const noexcept;
  std::string_view contents(const Elf64_Shdr& section) const noexcept;
  /// Calls `visit` for each entry of the dynamic section.
  template <class Visit>
  void each_dynamic_entry(Visit visit) const;
  /// Where in the file the loader finds what it maps at `address`; 0 when nowhere.
  std::uint64_t offset_of(std::uint64_t address) const noexcept;
  /// The tables of dynamic symbols and of their names.
  struct symbol_tables {
    std::string_view symbols;
    std::string_view names;
  };
  symbol_tables tables_by_section() const noexcept;
  symbol_tables tables_by_segment() const noexcept;

  std::string_view bytes_;
  bool is_mapped_ = false;
};

}  // namespace coir::launcher
