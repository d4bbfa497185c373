// Each line of the report is one question: what was looked at, how it is, and what was found.
#include "hooks/launcher/doctor.hpp"

#include "hooks/launcher/imports.hpp"
#include "hooks/launcher/libraries.hpp"
#include "hooks/launcher/machine.hpp"
#include "hooks/launcher/program.hpp"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <iomanip>
#include <optional>
#include <sstream>
#include <string_view>
#include <vector>

#include <unistd.h>

namespace coir::launcher {
namespace {

namespace fs = std::filesystem;

constexpr int exit_fit = 0;
constexpr int exit_with_remarks = 1;
constexpr const char* checked_glibc = "2.36";
constexpr std::size_t line_width = 78;
constexpr int question_width = 13;
constexpr int answer_width = 8;

/// Collects the report; remembers whether there was a remark.
class report {
 public:
  explicit report(std::ostream& out) : out_(out) {}

  void fine(const char* question, const std::string& found) { print(question, "ok", found); }
  void note(const char* question, const std::string& found) { print(question, "note", found); }
  void remark(const char* question, const std::string& found) {
    has_remarks_ = true;
    print(question, "remark", found);
  }
  int refuse(const refusal& why) {
    print("refused", "no", why.reason);
    return why.exit_status;
  }
  int finish(bool is_preloaded) {
    const char* verdict = has_remarks_   ? "works, with the remarks above"
                          : is_preloaded ? "fit for coir run"
                                         : "runs as without coir";
    out_ << "verdict: " << verdict << '\n';
    return has_remarks_ ? exit_with_remarks : exit_fit;
  }

 private:
  /// Breaks `found` between words.
  void print(const char* question, const char* answer, const std::string& found) {
    std::ostringstream head;
    head << std::left << std::setw(question_width) << question << std::setw(answer_width) << answer;
    std::string line = head.str();
    const std::string indent(line.size(), ' ');
    std::istringstream words(found);
    bool is_first = true;
    for (std::string word; words >> word; is_first = false) {
      if (!is_first && line.size() + 1 + word.size() > line_width) {
        out_ << line << '\n';
        line = indent;
        is_first = true;
      }
      line += is_first ? word : " " + word;
    }
    out_ << line << '\n';
  }

  std::ostream& out_;
  bool has_remarks_ = false;
};

template <class Names>
std::string joined(const Names& names, const char* between = " ") {
  std::string text;
  for (const auto& name : names) {
    if (!text.empty()) text += between;
    text += name;
  }
  return text;
}

/// A library of the process: its name and, when that can be read, its file.
struct loaded {
  std::string name;
  std::optional<elf_file> file;
};

bool belongs_to_glibc(std::string_view name) {
  constexpr std::string_view parts[] = {"libc.so.",    "libpthread.so.",  "libdl.so.",
                                        "librt.so.",   "libm.so.",        "libresolv.so.",
                                        "libutil.so.", "libanl.so.",      "libnss_",
                                        "libmvec.so.", "libthread_db.so."};
  return std::ranges::any_of(parts, [=](std::string_view part) { return name.starts_with(part); });
}

std::vector<loaded> look_at_libraries(const program& subject, report& to) {
  const library_list list =
      list_libraries(subject.binary, std::string(subject.file->interpreter()));
  std::vector<loaded> all;
  for (const library& one : list.found) all.push_back({one.name, elf_file::open(one.path)});
  if (!list.fault.empty()) {
    to.remark("libraries", list.fault);
  } else {
    to.fine("libraries", std::to_string(all.size()) + ", all found");
  }
  return all;
}

void look_at_libc(const std::vector<loaded>& libraries, report& to) {
  const auto libc = std::ranges::find(libraries, "libc.so.6", &loaded::name);
  if (libc == libraries.end() || !libc->file) {
    to.note("libc", "libc.so.6 is not among its libraries");
    return;
  }
  const std::string version = glibc_version(*libc->file);
  if (version == checked_glibc) {
    to.fine("libc", "glibc " + version + ", the version that was checked");
  } else {
    to.note("libc", "glibc " + (version.empty() ? "of unknown version" : version) +
                        "; checked is " + checked_glibc + ": the self-check at the start decides");
  }
}

/// The allocator that a name tells of; empty for none that is known.
std::string_view allocator_named(std::string_view library) {
  for (std::string_view known : {"jemalloc", "tcmalloc", "mimalloc"}) {
    if (library.find(known) != library.npos) return known;
  }
  return {};
}

std::string_view allocator_inside(const elf_file& file) {
  bool has_malloc = false;
  for (const dynamic_symbol& symbol : file.dynamic_symbols()) {
    if (!symbol.is_defined) continue;
    if (symbol.name == "mallocx" || symbol.name == "je_malloc") return "jemalloc";
    if (symbol.name == "tc_malloc") return "tcmalloc";
    if (symbol.name == "mi_malloc") return "mimalloc";
    has_malloc |= symbol.name == "malloc";
  }
  return has_malloc ? "one of its own" : "";
}

void look_at_allocator(const program& subject, const std::vector<loaded>& libraries, report& to) {
  if (const auto inside = allocator_inside(*subject.file); !inside.empty()) {
    to.fine("allocator", std::string(inside) + ", in the program");
    return;
  }
  for (const loaded& one : libraries) {
    if (belongs_to_glibc(one.name) || !one.file) continue;
    std::string_view found = allocator_named(one.name);
    if (found.empty()) found = allocator_inside(*one.file);
    if (!found.empty()) {
      to.fine("allocator", std::string(found) + " (" + one.name + ")");
      return;
    }
  }
  to.fine("allocator", "libc's");
}

/// True when it may have more than one thread.
bool look_at_threads(const import_summary& imports, report& to) {
  if (imports.has("pthread_create") || imports.has("thrd_create")) {
    to.fine("threads", "made by pthread_create");
    return true;
  }
  to.note("threads", "nothing that it is linked with makes any: there will be only its first");
  return !imports.making_threads().empty();
}

void look_at_imports(const program& subject, const std::vector<loaded>& libraries,
                     const elf_file& hooks, report& to) {
  import_summary imports(exported_names(hooks));
  imports.add(*subject.file);
  for (const loaded& one : libraries) {
    if (one.file && !belongs_to_glibc(one.name)) imports.add(*one.file);
  }
  const bool has_threads = look_at_threads(imports, to);
  std::vector<std::string> families;
  for (const auto& [family, count] : imports.hooked_by_family()) {
    families.push_back(std::string(family) + " " + std::to_string(count));
  }
  to.fine("hooked", families.empty() ? "nothing that it imports" : joined(families, ", "));
  if (!imports.making_threads().empty())
    to.remark("not hooked", "makes threads of the kernel's: " + joined(imports.making_threads()));
  if (!imports.blocking().empty()) {
    const std::string found = "may block a kernel thread: " + joined(imports.blocking());
    // Alone on it, the program's first thread holds nobody up.
    has_threads ? to.remark("not hooked", found) : to.note("not hooked", found);
  }
  if (imports.has("dlopen"))
    to.note("not seen", "libraries that it opens later (dlopen), system calls made inline");
}

void look_at_hooks(const program& subject, const std::vector<loaded>& libraries, report& to) {
  const std::string path = find_preload_library();
  const std::optional<elf_file> hooks = elf_file::open(path);
  if (!hooks || !hooks->has_header()) {
    to.remark("hooks", "libcoir_preload.so is not in ../lib beside this launcher");
    return;
  }
  look_at_imports(subject, libraries, *hooks, to);
}

void look_at_environment(report& to) {
  const char* text = std::getenv("LD_PRELOAD");
  std::istringstream words(text ? text : "");
  std::vector<std::string> others;
  for (std::string word; std::getline(words, word, ':');) {
    const std::string name = fs::path(word).filename();
    if (!name.empty() && name != "libcoir_preload.so") others.push_back(name);
  }
  std::vector<std::string> faults;
  for (const variable& v : all_variables()) {
    const char* value = std::getenv(v.name);
    const std::string fault = fault_of(v.name, value ? value : "");
    if (!fault.empty()) faults.push_back(fault);
  }
  for (const std::string& fault : faults) to.remark("environment", fault);
  if (!others.empty()) {
    to.remark("environment",
              "LD_PRELOAD has others too, whose hooks stand behind coir's: " + joined(others));
  } else if (faults.empty()) {
    to.fine("environment", "nothing else is preloaded");
  }
}

void look_at_machine(report& to) {
  std::vector<std::string> good;
  for (const machine_fact& fact : launcher::look_at_machine()) {
    if (fact.is_as_it_should_be) {
      good.push_back(fact.text);
    } else {
      to.remark("machine", fact.text);
    }
  }
  to.fine("machine", joined(good, ", "));
}

void look_at_mode(thread_mode mode, report& to) {
  if (mode == thread_mode::thread) to.note("mode", "thread: its threads stay the kernel's");
  if (mode == thread_mode::off) to.note("mode", "off: nothing is preloaded");
}

}  // namespace

int examine(const std::string& name, thread_mode mode, std::ostream& out) {
  const program subject = judge(name, mode);
  out << subject.path << '\n';
  report to(out);
  look_at_mode(mode, to);
  for (const std::string& script : subject.scripts) to.note("script", script);
  if (subject.why_not) return to.refuse(*subject.why_not);
  if (mode == thread_mode::off) return to.finish(false);
  if (!subject.file) {
    to.remark("program", subject.binary + " may be run but not read, so nothing is known about it");
    return to.finish(true);
  }
  to.fine("program", subject.binary + ", dynamic, by " + std::string(subject.file->interpreter()));
  const std::vector<loaded> libraries = look_at_libraries(subject, to);
  look_at_libc(libraries, to);
  look_at_allocator(subject, libraries, to);
  look_at_hooks(subject, libraries, to);
  look_at_environment(to);
  look_at_machine(to);
  return to.finish(true);
}

}  // namespace coir::launcher
