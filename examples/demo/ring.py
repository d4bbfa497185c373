"""Whether this machine lets a process have an io_uring, asked without coir."""

import ctypes
import errno
import os

SYS_IO_URING_SETUP = 425
PARAMETERS_SIZE = 120


def why_no_io_uring():
    """Why the kernel refuses a ring, the name of an errno; empty when it gives one."""
    libc = ctypes.CDLL(None, use_errno=True)
    ring = libc.syscall(SYS_IO_URING_SETUP, 1, ctypes.create_string_buffer(PARAMETERS_SIZE))
    if ring < 0:
        return errno.errorcode[ctypes.get_errno()]
    os.close(ring)
    return ""
