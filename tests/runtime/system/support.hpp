/// What tests of files and processes share.
#pragma once

#include "tests/runtime/support.hpp"

#include <cstdlib>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <system_error>
#include <vector>

#include <fcntl.h>
#include <sys/resource.h>

namespace coir::test {

/// Makes an empty directory, and removes it with all that it holds at its end.
class temporary_directory {
 public:
  temporary_directory() {
    std::string pattern = std::filesystem::temp_directory_path() / "coir-test-XXXXXX";
    if (!::mkdtemp(pattern.data())) throw std::runtime_error("no temporary directory");
    path_ = pattern;
  }
  temporary_directory(const temporary_directory&) = delete;
  temporary_directory& operator=(const temporary_directory&) = delete;
  ~temporary_directory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }

  const std::string& path() const noexcept { return path_; }
  std::string operator/(const std::string& name) const { return path_ + '/' + name; }

 private:
  std::string path_;
};

/// The text of the std::system_error that `f` throws.
template <class Function>
std::string error_of(Function f) {
  try {
    f();
  } catch (const std::system_error& e) {
    return e.what();
  }
  return "nothing";
}

/// Takes all descriptors but `free_count` while it lives.
class few_descriptors {
 public:
  explicit few_descriptors(std::size_t free_count) {
    ::getrlimit(RLIMIT_NOFILE, &kept_);
    const rlimit low{256, kept_.rlim_max};
    ::setrlimit(RLIMIT_NOFILE, &low);
    for (int fd; (fd = ::open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0;) taken_.emplace_back(fd);
    taken_.resize(taken_.size() - free_count);
  }
  ~few_descriptors() { ::setrlimit(RLIMIT_NOFILE, &kept_); }

 private:
  rlimit kept_;
  std::vector<descriptor> taken_;
};

/// Expects that `text` contains every one of `parts`.
inline void expect_says(const std::string& text, const std::vector<std::string>& parts) {
  for (const std::string& part : parts)
    EXPECT_NE(text.find(part), std::string::npos) << '"' << text << "\" does not say " << part;
}

/// How many descriptors the process has.
inline std::size_t open_descriptors() {
  std::size_t count = 0;
  for (const auto& each : std::filesystem::directory_iterator("/proc/self/fd")) {
    (void)each;
    ++count;
  }
  return count;
}

}  // namespace coir::test
