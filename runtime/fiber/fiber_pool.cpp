#include "runtime/fiber/fiber_pool.hpp"

#include "runtime/fiber/guard_page.hpp"
#include "runtime/kernel/calls.hpp"

#include <algorithm>
#include <new>

namespace coir::detail {
namespace {

constexpr std::size_t fibers_per_slab = 64;  // 16 MiB of address space at the default stack size
// Below this many a trim would cost more than the memory is worth
constexpr std::size_t idle_kept_warm = 256;
constexpr std::size_t trims_per_call = 256;  // 1.7 us each: a trim stays well below a millisecond

std::size_t round_up(std::size_t bytes, std::size_t unit) noexcept {
  return (bytes + unit - 1) / unit * unit;
}

/// From one stack to the next. The guard makes it an odd number of pages for the usual sizes, so
/// that equal depths of neighbours do not fall into few sets of the second-level cache.
std::size_t stride(std::size_t stack_bytes) noexcept { return stack_bytes + guard_bytes; }

/// reserve() alone allocates anew for each slab. Throws std::bad_alloc.
template <class T>
void grow_for(std::vector<T>& v, std::size_t count) {
  if (v.capacity() < count) v.reserve(std::max(count, 2 * v.capacity()));
}

void* map(std::size_t bytes) noexcept {
  void* start = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
  return start == MAP_FAILED ? nullptr : start;
}

}  // namespace

control_block* fiber_pool::acquire(std::size_t stack_bytes) noexcept {
  size_class* c = class_for(stack_bytes);
  if (!c) return nullptr;
  control_block* f;
  if (c->idle.empty()) {
    f = carve(*c);
    if (!f) return nullptr;
  } else {
    f = c->idle.back();
    c->idle.pop_back();
    c->idle_min = std::min(c->idle_min, c->idle.size());
    c->trimmed = std::min(c->trimmed, c->idle.size());
  }
  ++live_;
  return f;
}

void fiber_pool::release(control_block& f) noexcept {
  class_for(f.record->stack.bytes)->idle.push_back(&f);  // room was reserved when its slab was made
  --live_;
}

void fiber_pool::trim() noexcept {
  for (size_class& c : classes_) {
    const std::size_t surplus = c.idle_min > idle_kept_warm ? c.idle_min - idle_kept_warm : 0;
    const std::size_t end = std::min(surplus, c.trimmed + trims_per_call);
    for (; c.trimmed < end; ++c.trimmed) {
      const stack_memory& stack = c.idle[c.trimmed]->record->stack;
      kernel::madvise(stack.bottom, stack.bytes, MADV_DONTNEED);
    }
    c.idle_min = c.idle.size();
  }
}

fiber_pool::size_class* fiber_pool::class_for(std::size_t stack_bytes) noexcept {
  const std::size_t bytes =
      round_up(std::clamp(stack_bytes, stack_bytes_min, stack_bytes_max), page_bytes);
  for (size_class& c : classes_) {
    if (c.stack_bytes == bytes) return &c;
  }
  try {
    classes_.push_back({bytes, {}, {}});
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
  return &classes_.back();
}

control_block* fiber_pool::carve(size_class& c) noexcept {
  if ((c.slabs.empty() || c.slabs.back().carved == fibers_per_slab) && !add_slab(c)) return nullptr;
  slab& s = c.slabs.back();
  control_block* f = new (&s.blocks[s.carved]) control_block;
  f->record = new (&s.records[s.carved]) fiber_record;
  f->record->owner = f;
  std::byte* const slot = s.stacks + s.carved * stride(c.stack_bytes);
  install_guard(slot);
  f->home = &home_;
  f->record->stack = {slot + guard_bytes, c.stack_bytes};
  f->record->number = static_cast<std::uint32_t>(s.carved++);
  return f;
}

bool fiber_pool::add_slab(size_class& c) noexcept {
  try {
    grow_for(c.slabs, c.slabs.size() + 1);
    grow_for(c.idle, (c.slabs.size() + 1) * fibers_per_slab);
  } catch (const std::bad_alloc&) {
    return false;
  }
  const std::size_t stacks_bytes = stride(c.stack_bytes) * fibers_per_slab;
  void* const stacks = map(stacks_bytes);
  if (!stacks) return false;
  void* const blocks = map(fibers_per_slab * (sizeof(control_block) + sizeof(fiber_record)));
  if (!blocks) {
    munmap(stacks, stacks_bytes);
    return false;
  }
  // A huge page would cost 64 KiB and 150 us a fiber
  kernel::madvise(stacks, stacks_bytes, MADV_NOHUGEPAGE);
  auto* const control_blocks = static_cast<control_block*>(blocks);
  void* const records = control_blocks + fibers_per_slab;
  c.slabs.push_back(
      {static_cast<std::byte*>(stacks), control_blocks, static_cast<fiber_record*>(records), 0});
  return true;
}

}  // namespace coir::detail
