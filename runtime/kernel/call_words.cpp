#include "runtime/kernel/call_words.hpp"

#include "runtime/kernel/calls.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdio>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/un.h>

namespace coir::kernel {
namespace {

/// The calls in which threads are found waiting.
struct known_call {
  long number;
  const char* name;
  enum { plain, descriptor, descriptors } first;  ///< what its first argument is
};

constexpr known_call known_calls[] = {
    {SYS_read, "read", known_call::descriptor},
    {SYS_readv, "readv", known_call::descriptor},
    {SYS_pread64, "pread", known_call::descriptor},
    {SYS_preadv, "preadv", known_call::descriptor},
    {SYS_preadv2, "preadv2", known_call::descriptor},
    {SYS_write, "write", known_call::descriptor},
    {SYS_writev, "writev", known_call::descriptor},
    {SYS_pwrite64, "pwrite", known_call::descriptor},
    {SYS_pwritev, "pwritev", known_call::descriptor},
    {SYS_pwritev2, "pwritev2", known_call::descriptor},
    {SYS_recvfrom, "recv", known_call::descriptor},
    {SYS_recvmsg, "recvmsg", known_call::descriptor},
    {SYS_recvmmsg, "recvmmsg", known_call::descriptor},
    {SYS_sendto, "send", known_call::descriptor},
    {SYS_sendmsg, "sendmsg", known_call::descriptor},
    {SYS_sendmmsg, "sendmmsg", known_call::descriptor},
    {SYS_sendfile, "sendfile", known_call::descriptor},
    {SYS_splice, "splice", known_call::descriptor},
    {SYS_tee, "tee", known_call::descriptor},
    {SYS_vmsplice, "vmsplice", known_call::descriptor},
    {SYS_copy_file_range, "copy_file_range", known_call::descriptor},
    {SYS_connect, "connect", known_call::descriptor},
    {SYS_accept, "accept", known_call::descriptor},
    {SYS_accept4, "accept4", known_call::descriptor},
    {SYS_close, "close", known_call::descriptor},
    {SYS_flock, "flock", known_call::descriptor},
    {SYS_fcntl, "fcntl", known_call::descriptor},
    {SYS_ioctl, "ioctl", known_call::descriptor},
    {SYS_fsync, "fsync", known_call::descriptor},
    {SYS_fdatasync, "fdatasync", known_call::descriptor},
    {SYS_sync_file_range, "sync_file_range", known_call::descriptor},
    {SYS_syncfs, "syncfs", known_call::descriptor},
    {SYS_ftruncate, "ftruncate", known_call::descriptor},
    {SYS_fallocate, "fallocate", known_call::descriptor},
    {SYS_getdents64, "getdents64", known_call::descriptor},
    {SYS_ppoll, "ppoll", known_call::descriptors},
    {SYS_epoll_pwait, "epoll_pwait", known_call::descriptor},
#ifdef SYS_epoll_pwait2
    {SYS_epoll_pwait2, "epoll_pwait2", known_call::descriptor},
#endif
#ifdef SYS_poll  // the older calls, which newer processors do not have
    {SYS_poll, "poll", known_call::descriptors},
    {SYS_select, "select", known_call::plain},
    {SYS_epoll_wait, "epoll_wait", known_call::descriptor},
    {SYS_pause, "pause", known_call::plain},
    {SYS_open, "open", known_call::plain},
    {SYS_rename, "rename", known_call::plain},
    {SYS_unlink, "unlink", known_call::plain},
    {SYS_stat, "stat", known_call::plain},
#endif
    {SYS_pselect6, "select", known_call::plain},
    {SYS_openat, "open", known_call::plain},
    {SYS_nanosleep, "nanosleep", known_call::plain},
    {SYS_clock_nanosleep, "clock_nanosleep", known_call::plain},
    {SYS_futex, "futex, as locks and conditions of threads do", known_call::plain},
    {SYS_wait4, "waitpid", known_call::plain},
    {SYS_waitid, "waitid", known_call::plain},
    {SYS_rt_sigtimedwait, "sigwait", known_call::plain},
    {SYS_rt_sigsuspend, "sigsuspend", known_call::plain},
    {SYS_semop, "semop", known_call::plain},
    {SYS_semtimedop, "semtimedop", known_call::plain},
    {SYS_msgsnd, "msgsnd", known_call::plain},
    {SYS_msgrcv, "msgrcv", known_call::plain},
    {SYS_mq_timedreceive, "mq_receive", known_call::descriptor},
    {SYS_mq_timedsend, "mq_send", known_call::descriptor},
    {SYS_io_getevents, "io_getevents", known_call::plain},
    {SYS_io_uring_enter, "io_uring_enter", known_call::descriptor},
    {SYS_msync, "msync", known_call::plain},
    {SYS_sync, "sync", known_call::plain},
    {SYS_execve, "execve", known_call::plain},
    {SYS_clone, "clone", known_call::plain},
    {SYS_mmap, "mmap", known_call::plain},
    {SYS_munmap, "munmap", known_call::plain},
    {SYS_fstat, "fstat", known_call::descriptor},
    {SYS_newfstatat, "stat", known_call::plain},
    {SYS_unlinkat, "unlink", known_call::plain},
    {SYS_renameat2, "rename", known_call::plain},
    {SYS_restart_syscall, "a call that goes on after an interruption", known_call::plain},
};

std::string words_for(const sockaddr_storage& address, socklen_t size) {
  char text[INET6_ADDRSTRLEN] = "";
  if (address.ss_family == AF_INET) {
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(address);
    inet_ntop(AF_INET, &v4.sin_addr, text, sizeof text);
    return std::string(text) + ':' + std::to_string(ntohs(v4.sin_port));
  }
  if (address.ss_family == AF_INET6) {
    const auto& v6 = reinterpret_cast<const sockaddr_in6&>(address);
    inet_ntop(AF_INET6, &v6.sin6_addr, text, sizeof text);
    return '[' + std::string(text) + "]:" + std::to_string(ntohs(v6.sin6_port));
  }
  const auto& local = reinterpret_cast<const sockaddr_un&>(address);
  const std::size_t length =
      size > offsetof(sockaddr_un, sun_path)
          ? std::min<std::size_t>(size - offsetof(sockaddr_un, sun_path), sizeof local.sun_path)
          : 0;
  if (address.ss_family != AF_UNIX || length == 0) return {};
  std::string path(local.sun_path, length);
  if (path.front() == '\0') path.front() = '@';  // a name that is no file
  return path.c_str();
}

std::string address_of(long number, int fd) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  return call(number, fd, &address, &size) == 0 ? words_for(address, size) : std::string();
}

std::string words_for_socket(int fd) {
  int family = 0;
  int type = 0;
  socklen_t size = sizeof family;
  getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &size);
  size = sizeof type;
  getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size);
  const bool is_ip = family == AF_INET || family == AF_INET6;
  std::string words = is_ip && type == SOCK_STREAM  ? "TCP socket"
                      : is_ip && type == SOCK_DGRAM ? "UDP socket"
                      : family == AF_UNIX           ? "unix socket"
                                                    : "socket";
  const std::string own = address_of(SYS_getsockname, fd);
  const std::string peer = address_of(SYS_getpeername, fd);
  if (!own.empty()) words += ' ' + own;
  if (!peer.empty()) words += " to " + peer;
  return words;
}

std::string words_for_polled(const call_in_progress& call) {
  constexpr std::uint64_t shown_max = 3;
  std::string words;
  const std::uint64_t count = call.arguments[1];
  for (std::uint64_t i = 0; i < std::min(count, shown_max); ++i) {
    pollfd one;
    const std::uint64_t at = call.arguments[0] + i * sizeof one;
    if (!read_memory(reinterpret_cast<const void*>(at), &one, sizeof one)) break;
    words += (i ? ", " : ": ") + std::to_string(one.fd) + " is " + words_for_descriptor(one.fd);
  }
  if (count > shown_max) words += ", and " + std::to_string(count - shown_max) + " more";
  return words;
}

}  // namespace

std::string words_for_descriptor(int fd) {
  char path[32];
  std::snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  char target[256];
  const long size = call(SYS_readlinkat, AT_FDCWD, path, target, sizeof target);
  if (size < 0) return "no open descriptor";
  const std::string text(target, static_cast<std::size_t>(size));
  if (text.starts_with("socket:")) return words_for_socket(fd);
  if (text.starts_with("anon_inode:[")) return text.substr(12, text.size() - 13);
  return text.starts_with('/') ? "file " + text : text;
}

std::string words_for(const call_in_progress& call) {
  const auto* const found =
      std::find_if(std::begin(known_calls), std::end(known_calls),
                   [&](const known_call& known) { return known.number == call.number; });
  if (found == std::end(known_calls)) return "system call " + std::to_string(call.number);
  if (found->first == known_call::descriptors) return found->name + words_for_polled(call);
  if (found->first == known_call::plain) return found->name;
  const int fd = static_cast<int>(call.arguments[0]);
  return std::string(found->name) + '(' + std::to_string(fd) + "): " + words_for_descriptor(fd);
}

}  // namespace coir::kernel
