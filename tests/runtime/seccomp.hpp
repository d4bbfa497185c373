/// A system call made to fail, for kernels and containers that lack it.
#pragma once

#include <cerrno>
#include <cstddef>
#include <vector>

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace coir::test {

/// An argument by which only some calls fail.
struct argument_is {
  int index;       ///< which of the six
  unsigned value;  ///< of its lower half
};

/// Makes system call `number` fail with `error` in the calling thread and in those that it makes,
/// for good; with `which`, only calls with that argument. False when the kernel has no seccomp
/// filters. For processes of EXPECT_EXIT.
inline bool fail_system_call_with(long number, int error, argument_is which = {-1, 0}) {
  const sock_filter refuse =
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | static_cast<unsigned>(error));
  const sock_filter permit = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
  std::vector<sock_filter> program;
  program.push_back(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)));
  program.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<unsigned>(number), 1, 0));
  program.push_back(permit);
  if (which.index >= 0) {
    const auto offset = offsetof(seccomp_data, args) + static_cast<std::size_t>(which.index) * 8;
    program.push_back(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, static_cast<unsigned>(offset)));
    program.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, which.value, 1, 0));
    program.push_back(permit);
  }
  program.push_back(refuse);
  const sock_fprog filter{static_cast<unsigned short>(program.size()), program.data()};
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

}  // namespace coir::test
