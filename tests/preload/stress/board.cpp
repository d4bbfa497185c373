#include "board.hpp"

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace stress {
namespace {

struct line {
  char text[board_line_bytes];
};

line private_lines[board_lines];
line* lines = private_lines;
std::atomic<bool> is_taken[board_lines];
std::atomic<unsigned> next_line;
std::uint64_t current_seed;
int current_round;

struct own_line {
  line* where = nullptr;
  char name[40] = "";
  unsigned steps = 0;
};
thread_local own_line mine;

}  // namespace

void open_board(const char* path) {
  const int fd = ::open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0 || ::ftruncate(fd, sizeof private_lines) != 0) {
    std::perror(path);
    std::exit(2);
  }
  void* const memory =
      ::mmap(nullptr, sizeof private_lines, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (memory == MAP_FAILED) {
    std::perror("mmap");
    std::exit(2);
  }
  ::close(fd);
  lines = static_cast<line*>(memory);
}

void leave_board() {
  lines = private_lines;
  mine.where = nullptr;
}

void enter_board(const char* name, int number, bool is_native) {
  for (;;) {
    const unsigned candidate = next_line.fetch_add(1) % board_lines;
    if (is_taken[candidate].exchange(true)) continue;
    mine.where = &lines[candidate];
    break;
  }
  std::snprintf(mine.name, sizeof mine.name, "%s %d%s", name, number, is_native ? " native" : "");
  doing("begins");
}

void leave_line() {
  if (!mine.where) return;
  line* const where = mine.where;
  mine.where = nullptr;
  where->text[0] = '\0';
  is_taken[where - lines].store(false);
}

void doing(const char* what, std::uint64_t detail) {
  ++mine.steps;
  if (!mine.where) return;
  std::snprintf(mine.where->text, board_line_bytes, "%s, step %u: %s %llu", mine.name, mine.steps,
                what, static_cast<unsigned long long>(detail));
}

void set_round(std::uint64_t seed, int round) {
  current_seed = seed;
  current_round = round;
}

void fail(const char* what, const char* file, int line) {
  const int error = errno;
  char text[512];
  const char* const name = std::strrchr(file, '/');
  const int length = std::snprintf(
      text, sizeof text, "FAILED: %s (%s:%d), seed %llu, round %d, process %d, errno %d, %s\n",
      what, name ? name + 1 : file, line, static_cast<unsigned long long>(current_seed),
      current_round, static_cast<int>(::getpid()), error,
      mine.where ? mine.where->text : "no thread of the board");
  [[maybe_unused]] const ssize_t ignored =
      ::write(STDERR_FILENO, text, static_cast<std::size_t>(length));
  std::abort();
}

}  // namespace stress
