/// What each thread is doing, in a file that another process can read when nothing moves any more;
/// and the check that ends the program.
#pragma once

#include <cstdint>

namespace stress {

/// One thread in the file: a text that ends with a zero.
inline constexpr int board_line_bytes = 96;
inline constexpr int board_lines = 4096;

/// Uses `path` from now on; without a call lines go to memory of this process.
void open_board(const char* path);
/// In a forked child: its threads are not on its parent's board.
void leave_board();

/// Takes a line for the calling thread, until the thread ends.
void enter_board(const char* name, int number, bool is_native);
void leave_line();

/// What the calling thread does from here. `what` is a string constant.
void doing(const char* what, std::uint64_t detail = 0);

/// For the messages of check().
void set_round(std::uint64_t seed, int round);

/// Ends the program with a message unless `is_true`.
#define STRESS_CHECK(is_true) \
  (__builtin_expect(!(is_true), 0) ? ::stress::fail(#is_true, __FILE__, __LINE__) : void())
[[noreturn]] void fail(const char* what, const char* file, int line);

}  // namespace stress
