/// Walks over directory trees that stop no other fiber: os.walk.
#pragma once

#include <coir/export.hpp>

#include <cstddef>
#include <iterator>
#include <string>
#include <system_error>

namespace coir {

/// What kind of thing a directory_item is.
enum class item_kind {
  regular,    ///< a file
  directory,  ///< a directory
  symlink,    ///< a symbolic link, to whatever
  fifo,       ///< a named pipe
  socket,     ///< a unix socket
  device,     ///< a character or block device
  unknown,    ///< it could not be asked: see the item's error
};

/// One thing that a walk has met.
struct directory_item {
  std::string path;                     ///< the walk's root, and what leads from there to the item
  std::string name;                     ///< the last part of it
  item_kind kind = item_kind::unknown;  ///< without following links
  std::size_t depth = 0;                ///< 0 for what lies in the root itself
  /// Why the item could not be asked, or a directory, met before without error, could not be read
  /// to its end. The walk goes on with the others.
  std::error_code error;
};

/// How a tree is walked.
struct walk_options {
  /// Enter directories that symbolic links lead to, too; each directory is entered once, by
  /// whatever way, so that loops of links come to an end
  bool follow_links = false;
  /// Directories deeper than this are not entered
  std::size_t depth_max = static_cast<std::size_t>(-1);
};

/// A walk in progress. Directories are read on offload threads, some items at a time, while the
/// calling fiber is parked; one descriptor is open at a time, however deep the tree. All items of a
/// directory come before those of its subdirectories; apart from that the order is the file
/// system's. What is made or removed meanwhile may be met or not. A path of more than 4095 bytes
/// is an error of its directory. One fiber at a time may use a walk. Moves only.
class COIR_API directory_walk {
 public:
  /// Of the tree below `root`. Throws std::bad_alloc; that the root cannot be read is thrown by the
  /// first next(). Never parks.
  explicit directory_walk(std::string root, const walk_options& how = {});
  directory_walk(directory_walk&& other) noexcept;
  directory_walk& operator=(directory_walk&& other) noexcept;
  /// May be destroyed before the end of the walk.
  ~directory_walk();

  /// The next item; null at the end. Valid until the next call. Throws std::system_error when the
  /// root itself cannot be read. Parks; a kill is kept until the disk has answered, and then thrown
  /// here.
  const directory_item* next();
  /// The directory that next() has returned last is not entered. Never parks.
  void skip() noexcept;

  /// The walk as a range, to be walked once.
  class iterator {
   public:
    using iterator_concept = std::input_iterator_tag;  ///< can be walked once
    using value_type = directory_item;                 ///< what is met
    using difference_type = std::ptrdiff_t;            ///< as an iterator must say
    /// Used by directory_walk.
    explicit iterator(directory_walk* of) : of_(of), item_(of->next()) {}
    /// The item; valid until ++. Never parks.
    const directory_item& operator*() const noexcept { return *item_; }
    /// The item; valid until ++. Never parks.
    const directory_item* operator->() const noexcept { return item_; }
    /// Goes on to the next item; as next().
    iterator& operator++() {
      item_ = of_->next();
      return *this;
    }
    /// The same.
    void operator++(int) { ++*this; }
    /// True at the end. Never parks.
    bool operator==(std::default_sentinel_t) const noexcept { return item_ == nullptr; }

   private:
    directory_walk* of_;
    const directory_item* item_;
  };
  /// Goes to the first item; as next().
  iterator begin() { return iterator(this); }
  /// Where the walk ends. Never parks.
  std::default_sentinel_t end() const noexcept { return {}; }

 private:
  struct state;
  state* state_;
};

/// Walks over everything below `root`:
///
///     for (const coir::directory_item& item : coir::walk_directory("/etc")) use(item.path);
inline directory_walk walk_directory(std::string root, const walk_options& how = {}) {
  return directory_walk(static_cast<std::string&&>(root), how);
}

}  // namespace coir
