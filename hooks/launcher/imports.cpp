#include "hooks/launcher/imports.hpp"

#include "hooks/launcher/known_calls.hpp"

namespace coir::launcher {

std::set<std::string> exported_names(const elf_file& file) {
  std::set<std::string> names;
  for (const dynamic_symbol& symbol : file.dynamic_symbols()) {
    if (symbol.is_defined) names.emplace(symbol.name);
  }
  return names;
}

void import_summary::add(const elf_file& file) {
  for (const dynamic_symbol& symbol : file.dynamic_symbols()) {
    if (symbol.is_defined) continue;
    const std::string name(symbol.name);
    all_.insert(name);
    if (hooked_.contains(name)) continue;
    const import_kind kind = kind_of(name);
    if (kind == import_kind::may_block) blocking_.insert(name);
    if (kind == import_kind::makes_threads) making_threads_.insert(name);
  }
}

std::map<std::string_view, int> import_summary::hooked_by_family() const {
  std::map<std::string_view, int> counts;
  for (const std::string& name : hooked_) {
    if (all_.contains(name)) ++counts[family_of(name)];
  }
  return counts;
}

}  // namespace coir::launcher
