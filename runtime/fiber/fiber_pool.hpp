/// Control blocks with their stacks, carved from slabs and reused last in, first out.
///
/// A slab is one mapping of stacks of one size, each with a guard below it, and beside it the dense
/// array of their control blocks. A control block keeps its stack for good. Slabs are never
/// unmapped: see control_block.hpp. Memory of stacks that nobody needs goes back to the kernel by
/// trim().
#pragma once

#include "runtime/fiber/control_block.hpp"

#include <cstddef>
#include <vector>

namespace coir::detail {

/// Belongs to one worker; only its thread may call.
class fiber_pool {
 public:
  static constexpr std::size_t stack_bytes_min = 16 * 1024;
  static constexpr std::size_t stack_bytes_max = std::size_t{1} << 32;

  explicit fiber_pool(thread_slots& home) noexcept : home_(home) {}
  fiber_pool(const fiber_pool&) = delete;
  fiber_pool& operator=(const fiber_pool&) = delete;

  /// A free control block with a stack of at least `stack_bytes`. Null when there is no memory for
  /// another slab.
  control_block* acquire(std::size_t stack_bytes) noexcept;

  /// Takes a control block back. The caller may still run on its stack, until the next acquire().
  void release(control_block& f) noexcept;

  /// Gives memory of stacks that have lain idle since the last call back to the kernel, a bounded
  /// number at a time. For quiet moments.
  void trim() noexcept;

  /// Stops counting all fibers but `kept` of them, which nobody will release: for the child of a
  /// fork.
  void abandon_all_but(std::size_t kept) noexcept { live_ = kept; }

  /// Fibers acquired and not released.
  std::size_t live() const noexcept { return live_; }

  /// Calls `visit` on each control block that is not free.
  template <class Visit>
  void for_each_live(Visit visit) {
    for (size_class& c : classes_) {
      for (slab& s : c.slabs) {
        for (std::size_t i = 0; i < s.carved; ++i) {
          const fiber_state state = s.blocks[i].state;
          if (state != fiber_state::free && state != fiber_state::ended) visit(s.blocks[i]);
        }
      }
    }
  }

 private:
  struct slab {
    std::byte* stacks;
    control_block* blocks;
    fiber_record* records;
    std::size_t carved;  ///< how many of its control blocks have been handed out for the first time
  };

  struct size_class {
    std::size_t stack_bytes;
    std::vector<slab> slabs;
    std::vector<control_block*> idle;  ///< free ones; the end is the warm one
    std::size_t idle_min = 0;          ///< the fewest idle ones since the last trim
    std::size_t trimmed = 0;           ///< the first so many of `idle` hold no memory
  };

  size_class* class_for(std::size_t stack_bytes) noexcept;
  control_block* carve(size_class& c) noexcept;
  bool add_slab(size_class& c) noexcept;

  thread_slots& home_;
  std::vector<size_class> classes_;
  std::size_t live_ = 0;
};

}  // namespace coir::detail
