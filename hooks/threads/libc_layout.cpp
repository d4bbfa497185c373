#include "hooks/threads/libc_layout.hpp"

#include "hooks/threads/machine.hpp"
#include "runtime/kernel/syscall.hpp"

#include <cstring>

#include <dlfcn.h>
#include <link.h>
#include <sys/syscall.h>

extern "C" {
extern const std::ptrdiff_t __rseq_offset;
extern const unsigned int __rseq_size;
}

namespace coir::threads {
namespace {

/// What libthread_db reads to find a field: its size in bits, its count, its offset in bytes.
struct field_descriptor {
  std::uint32_t bits;
  std::uint32_t elements;
  std::uint32_t offset;
};

template <class T>
T* symbol(const char* name) noexcept {
  return reinterpret_cast<T*>(::dlsym(RTLD_DEFAULT, name));
}

template <class T>
T& at(std::uintptr_t address) noexcept {
  return *reinterpret_cast<T*>(address);
}

bool read_offset(const char* name, std::size_t& offset) noexcept {
  const auto* field = symbol<const field_descriptor>(name);
  if (field) offset = field->offset;
  return field != nullptr;
}

const char* find_functions(libc_layout& found) noexcept {
  found.allocate_tls = symbol<void*(void*)>("_dl_allocate_tls");
  found.deallocate_tls = symbol<void(void*, bool)>("_dl_deallocate_tls");
  found.initialise_ctype = symbol<void()>("__ctype_init");
  found.run_thread_local_destructors = symbol<void()>("__call_tls_dtors");
  found.keys = symbol<libc_key>("__pthread_keys");
  const bool has_all = found.allocate_tls && found.deallocate_tls && found.initialise_ctype &&
                       found.run_thread_local_destructors && found.keys;
  return has_all ? nullptr : "libc does not offer what it takes to make thread control blocks";
}

const char* find_offsets(libc_layout& found) noexcept {
  const auto* size = symbol<const std::uint32_t>("_thread_db_sizeof_pthread");
  const bool has_all = size && read_offset("_thread_db_pthread_tid", found.tid) &&
                       read_offset("_thread_db_pthread_list", found.list) &&
                       read_offset("_thread_db_pthread_specific", found.key_block_table) &&
                       read_offset("_thread_db_pthread_cancelhandling", found.cancel_state);
  if (!has_all) return "libc does not describe its threads to debuggers";
  found.block_bytes = *size;
  auto* static_info = symbol<void(std::size_t*, std::size_t*)>("_dl_get_tls_static_info");
  if (!static_info) return "libc does not tell the size of thread-locals";
  static_info(&found.static_tls_bytes, &found.static_tls_alignment);
  return nullptr;
}

/// Compares what the offsets lead to with what the kernel and the processor say.
const char* check_main_thread(libc_layout& found, std::uintptr_t self) noexcept {
  if (at<std::uintptr_t>(self) != self || at<std::uintptr_t>(self + 16) != self)
    return "a thread control block does not begin as expected";
  if (at<std::uintptr_t>(self + 72) != 0) return "shadow stacks are in use";
  if (at<int>(self + found.tid) != static_cast<int>(kernel::call(SYS_gettid)))
    return "the thread number is not where libc says";
  const auto first_block = at<std::uintptr_t>(self + found.key_block_table);
  if (first_block <= self || first_block >= self + found.block_bytes)
    return "the values of thread-specific keys are not where libc says";
  found.first_key_block = first_block - self;
  return nullptr;
}

const char* find_robust_list(libc_layout& found, std::uintptr_t self) noexcept {
  void* head = nullptr;
  std::size_t head_bytes = 0;
  kernel::call(SYS_get_robust_list, 0, &head, &head_bytes);
  const auto offset = reinterpret_cast<std::uintptr_t>(head) - self;
  if (!head || offset >= found.block_bytes) return "libc has no list of robust locks";
  found.robust_list = offset;
  return nullptr;
}

/// The lists lie side by side in the dynamic linker's data: used, own, cached; then a size, an
/// address in flight, and the lock. All but the second are empty in a process that has not made a
/// thread; the lock is free.
const char* find_lists(libc_layout& found, std::uintptr_t self) noexcept {
  std::size_t used_offset = 0;
  std::size_t own_offset = 0;
  const auto linker = reinterpret_cast<std::uintptr_t>(::dlsym(RTLD_DEFAULT, "_rtld_global"));
  if (!linker || !read_offset("_thread_db_rtld_global__dl_stack_used", used_offset) ||
      !read_offset("_thread_db_rtld_global__dl_stack_user", own_offset))
    return "libc does not tell where its lists of threads are";
  constexpr std::size_t list_bytes = sizeof(libc_list);
  if (own_offset != used_offset + list_bytes) return "libc's lists of threads are elsewhere";
  found.threads_with_libc_stacks = &at<libc_list>(linker + used_offset);
  found.threads_with_own_stacks = &at<libc_list>(linker + own_offset);
  const auto& cached = at<libc_list>(linker + own_offset + list_bytes);
  const std::uintptr_t after_lists = linker + own_offset + 2 * list_bytes;
  found.lists_lock = &at<int>(after_lists + 2 * sizeof(std::uintptr_t));
  const libc_list* main_thread = &at<libc_list>(self + found.list);
  bool is_listed = false;
  for (const libc_list* entry = found.threads_with_own_stacks->next;
       entry && entry != found.threads_with_own_stacks; entry = entry->next)
    is_listed |= entry == main_thread;
  for (const libc_list* entry = found.threads_with_libc_stacks->next;
       entry && entry != found.threads_with_libc_stacks; entry = entry->next)
    is_listed |= entry == main_thread;
  const bool is_cache_whole = cached.next && cached.next->prev == &cached;
  if (!is_listed || !is_cache_whole) return "libc's lists of threads do not look as expected";
  if (*found.lists_lock < 0 || *found.lists_lock > 2)
    return "the lock of libc's lists is elsewhere";
  return nullptr;
}

int find_libc_locals(dl_phdr_info* library, std::size_t, void* argument) noexcept {
  auto& found = *static_cast<libc_layout*>(argument);
  if (!std::strstr(library->dlpi_name, "/libc.so.6")) return 0;
  for (int i = 0; i < library->dlpi_phnum; ++i) {
    if (library->dlpi_phdr[i].p_type != PT_TLS || !library->dlpi_tls_data) continue;
    found.libc_locals_bytes = library->dlpi_phdr[i].p_memsz;
    found.libc_locals = static_cast<std::ptrdiff_t>(
        reinterpret_cast<std::uintptr_t>(library->dlpi_tls_data) - thread_pointer());
  }
  return 1;
}

const char* find_locals(libc_layout& found, std::uintptr_t self) noexcept {
  ::dl_iterate_phdr(&find_libc_locals, &found);
  const auto* resolver = symbol<char>("__resp");
  if (found.libc_locals_bytes == 0 || found.libc_locals >= 0 || !resolver)
    return "libc's own thread-locals are not to be found";
  found.resolver_state =
      static_cast<std::ptrdiff_t>(reinterpret_cast<std::uintptr_t>(resolver) - self);
  found.restartable = __rseq_offset;
  found.restartable_bytes = __rseq_size;
  return nullptr;
}

}  // namespace

const char* discover(libc_layout& found) noexcept {
  const std::uintptr_t self = thread_pointer();
  if (self == 0) return "threads become fibers on x86-64 only";
  if (const char* why = find_functions(found)) return why;
  if (const char* why = find_offsets(found)) return why;
  if (const char* why = check_main_thread(found, self)) return why;
  if (const char* why = find_robust_list(found, self)) return why;
  if (const char* why = find_lists(found, self)) return why;
  return find_locals(found, self);
}

}  // namespace coir::threads
