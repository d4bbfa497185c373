#include "hooks/launcher/elf_file.hpp"

#include <cstdint>
#include <cstring>
#include <utility>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace coir::launcher {
namespace {

constexpr std::size_t name_bytes_max = 4096;  // a longer name is no C function's

/// The text that starts at `offset` of a table of strings; empty when it does not end in there.
std::string_view text_at(std::string_view table, std::uint64_t offset) noexcept {
  if (offset >= table.size()) return {};
  const std::string_view rest = table.substr(offset, name_bytes_max);
  const std::size_t end = rest.find('\0');
  return end == rest.npos ? std::string_view() : rest.substr(0, end);
}

constexpr std::uint64_t aligned_to_4(std::uint64_t size) noexcept {
  return (size + 3) & ~std::uint64_t{3};
}

}  // namespace

std::optional<elf_file> elf_file::open(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return std::nullopt;
  struct stat facts;
  void* memory = MAP_FAILED;
  if (fstat(fd, &facts) == 0 && S_ISREG(facts.st_mode) && facts.st_size > 0) {
    memory = mmap(nullptr, static_cast<std::size_t>(facts.st_size), PROT_READ, MAP_PRIVATE, fd, 0);
  }
  ::close(fd);
  if (memory == MAP_FAILED) return std::nullopt;
  elf_file file;
  file.bytes_ = {static_cast<const char*>(memory), static_cast<std::size_t>(facts.st_size)};
  file.is_mapped_ = true;
  return file;
}

elf_file::elf_file(elf_file&& other) noexcept
    : bytes_(std::exchange(other.bytes_, {})), is_mapped_(std::exchange(other.is_mapped_, false)) {}

elf_file::~elf_file() {
  if (is_mapped_) munmap(const_cast<char*>(bytes_.data()), bytes_.size());
}

unsigned elf_file::machine() const noexcept {
  const auto head = header();
  return head ? head->e_machine : EM_NONE;
}

bool elf_file::has_whole_segments() const noexcept {
  const auto head = header();
  return head && head->e_phnum > 0 && segment(head->e_phnum - 1U).has_value();
}

std::string_view elf_file::interpreter() const noexcept {
  for (unsigned i = 0; const auto found = segment(i); ++i) {
    if (found->p_type == PT_INTERP) return text_at(part(found->p_offset, found->p_filesz), 0);
  }
  return {};
}

bool elf_file::is_static_pie() const noexcept {
  if (!interpreter().empty()) return false;
  bool is_pie = false;
  each_dynamic_entry([&](const Elf64_Dyn& entry) {
    is_pie |= entry.d_tag == DT_FLAGS_1 && (entry.d_un.d_val & DF_1_PIE);
  });
  return is_pie;
}

bool elf_file::has_section(std::string_view name) const noexcept {
  const auto head = header();
  if (!head) return false;
  const auto names = section(head->e_shstrndx);
  if (!names) return false;
  for (unsigned i = 0; const auto found = section(i); ++i) {
    if (text_at(contents(*names), found->sh_name) == name) return true;
  }
  return false;
}

bool elf_file::has_note(std::string_view owner) const noexcept {
  for (unsigned i = 0; const auto found = segment(i); ++i) {
    if (found->p_type != PT_NOTE) continue;
    const std::string_view notes = part(found->p_offset, found->p_filesz);
    for (std::uint64_t at = 0; at + sizeof(Elf64_Nhdr) <= notes.size();) {
      Elf64_Nhdr note;
      std::memcpy(&note, notes.data() + at, sizeof note);
      at += sizeof note;
      if (text_at(notes, at) == owner) return true;
      at += aligned_to_4(note.n_namesz) + aligned_to_4(note.n_descsz);
    }
  }
  return false;
}

std::vector<std::string_view> elf_file::needed() const {
  std::uint64_t names = 0, names_bytes = 0;
  std::vector<std::uint64_t> offsets;
  each_dynamic_entry([&](const Elf64_Dyn& entry) {
    if (entry.d_tag == DT_NEEDED) offsets.push_back(entry.d_un.d_val);
    if (entry.d_tag == DT_STRTAB) names = offset_of(entry.d_un.d_ptr);
    if (entry.d_tag == DT_STRSZ) names_bytes = entry.d_un.d_val;
  });
  std::vector<std::string_view> found;
  for (const std::uint64_t offset : offsets) {
    const std::string_view name = text_at(part(names, names_bytes), offset);
    if (!name.empty()) found.push_back(name);
  }
  return found;
}

std::vector<dynamic_symbol> elf_file::dynamic_symbols() const {
  symbol_tables tables = tables_by_section();
  if (tables.symbols.empty()) tables = tables_by_segment();
  std::vector<dynamic_symbol> found;
  for (std::size_t at = 0; at + sizeof(Elf64_Sym) <= tables.symbols.size();
       at += sizeof(Elf64_Sym)) {
    Elf64_Sym symbol;
    std::memcpy(&symbol, tables.symbols.data() + at, sizeof symbol);
    const std::string_view name = text_at(tables.names, symbol.st_name);
    if (!name.empty()) found.push_back({name, symbol.st_shndx != SHN_UNDEF});
  }
  return found;
}

template <class T>
std::optional<T> elf_file::read(std::uint64_t offset) const noexcept {
  const std::string_view found = part(offset, sizeof(T));
  if (found.empty()) return std::nullopt;
  T value;
  std::memcpy(&value, found.data(), sizeof value);
  return value;
}

/// That part of the file; empty when it is not all there.
std::string_view elf_file::part(std::uint64_t offset, std::uint64_t size) const noexcept {
  if (offset > bytes_.size() || size > bytes_.size() - offset) return {};
  return bytes_.substr(offset, size);
}

std::optional<Elf64_Ehdr> elf_file::header() const noexcept {
  const auto head = read<Elf64_Ehdr>(0);
  if (!head || !has_magic()) return std::nullopt;
  const bool is_known =
      head->e_ident[EI_CLASS] == ELFCLASS64 && head->e_ident[EI_DATA] == ELFDATA2LSB;
  return is_known ? head : std::nullopt;
}

std::optional<Elf64_Phdr> elf_file::segment(unsigned index) const noexcept {
  const auto head = header();
  if (!head || index >= head->e_phnum || head->e_phentsize != sizeof(Elf64_Phdr))
    return std::nullopt;
  if (head->e_phoff > bytes_.size()) return std::nullopt;
  return read<Elf64_Phdr>(head->e_phoff + std::uint64_t{index} * sizeof(Elf64_Phdr));
}

std::optional<Elf64_Shdr> elf_file::section(unsigned index) const noexcept {
  const auto head = header();
  if (!head || index >= head->e_shnum || head->e_shentsize != sizeof(Elf64_Shdr))
    return std::nullopt;
  if (head->e_shoff > bytes_.size()) return std::nullopt;
  return read<Elf64_Shdr>(head->e_shoff + std::uint64_t{index} * sizeof(Elf64_Shdr));
}

std::string_view elf_file::contents(const Elf64_Shdr& section) const noexcept {
  if (section.sh_type == SHT_NOBITS) return {};
  return part(section.sh_offset, section.sh_size);
}

template <class Visit>
void elf_file::each_dynamic_entry(Visit visit) const {
  for (unsigned i = 0; const auto found = segment(i); ++i) {
    if (found->p_type != PT_DYNAMIC) continue;
    const std::string_view entries = part(found->p_offset, found->p_filesz);
    for (std::size_t at = 0; at + sizeof(Elf64_Dyn) <= entries.size(); at += sizeof(Elf64_Dyn)) {
      Elf64_Dyn entry;
      std::memcpy(&entry, entries.data() + at, sizeof entry);
      if (entry.d_tag == DT_NULL) return;
      visit(entry);
    }
    return;
  }
}

std::uint64_t elf_file::offset_of(std::uint64_t address) const noexcept {
  for (unsigned i = 0; const auto found = segment(i); ++i) {
    if (found->p_type != PT_LOAD || address < found->p_vaddr) continue;
    const std::uint64_t into = address - found->p_vaddr;
    if (into < found->p_filesz && found->p_offset <= bytes_.size()) return found->p_offset + into;
  }
  return 0;
}

elf_file::symbol_tables elf_file::tables_by_section() const noexcept {
  for (unsigned i = 0; const auto found = section(i); ++i) {
    if (found->sh_type != SHT_DYNSYM) continue;
    const auto names = section(found->sh_link);
    if (names) return {contents(*found), contents(*names)};
  }
  return {};
}

// For a file that was stripped of its sections. Nothing there says how many symbols there are, but
// linkers put the names right behind them.
elf_file::symbol_tables elf_file::tables_by_segment() const noexcept {
  std::uint64_t symbols = 0, names = 0, names_bytes = 0;
  each_dynamic_entry([&](const Elf64_Dyn& entry) {
    if (entry.d_tag == DT_SYMTAB) symbols = offset_of(entry.d_un.d_ptr);
    if (entry.d_tag == DT_STRTAB) names = offset_of(entry.d_un.d_ptr);
    if (entry.d_tag == DT_STRSZ) names_bytes = entry.d_un.d_val;
  });
  if (symbols == 0 || names <= symbols) return {};
  return {part(symbols, names - symbols), part(names, names_bytes)};
}

}  // namespace coir::launcher
