// Programs that `coir doctor` and `coir run` are asked about. Checked beside crashes: nothing that
// is handed out lies outside of the file.
#include "hooks/launcher/elf_file.hpp"
#include "tests/fuzz/support.hpp"

#include <cstdint>

namespace {

using coir::fuzz::demand;

void expect_inside(std::string_view part, std::string_view all) {
  if (part.empty()) return;
  demand(part.data() >= all.data() && part.data() + part.size() <= all.data() + all.size());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view all = coir::fuzz::text_of(data, size);
  const coir::launcher::elf_file file(all);
  (void)file.machine();
  (void)file.has_whole_segments();
  (void)file.is_static_pie();
  (void)file.has_section(".gosymtab");
  (void)file.has_note("Go");
  expect_inside(file.interpreter(), all);
  for (const std::string_view each : file.needed()) expect_inside(each, all);
  const auto symbols = file.dynamic_symbols();
  demand(symbols.size() <= size / sizeof(Elf64_Sym));
  for (const auto& each : symbols) expect_inside(each.name, all);
  return 0;
}
