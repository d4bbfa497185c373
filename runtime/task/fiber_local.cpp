// Each fiber has a table of slots, indexed by fiber_local; each fiber_local has a list of its
// values in all fibers. A slot says by its id whose value it holds, so that one of an object that
// is gone, whose index is in use again, is known as stale: nobody but its fiber touches a table.
//
// A fiber that ends and a fiber_local that is destroyed may want to destroy the same value at the
// same time, on two threads. The one that takes it out of the list does, and the list is changed
// under one lock, as rarely as values are made and destroyed. Reading takes no lock.
#include <coir/detail/local_key.hpp>
#include <coir/detail/short_lock.hpp>

#include "runtime/task/current_values.hpp"

#include <algorithm>
#include <mutex>
#include <new>
#include <utility>
#include <vector>

#include <pthread.h>

namespace coir::detail {

struct local_slot {
  std::uint64_t id = 0;  ///< of the local_key; 0: empty
  local_node* node = nullptr;
};

struct local_values {
  /// Guarded by `lock`.
  struct registry {
    short_lock lock;
    index_pool indices;
    std::vector<local_key*> keys;  ///< by index; null where the index is idle
    std::uint64_t last_id = 0;
  };

  /// Never destroyed: variables of static life use it to their end.
  static registry& all() {
    static registry& only = *[] {
      auto* made = new registry;
      pthread_atfork([] { all().lock.lock(); }, [] { all().lock.unlock(); }, in_child);
      return made;
    }();
    return only;
  }

  static void link(local_key& key, local_node& node) noexcept {
    node.prev = nullptr;
    node.next = key.head_;
    if (key.head_) key.head_->prev = &node;
    key.head_ = &node;
  }
  static void unlink(local_key& key, local_node& node) noexcept {
    (node.prev ? node.prev->next : key.head_) = node.next;
    if (node.next) node.next->prev = node.prev;
  }

  /// The key that a slot is of, null when that is gone. Under the lock.
  static local_key* key_of(const registry& r, std::uint32_t index, const local_slot& s) noexcept {
    local_key* const key = s.id ? r.keys[index] : nullptr;
    return key && key->id_ == s.id ? key : nullptr;
  }

  /// Empties a slot of the calling fiber and destroys the value that it held.
  static void clear(std::uint32_t index, local_slot& slot) noexcept {
    const local_slot old = std::exchange(slot, {});
    if (!old.id) return;
    registry& r = all();
    r.lock.lock();
    local_key* const key = key_of(r, index, old);
    if (key) unlink(*key, *old.node);
    r.lock.unlock();
    if (key) old.node->destroy(old.node);
  }

  /// Makes the table so long that it has the slot.
  static void grow(fiber_values& own, std::uint32_t index) {
    constexpr std::uint32_t count_min = 4;
    std::uint32_t count = std::max(own.local_count, count_min);
    while (count <= index) count *= 2;
    auto* const longer = new local_slot[count];
    std::copy_n(own.locals, own.local_count, longer);
    delete[] std::exchange(own.locals, longer);
    own.local_count = count;
  }

  /// The one fiber of a fork's child keeps its values. Those of the others stay as they are: like
  /// their stacks they are never touched again, also not when the fiber_local is destroyed.
  static void in_child() noexcept {
    registry& r = all();
    for (local_key* key : r.keys) {
      if (key) key->head_ = nullptr;
    }
    fiber_values& own = current_values();
    for (std::uint32_t i = 0; i < own.local_count; ++i) {
      if (local_key* key = key_of(r, i, own.locals[i])) link(*key, *own.locals[i].node);
    }
    r.lock.unlock();
  }
};

local_key::local_key() {
  local_values::registry& r = local_values::all();
  std::lock_guard guard(r.lock);
  index_ = r.indices.take();
  try {
    if (r.keys.size() <= index_) r.keys.resize(index_ + std::size_t{1});
  } catch (const std::bad_alloc&) {
    r.indices.give_back(index_);
    throw;
  }
  r.keys[index_] = this;
  id_ = ++r.last_id;
}

local_key::~local_key() {
  local_values::registry& r = local_values::all();
  r.lock.lock();
  local_node* each = std::exchange(head_, nullptr);
  r.keys[index_] = nullptr;  // from here on the nodes of the list are nobody else's
  r.indices.give_back(index_);
  r.lock.unlock();
  while (each) {
    local_node* const next = each->next;
    each->destroy(each);
    each = next;
  }
}

local_node* local_key::find() const noexcept {
  const fiber_values& own = current_values();
  if (index_ >= own.local_count) return nullptr;
  const local_slot& slot = own.locals[index_];
  return slot.id == id_ ? slot.node : nullptr;
}

void local_key::put(local_node* made) {
  fiber_values& own = current_values();
  if (index_ >= own.local_count) local_values::grow(own, index_);
  prepare_values(own);
  const local_slot old = std::exchange(own.locals[index_], {id_, made});
  const bool is_replaced = old.id == id_;
  local_values::registry& r = local_values::all();
  r.lock.lock();
  if (is_replaced) local_values::unlink(*this, *old.node);
  local_values::link(*this, *made);
  r.lock.unlock();
  if (is_replaced) old.node->destroy(old.node);
}

void local_key::remove() noexcept {
  fiber_values& own = current_values();
  if (find()) local_values::clear(index_, own.locals[index_]);
}

void destroy_locals(fiber_values& own) noexcept {
  // Each in its place: a destructor may use the values of other objects, and make such anew.
  for (std::uint32_t i = 0; i < own.local_count; ++i) local_values::clear(i, own.locals[i]);
}

void forget_locals(fiber_values& own) noexcept {
  delete[] std::exchange(own.locals, nullptr);
  own.local_count = 0;
}

}  // namespace coir::detail
