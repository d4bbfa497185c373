#include "hooks/launcher/configuration.hpp"

#include "hooks/launcher/variables.hpp"

#include <cstdlib>
#include <iomanip>
#include <string_view>

#include <unistd.h>

namespace coir::launcher {
namespace {

void print_row(std::ostream& out, const char* name, const char* value, const char* source,
               const char* meaning) {
  out << std::left << std::setw(22) << name << std::setw(19) << value << std::setw(13) << source
      << meaning << '\n';
}

}  // namespace

void print_configuration(std::ostream& out, std::ostream& warnings) {
  print_row(out, "variable", "value", "from", "meaning");
  for (const variable& v : all_variables()) {
    const char* given = std::getenv(v.name);
    const bool is_set = given && *given;
    print_row(out, v.name, is_set ? given : v.default_value, is_set ? "environment" : "default",
              v.meaning);
  }
  out.flush();
  for (char** entry = environ; *entry; ++entry) {
    const std::string_view text = *entry;
    if (!text.starts_with("COIR_")) continue;
    const std::size_t equals = text.find('=');
    const std::string fault = fault_of(text.substr(0, equals), text.substr(equals + 1));
    if (!fault.empty()) warnings << "coir config: warning: " << fault << '\n';
  }
}

}  // namespace coir::launcher
