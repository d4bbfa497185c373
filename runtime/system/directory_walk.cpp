// A walk keeps a list of the directories that it has met and not entered, and reads one directory
// at a time: so the depth of a tree costs no descriptors. Each step of the reading is one job of an
// offload thread: open if need be, a buffer full of entries, and what the file system did not say
// about their kinds.
#include <coir/directory_walk.hpp>

#include "runtime/io/io.hpp"
#include "runtime/io/offload.hpp"
#include "runtime/kernel/calls.hpp"
#include "runtime/kernel/thread_host.hpp"
#include "runtime/system/edge.hpp"

#include <coir/detail/wait_queue.hpp>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <set>
#include <string_view>
#include <utility>
#include <vector>

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

namespace coir {
namespace {

using detail::code_of;

constexpr std::size_t buffer_bytes = 32 * 1024;  // some hundred entries

/// What getdents64(2) writes.
struct raw_entry {
  std::uint64_t inode;
  std::int64_t offset;
  std::uint16_t size;
  std::uint8_t type;
  char name[];
};

struct found_item {
  std::string name;
  item_kind kind;
  int error;
};

struct pending_directory {
  std::string path;
  std::size_t depth;  ///< of what lies in it
  bool is_link;
};

using identity = std::pair<std::uint64_t, std::uint64_t>;  // device and inode

item_kind kind_of_mode(unsigned mode) noexcept {
  switch (mode & S_IFMT) {
    case S_IFREG:
      return item_kind::regular;
    case S_IFDIR:
      return item_kind::directory;
    case S_IFLNK:
      return item_kind::symlink;
    case S_IFIFO:
      return item_kind::fifo;
    case S_IFSOCK:
      return item_kind::socket;
    case S_IFCHR:
    case S_IFBLK:
      return item_kind::device;
    default:
      return item_kind::unknown;
  }
}

std::string joined(const std::string& folder, std::string_view name) {
  std::string path = folder;
  if (path.empty() || path.back() != '/') path += '/';
  return path += name;
}

}  // namespace

struct directory_walk::state {
  std::string root;
  walk_options how;
  std::vector<pending_directory> to_enter;  ///< the last one comes next
  std::vector<pending_directory> met;       ///< in the directory that is read, in order
  std::set<identity> entered;               ///< only when links are followed
  pending_directory now;                    ///< the directory that is read
  detail::owned_fd fd;
  bool is_over = false;
  std::vector<found_item> batch;
  std::size_t next_in_batch = 0;
  directory_item item;
  bool can_skip = false;
  alignas(raw_entry) char buffer[buffer_bytes];

  /// On an offload thread: the next entries of `now`, which is opened first if need be. 1 when
  /// there may be more, 0 at the end, or -errno.
  std::int64_t read_batch() {
    const kernel::blocking_section others_run;
    if (fd.get() < 0) {
      const int error = open_now();
      if (error <= 0) return error;
    }
    const long size = kernel::call(SYS_getdents64, fd.get(), buffer, buffer_bytes);
    if (size <= 0) return size;
    for (long at = 0; at < size;) {
      const auto& entry = *static_cast<const raw_entry*>(static_cast<const void*>(buffer + at));
      at += entry.size;
      if (std::strcmp(entry.name, ".") != 0 && std::strcmp(entry.name, "..") != 0) add(entry);
    }
    return 1;
  }

  /// 1, 0 when the directory was entered before, or -errno.
  int open_now() {
    const bool may_follow = now.is_link || now.depth == 0;  // the root is entered by whatever way
    const int flags =
        O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NONBLOCK | (may_follow ? 0 : O_NOFOLLOW);
    const int opened =
        static_cast<int>(kernel::call(SYS_openat, AT_FDCWD, now.path.c_str(), flags, 0));
    if (opened < 0) return opened;
    fd.reset(opened);
    if (!how.follow_links) return 1;
    struct stat status {};
    if (const long error = kernel::call(SYS_fstat, opened, &status); error < 0)
      return static_cast<int>(error);
    return entered.emplace(status.st_dev, status.st_ino).second;
  }

  void add(const raw_entry& entry) {
    found_item found{entry.name, kind_of_mode(DTTOIF(entry.type)), 0};
    if (entry.type == DT_UNKNOWN) {
      struct stat status {};
      found.error = static_cast<int>(
          kernel::call(SYS_newfstatat, fd.get(), entry.name, &status, AT_SYMLINK_NOFOLLOW));
      if (found.error >= 0) found.kind = kind_of_mode(status.st_mode);
    }
    batch.push_back(std::move(found));
  }

  /// In the fiber: read_batch, with what it throws.
  int fetch() {
    std::error_code ec;
    if (!detail::ensure_worker(ec)) detail::throw_error(ec, "walk " + root);
    batch.clear();
    next_in_batch = 0;
    std::exception_ptr thrown;
    const std::int64_t result = io::offload_or_error([&]() -> std::int64_t {
      try {
        return read_batch();
      } catch (...) {
        thrown = std::current_exception();
        return 0;
      }
    });
    if (thrown) std::rethrow_exception(thrown);
    detail::throw_if_interrupted();
    return static_cast<int>(result);
  }

  const directory_item* report(found_item& found) {
    item = {joined(now.path, found.name), std::move(found.name), found.kind, now.depth, {}};
    if (found.error < 0) item.error = code_of(found.error);
    const bool is_link = item.kind == item_kind::symlink;
    const bool enters = item.kind == item_kind::directory || (is_link && how.follow_links);
    can_skip = enters && now.depth < how.depth_max;
    if (can_skip) met.push_back({item.path, now.depth + 1, is_link});
    return &item;
  }

  /// A directory could not be read, or not to its end; null for what is no error.
  const directory_item* report_failure(int error) {
    if (now.depth == 0) {
      is_over = true;
      detail::throw_error(code_of(error), "walk " + root);
    }
    // A link that leads to no directory was met as what it is
    if (now.is_link && (error == -ENOTDIR || error == -ENOENT || error == -ELOOP)) return nullptr;
    const auto slash = now.path.rfind('/');
    item = {now.path, now.path.substr(slash + 1), item_kind::directory, now.depth - 1,
            code_of(error)};
    can_skip = false;
    return &item;
  }

  bool enter_next() {
    fd.reset();
    while (!met.empty()) {
      to_enter.push_back(std::move(met.back()));
      met.pop_back();
    }
    if (to_enter.empty()) return false;
    now = std::move(to_enter.back());
    to_enter.pop_back();
    return true;
  }
};

directory_walk::directory_walk(std::string root, const walk_options& how) : state_(nullptr) {
  auto* const made = new state{};
  made->root = root;
  made->how = how;
  made->now = {std::move(root), 0, false};
  state_ = made;
}

directory_walk::directory_walk(directory_walk&& other) noexcept
    : state_(std::exchange(other.state_, nullptr)) {}

directory_walk& directory_walk::operator=(directory_walk&& other) noexcept {
  std::swap(state_, other.state_);
  return *this;
}

directory_walk::~directory_walk() { delete state_; }

const directory_item* directory_walk::next() {
  if (!state_) return nullptr;
  state& s = *state_;
  s.can_skip = false;
  while (!s.is_over) {
    if (s.next_in_batch < s.batch.size()) return s.report(s.batch[s.next_in_batch++]);
    const int result = s.fetch();
    const directory_item* const failure = result < 0 ? s.report_failure(result) : nullptr;
    if (result <= 0) s.is_over = !s.enter_next();
    if (failure) return failure;
  }
  return nullptr;
}

void directory_walk::skip() noexcept {
  if (!state_ || !state_->can_skip) return;
  state_->met.pop_back();
  state_->can_skip = false;
}

}  // namespace coir
