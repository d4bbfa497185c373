// A fiber's values are one counted table, indexed by inherited object; a spawn shares it. Whoever
// sets a value in a table that others share makes a copy first, so that a table never changes under
// a reader on another thread. A slot says by its id whose value it holds: one of an object that is
// gone, whose index is in use again, is known as stale.
#include <coir/detail/inherited_key.hpp>
#include <coir/detail/short_lock.hpp>

#include "runtime/task/current_values.hpp"

#include <algorithm>
#include <cstddef>
#include <mutex>
#include <new>
#include <utility>

#include <pthread.h>

namespace coir::detail {
namespace {

struct inherited_slot {
  std::uint64_t id = 0;  ///< of the inherited_key
  shared_value* value = nullptr;
};

/// Guarded by `lock`.
struct key_registry {
  short_lock lock;
  index_pool indices;
  std::uint64_t last_id = 0;
};

/// Never destroyed: variables of static life use it to their end.
key_registry& keys() {
  static key_registry& only = *[] {
    auto* made = new key_registry;
    const auto unlock = [] { keys().lock.unlock(); };
    pthread_atfork([] { keys().lock.lock(); }, unlock, unlock);
    return made;
  }();
  return only;
}

}  // namespace

struct inherited_values {
  reference_count owners;
  std::uint32_t count = 0;
  inherited_slot slots[1];  ///< `count` of them

  /// An empty table of `count` slots, with one owner. Throws std::bad_alloc.
  static inherited_values* make(std::uint32_t count) {
    const std::size_t rest = (count - std::size_t{1}) * sizeof(inherited_slot);
    void* const memory = ::operator new(sizeof(inherited_values) + rest);
    auto* const made = new (memory) inherited_values;
    made->count = count;
    for (std::uint32_t i = 1; i < count; ++i) new (&made->slots[i]) inherited_slot;
    return made;
  }

  static void free(inherited_values* values) noexcept {
    for (std::uint32_t i = 0; i < values->count; ++i) shared_value_ref(values->slots[i].value);
    values->~inherited_values();
    ::operator delete(values);
  }

  /// A longer table with the same values. Throws std::bad_alloc.
  static inherited_values* copy_of(const inherited_values* from, std::uint32_t count) {
    inherited_values* const made = make(from ? std::max(from->count, count) : count);
    for (std::uint32_t i = 0; from && i < from->count; ++i) {
      made->slots[i] = from->slots[i];
      if (made->slots[i].value) made->slots[i].value->owners.add();
    }
    return made;
  }
};

inherited_values* retain_inherited(inherited_values* shared) noexcept {
  if (shared) shared->owners.add();
  return shared;
}

void release_inherited(inherited_values* shared) noexcept {
  if (shared && shared->owners.drop()) inherited_values::free(shared);
}

inherited_key::inherited_key() {
  key_registry& r = keys();
  std::lock_guard guard(r.lock);
  index_ = r.indices.take();
  id_ = ++r.last_id;
}

inherited_key::~inherited_key() {
  key_registry& r = keys();
  std::lock_guard guard(r.lock);
  r.indices.give_back(index_);
}

shared_value* inherited_key::find() const noexcept {
  inherited_values* const own = current_values().inherited;
  if (!own || index_ >= own->count || own->slots[index_].id != id_) return nullptr;
  return own->slots[index_].value;
}

shared_value_ref inherited_key::exchange(shared_value_ref& value) {
  fiber_values& own = current_values();
  inherited_values*& table = own.inherited;
  if (!value.get() && !find()) return {};
  if (!table || index_ >= table->count || !table->owners.is_unique()) {
    inherited_values* const longer = inherited_values::copy_of(table, index_ + 1);
    release_inherited(std::exchange(table, longer));
    prepare_values(own);
  }
  const inherited_slot old = std::exchange(table->slots[index_], {id_, value.detach()});
  shared_value_ref before(old.value);
  return old.id == id_ ? std::move(before) : shared_value_ref();
}

fiber_identity fiber_identity::current() noexcept {
  worker* const w = worker::current_or_null();
  if (!w || w->running == &w->main_fiber()) return {&thread_values(), 0};
  return {w->running, w->running->record->id};
}

inherited_snapshot::inherited_snapshot(const inherited_snapshot& other) noexcept
    : values_(retain_inherited(other.values_)) {}

inherited_snapshot::~inherited_snapshot() { release_inherited(values_); }

inherited_snapshot inherited_snapshot::of_caller() noexcept {
  inherited_snapshot made;
  made.values_ = retain_inherited(current_values().inherited);
  return made;
}

void inherited_snapshot::swap_with_caller() noexcept {
  fiber_values& own = current_values();
  std::swap(values_, own.inherited);
  if (own.inherited) prepare_values(own);
}

}  // namespace coir::detail
