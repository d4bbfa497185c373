// Input through stdio, where it would block on a pipe, a socket or a terminal.
//
// libc reads inside, with the stream locked, through no function that could be hooked. So before
// the real function runs, a fiber whose stream has nothing buffered waits until its descriptor is
// readable, without the lock; then libc's read does not block. What libc would have done before it
// reads is done before the wait: it writes out a line-buffered stdout, so that a prompt is seen.
//
// Left to the monitor, which takes the token of a carrier that sleeps in the kernel: a call that
// needs more than is there (the rest of a line, of a block, of a number), reading from a stream
// with output pending, output to a pipe that is full, and waits for the lock of a stream.
//
// What is read of a FILE here besides its public functions are members that glibc's own inline
// functions read in programs, so that they cannot change, and the first two words of what it keeps
// for wide characters.

// libc has each function of the scanf family twice, in its old GNU form and in the form of C99. The
// headers give the plain names to the latter, unless they are told that the old form is wanted.
#include <features.h>
#undef __GLIBC_USE_DEPRECATED_SCANF
#define __GLIBC_USE_DEPRECATED_SCANF 1

#include "hooks/preload/in_region.hpp"
#include "hooks/threads/descriptors.hpp"
#include "runtime/kernel/calls.hpp"

#include <cstdarg>
#include <cstdio>
#include <cwchar>

#include <stdio_ext.h>
#include <sys/ioctl.h>
#include <termios.h>

COIR_DEFINE_REAL(fgets);
COIR_DEFINE_REAL(fgets_unlocked);
COIR_DEFINE_REAL(fgetc);
COIR_DEFINE_REAL(fgetc_unlocked);
COIR_DEFINE_REAL(fread);
COIR_DEFINE_REAL(fread_unlocked);
COIR_DEFINE_REAL(getdelim);
COIR_DEFINE_REAL(getw);
COIR_DEFINE_REAL(fgetwc);
COIR_DEFINE_REAL(fgetwc_unlocked);
COIR_DEFINE_REAL(fgetws);
COIR_DEFINE_REAL(fgetws_unlocked);
COIR_DEFINE_REAL(fclose);
COIR_DEFINE_REAL_AS(__uflow, int(FILE*));
COIR_DEFINE_REAL_AS(__underflow, int(FILE*));
COIR_DEFINE_REAL_AS(__fgets_chk, char*(char*, size_t, int, FILE*));
COIR_DEFINE_REAL_AS(__fgets_unlocked_chk, char*(char*, size_t, int, FILE*));
COIR_DEFINE_REAL_AS(__fread_chk, size_t(void*, size_t, size_t, size_t, FILE*));
COIR_DEFINE_REAL_AS(__fread_unlocked_chk, size_t(void*, size_t, size_t, size_t, FILE*));
COIR_DEFINE_REAL_AS(__fgetws_chk, wchar_t*(wchar_t*, size_t, int, FILE*));
COIR_DEFINE_REAL_AS(vfscanf, int(FILE*, const char*, va_list));
COIR_DEFINE_REAL_AS(__isoc99_vfscanf, int(FILE*, const char*, va_list));
COIR_DEFINE_REAL_AS(vfwscanf, int(FILE*, const wchar_t*, va_list));
COIR_DEFINE_REAL_AS(__isoc99_vfwscanf, int(FILE*, const wchar_t*, va_list));

using namespace coir;
using namespace coir::hooks;

namespace {

// Bits of FILE::_flags, which glibc keeps to itself.
constexpr int is_unbuffered = 0x2;
constexpr int forbids_reading = 0x4;
constexpr int has_seen_end = 0x10;
constexpr int has_seen_error = 0x20;
constexpr int reads_pushed_back = 0x100;
constexpr int is_line_buffered = 0x200;
constexpr int is_writing = 0x800;

/// The first members of glibc's struct _IO_wide_data.
struct wide_buffer {
  const wchar_t* read_at;
  const wchar_t* read_end;
};

/// True when the next read of the stream goes to its descriptor.
bool is_drained(const FILE& stream) noexcept {
  constexpr int others = forbids_reading | has_seen_end | reads_pushed_back | is_writing;
  if (stream._flags & others) return false;
  if (stream._fileno < 0 || stream._IO_read_ptr < stream._IO_read_end) return false;
  if (stream._mode <= 0) return true;
  const auto* const wide = reinterpret_cast<const wide_buffer*>(stream._wide_data);
  return wide->read_at >= wide->read_end;
}

/// True when a read would sleep: nothing is there, and the descriptor is in blocking mode.
bool would_block(int fd) noexcept {
  pollfd look{fd, POLLIN, 0};
  if (kernel::poll_now(&look, 1) != 0) return false;
  const int flags = kernel::fcntl(fd, F_GETFL, 0);
  return flags >= 0 && (flags & O_NONBLOCK) == 0;
}

bool is_terminal(int fd) noexcept {
  termios unused;
  return kernel::call(SYS_ioctl, fd, TCGETS, &unused) == 0;
}

/// What libc does before it reads from a terminal.
void show_prompt(const FILE& stream) {
  const bool is_interactive = stream._IO_buf_base
                                  ? (stream._flags & (is_line_buffered | is_unbuffered)) != 0
                                  : is_terminal(stream._fileno);
  if (is_interactive && ::__flbf(stdout) && ::__fpending(stdout) > 0) ::fflush(stdout);
}

/// -EINTR after a signal handler without SA_RESTART, else 0. The stream may still be drained when
/// another fiber was quicker, or when its descriptor cannot be waited for.
int await_input(FILE& stream) {
  bool has_shown = false;
  while (is_drained(stream) && would_block(stream._fileno)) {
    if (!has_shown) show_prompt(stream);
    has_shown = true;
    int result = 0;
    {
      awaited_descriptor at(stream._fileno);
      result = threads::await_descriptor(at.fd, POLLIN, coir::detail::never);
    }
    if (result == -ECANCELED) ::pthread_testcancel();
    if (result == -EINTR) return result;
    if (result < 0 && result != -ERESTART) return 0;
  }
  return 0;
}

/// The hook of a function that reads from `stream`: `failure` is its result when a signal ends the
/// wait. errno stays as it is when the wait goes well.
template <class Result, class Call>
Result reading(FILE* stream, Result failure, Call call) {
  threads::thread_fiber* const self = parking_fiber(family::stdio);
  if (!self || !is_drained(*stream)) return call();
  const int caller_errno = errno;
  act_on_cancel(*self);
  const int result = await_input(*stream);
  if (result == 0) {
    errno = caller_errno;
    return call();
  }
  ::flockfile(stream);
  stream->_flags |= has_seen_error;
  ::funlockfile(stream);
  errno = -result;
  return failure;
}

char* const no_text = nullptr;
wchar_t* const no_wide_text = nullptr;

}  // namespace

// --- characters ---------------------------------------------------------------------------------

/// hook: stdio: parks until there is input
COIR_HOOK int fgetc(FILE* stream) {
  return reading(stream, EOF, [&] { return real::fgetc(stream); });
}
#undef getc
COIR_HOOK int getc(FILE*) COIR_HOOK_ALIAS(fgetc);
COIR_HOOK int _IO_getc(FILE*) COIR_HOOK_ALIAS(fgetc);

/// hook: stdio: as fgetc
COIR_HOOK int getchar() { return fgetc(stdin); }

/// hook: stdio: as fgetc
COIR_HOOK int fgetc_unlocked(FILE* stream) {
  return reading(stream, EOF, [&] { return real::fgetc_unlocked(stream); });
}
#undef getc_unlocked
COIR_HOOK int getc_unlocked(FILE*) COIR_HOOK_ALIAS(fgetc_unlocked);

/// hook: stdio: as fgetc
COIR_HOOK int getchar_unlocked() { return fgetc_unlocked(stdin); }

/// hook: stdio: what the inline getc_unlocked of programs calls when the buffer is empty
COIR_HOOK int __uflow(FILE* stream) {
  return reading(stream, EOF, [&] { return real::__uflow(stream); });
}

/// hook: stdio: as __uflow
COIR_HOOK int __underflow(FILE* stream) {
  return reading(stream, EOF, [&] { return real::__underflow(stream); });
}

/// hook: stdio: as fgetc
COIR_HOOK int getw(FILE* stream) {
  return reading(stream, EOF, [&] { return real::getw(stream); });
}

/// hook: stdio: as fgetc
COIR_HOOK wint_t fgetwc(FILE* stream) {
  return reading(stream, WEOF, [&] { return real::fgetwc(stream); });
}
#undef getwc
COIR_HOOK wint_t getwc(FILE*) COIR_HOOK_ALIAS(fgetwc);

/// hook: stdio: as fgetc
COIR_HOOK wint_t getwchar() { return fgetwc(stdin); }

/// hook: stdio: as fgetc
COIR_HOOK wint_t fgetwc_unlocked(FILE* stream) {
  return reading(stream, WEOF, [&] { return real::fgetwc_unlocked(stream); });
}
#undef getwc_unlocked
COIR_HOOK wint_t getwc_unlocked(FILE*) COIR_HOOK_ALIAS(fgetwc_unlocked);

/// hook: stdio: as fgetc
COIR_HOOK wint_t getwchar_unlocked() { return fgetwc_unlocked(stdin); }

// --- lines and blocks ---------------------------------------------------------------------------

/// hook: stdio: parks until there is input
COIR_HOOK char* fgets(char* text, int size, FILE* stream) {
  auto call = [&] { return real::fgets(text, size, stream); };
  return size > 1 ? reading(stream, no_text, call) : call();
}

/// hook: stdio: as fgets
COIR_HOOK char* fgets_unlocked(char* text, int size, FILE* stream) {
  auto call = [&] { return real::fgets_unlocked(text, size, stream); };
  return size > 1 ? reading(stream, no_text, call) : call();
}

/// hook: stdio: as fgets
COIR_HOOK char* __fgets_chk(char* text, size_t capacity, int size, FILE* stream) {
  auto call = [&] { return real::__fgets_chk(text, capacity, size, stream); };
  return size > 1 ? reading(stream, no_text, call) : call();
}

/// hook: stdio: as fgets
COIR_HOOK char* __fgets_unlocked_chk(char* text, size_t capacity, int size, FILE* stream) {
  auto call = [&] { return real::__fgets_unlocked_chk(text, capacity, size, stream); };
  return size > 1 ? reading(stream, no_text, call) : call();
}

/// hook: stdio: as fgets
COIR_HOOK wchar_t* fgetws(wchar_t* text, int size, FILE* stream) {
  auto call = [&] { return real::fgetws(text, size, stream); };
  return size > 1 ? reading(stream, no_wide_text, call) : call();
}

/// hook: stdio: as fgets
COIR_HOOK wchar_t* fgetws_unlocked(wchar_t* text, int size, FILE* stream) {
  auto call = [&] { return real::fgetws_unlocked(text, size, stream); };
  return size > 1 ? reading(stream, no_wide_text, call) : call();
}

/// hook: stdio: as fgets
COIR_HOOK wchar_t* __fgetws_chk(wchar_t* text, size_t capacity, int size, FILE* stream) {
  auto call = [&] { return real::__fgetws_chk(text, capacity, size, stream); };
  return size > 1 ? reading(stream, no_wide_text, call) : call();
}

/// hook: stdio: parks until there is input
COIR_HOOK ssize_t getdelim(char** line, size_t* capacity, int delimiter, FILE* stream) {
  return reading(stream, ssize_t{-1},
                 [&] { return real::getdelim(line, capacity, delimiter, stream); });
}
COIR_HOOK ssize_t __getdelim(char**, size_t*, int, FILE*) COIR_HOOK_ALIAS(getdelim);

/// hook: stdio: as getdelim
COIR_HOOK ssize_t getline(char** line, size_t* capacity, FILE* stream) {
  return getdelim(line, capacity, '\n', stream);
}

/// hook: stdio: parks until there is input
COIR_HOOK size_t fread(void* data, size_t size, size_t count, FILE* stream) {
  auto call = [&] { return real::fread(data, size, count, stream); };
  return size > 0 && count > 0 ? reading(stream, size_t{0}, call) : call();
}

/// hook: stdio: as fread
COIR_HOOK size_t fread_unlocked(void* data, size_t size, size_t count, FILE* stream) {
  auto call = [&] { return real::fread_unlocked(data, size, count, stream); };
  return size > 0 && count > 0 ? reading(stream, size_t{0}, call) : call();
}

/// hook: stdio: as fread
COIR_HOOK size_t __fread_chk(void* data, size_t capacity, size_t size, size_t count, FILE* stream) {
  auto call = [&] { return real::__fread_chk(data, capacity, size, count, stream); };
  return size > 0 && count > 0 ? reading(stream, size_t{0}, call) : call();
}

/// hook: stdio: as fread
COIR_HOOK size_t __fread_unlocked_chk(void* data, size_t capacity, size_t size, size_t count,
                                      FILE* stream) {
  auto call = [&] { return real::__fread_unlocked_chk(data, capacity, size, count, stream); };
  return size > 0 && count > 0 ? reading(stream, size_t{0}, call) : call();
}

// --- formatted input ----------------------------------------------------------------------------

/// hook: stdio: parks until there is input
COIR_HOOK int vfscanf(FILE* stream, const char* format, va_list list) {
  return reading(stream, EOF, [&] { return real::vfscanf(stream, format, list); });
}

/// hook: stdio: parks until there is input
COIR_HOOK int __isoc99_vfscanf(FILE* stream, const char* format, va_list list) {
  return reading(stream, EOF, [&] { return real::__isoc99_vfscanf(stream, format, list); });
}

/// hook: stdio: parks until there is input
COIR_HOOK int vfwscanf(FILE* stream, const wchar_t* format, va_list list) {
  return reading(stream, EOF, [&] { return real::vfwscanf(stream, format, list); });
}

/// hook: stdio: parks until there is input
COIR_HOOK int __isoc99_vfwscanf(FILE* stream, const wchar_t* format, va_list list) {
  return reading(stream, EOF, [&] { return real::__isoc99_vfwscanf(stream, format, list); });
}

/// hook: stdio: as vfscanf
COIR_HOOK int vscanf(const char* format, va_list list) { return vfscanf(stdin, format, list); }

/// hook: stdio: as vfscanf
COIR_HOOK int __isoc99_vscanf(const char* format, va_list list) {
  return __isoc99_vfscanf(stdin, format, list);
}

/// hook: stdio: as vfscanf
COIR_HOOK int fscanf(FILE* stream, const char* format, ...) {
  va_list list;
  va_start(list, format);
  const int result = vfscanf(stream, format, list);
  va_end(list);
  return result;
}

/// hook: stdio: as vfscanf
COIR_HOOK int scanf(const char* format, ...) {
  va_list list;
  va_start(list, format);
  const int result = vfscanf(stdin, format, list);
  va_end(list);
  return result;
}

/// hook: stdio: as vfscanf
COIR_HOOK int fwscanf(FILE* stream, const wchar_t* format, ...) {
  va_list list;
  va_start(list, format);
  const int result = vfwscanf(stream, format, list);
  va_end(list);
  return result;
}

/// hook: stdio: as vfscanf
COIR_HOOK int wscanf(const wchar_t* format, ...) {
  va_list list;
  va_start(list, format);
  const int result = vfwscanf(stdin, format, list);
  va_end(list);
  return result;
}

/// hook: stdio: as vfscanf
COIR_HOOK int __isoc99_fscanf(FILE* stream, const char* format, ...) {
  va_list list;
  va_start(list, format);
  const int result = __isoc99_vfscanf(stream, format, list);
  va_end(list);
  return result;
}

/// hook: stdio: as vfscanf
COIR_HOOK int __isoc99_scanf(const char* format, ...) {
  va_list list;
  va_start(list, format);
  const int result = __isoc99_vfscanf(stdin, format, list);
  va_end(list);
  return result;
}

/// hook: stdio: as vfscanf
COIR_HOOK int __isoc99_fwscanf(FILE* stream, const wchar_t* format, ...) {
  va_list list;
  va_start(list, format);
  const int result = __isoc99_vfwscanf(stream, format, list);
  va_end(list);
  return result;
}

/// hook: stdio: as vfscanf
COIR_HOOK int __isoc99_wscanf(const wchar_t* format, ...) {
  va_list list;
  va_start(list, format);
  const int result = __isoc99_vfwscanf(stdin, format, list);
  va_end(list);
  return result;
}

// --- closing ------------------------------------------------------------------------------------

/// hook: stdio: lets those who wait for the descriptor go on
COIR_HOOK int fclose(FILE* stream) {
  if (parking_fiber(family::stdio)) threads::keep_for_waiters(stream->_fileno);
  return real::fclose(stream);
}
COIR_HOOK int _IO_fclose(FILE*) COIR_HOOK_ALIAS(fclose);
