/// What a program and its libraries take from libc, held against what coir hooks.
#pragma once

#include "hooks/launcher/elf_file.hpp"

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace coir::launcher {

/// The names that a file exports.
std::set<std::string> exported_names(const elf_file& file);

/// The imports that matter, of all files that were added.
class import_summary {
 public:
  /// `hooked` is what libcoir_preload.so exports.
  explicit import_summary(std::set<std::string> hooked) : hooked_(std::move(hooked)) {}

  /// Adds what `file` takes from elsewhere.
  void add(const elf_file& file);

  /// How many hooked functions of each family are imported.
  std::map<std::string_view, int> hooked_by_family() const;
  /// Imported functions that may block their kernel thread, and are not hooked.
  const std::set<std::string>& blocking() const noexcept { return blocking_; }
  /// Imported functions that may make threads, and are not hooked.
  const std::set<std::string>& making_threads() const noexcept { return making_threads_; }
  /// True when anything that was added imports that function.
  bool has(const std::string& name) const noexcept { return all_.contains(name); }

 private:
  std::set<std::string> hooked_;
  std::set<std::string> all_;
  std::set<std::string> blocking_;
  std::set<std::string> making_threads_;
};

}  // namespace coir::launcher
