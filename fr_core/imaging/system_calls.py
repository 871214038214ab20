"""Imaging, the list of system calls: what decoding a photo takes of the kernel, by number on each architecture."""

from __future__ import annotations

ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
"""AUDIT_ARCH_* of linux/audit.h, by `platform.machine()`, in the order of the columns below."""

ABSENT = -1
"""The number of a call that an architecture does not have."""

FREE: dict[str, tuple[int, int]] = {
    "read": (0, 63),
    "write": (1, 64),
    "close": (3, 57),
    "fstat": (5, 80),
    "lseek": (8, 62),
    "munmap": (11, 215),
    "brk": (12, 214),
    "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139),
    "sched_yield": (24, 124),
    "mremap": (25, 216),
    "madvise": (28, 233),
    "getpid": (39, 172),
    "exit": (60, 93),
    "gettimeofday": (96, 169),
    "getrusage": (98, 165),
    "sigaltstack": (131, 132),
    "gettid": (186, 178),
    "futex": (202, 98),
    "sched_getaffinity": (204, 123),
    "restart_syscall": (219, 128),
    "clock_gettime": (228, 113),
    "exit_group": (231, 94),
    "getrandom": (318, 278),
}
"""May be called."""

WITHOUT_CODE: dict[str, tuple[int, int]] = {"mmap": (9, 222), "mprotect": (10, 226)}
"""May be called for memory that cannot be executed."""

OF_ITSELF: dict[str, tuple[int, int]] = {"prlimit64": (302, 261)}
"""May be called for the process itself: it sets the limit of processor time before each photo."""

BY_NAME: dict[str, tuple[int, int]] = {
    "open": (2, ABSENT),
    "stat": (4, ABSENT),
    "lstat": (6, ABSENT),
    "access": (21, ABSENT),
    "getcwd": (79, 17),
    "readlink": (89, ABSENT),
    "openat": (257, 56),
    "newfstatat": (262, 79),
    "readlinkat": (267, 78),
    "faccessat": (269, 48),
    "statx": (332, 291),
    "openat2": (437, 437),
}
"""Fail with EACCES: what an import or a time zone would look for, and can do without."""
