"""Imaging, the walls of the sandbox: a process gives up its rights before it touches a photo of a stranger.

For Linux, on x86-64 and on 64-bit ARM; elsewhere there are no such walls, and `unavailable` says so. The walls are:

* resource limits (setrlimit(2)): memory, no files written, no core dumps, no new descriptors;
* no capabilities (capabilities(7)), though root has them all; no new privileges (prctl(2), PR_SET_NO_NEW_PRIVS), and
  death with the parent (PR_SET_PDEATHSIG);
* a filter (seccomp(2)) that allows only the system calls that decoding needs: reading and writing open descriptors,
  memory that is not executable, clocks, and threads of this process, which have the same filter. Looking up a file by
  its name fails with EACCES. Any other call ends the process; the dangerous ones are sockets, execve, fork, ptrace and
  kill.
"""

import ctypes
import errno
import os
import platform
import resource
import signal
import struct
import sys
from pathlib import Path

from fr_locales.messages import Message, message

ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
"""AUDIT_ARCH_* of linux/audit.h, by `platform.machine()`, in the order of the columns below."""

READY = b"ready"
"""Sent by a process once it has shut itself in."""

ABSENT = -1  # the number of a call that an architecture does not have

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
    "set_robust_list": (273, 99),
    "getrandom": (318, 278),
    "rseq": (334, 293),
}
"""May be called."""

WITHOUT_CODE: dict[str, tuple[int, int]] = {"mmap": (9, 222), "mprotect": (10, 226)}
"""May be called for memory that cannot be executed."""

OF_ITSELF: dict[str, tuple[int, int]] = {"prlimit64": (302, 261)}
"""May be called for the process itself: it sets the limit of processor time before each photo."""

OF_THREADS: dict[str, tuple[int, int]] = {"clone": (56, 220)}
"""May be called only with the flags of pthread_create(3): libde265 starts a thread for each HEIC picture."""

UNKNOWN: dict[str, tuple[int, int]] = {"clone3": (435, 435)}
"""Fails with ENOSYS: its flags are in memory, where a filter cannot see them. The C library then uses `clone`."""

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


# Of linux/capability.h, linux/prctl.h, linux/seccomp.h, linux/bpf_common.h and linux/audit.h.
_CAPABILITY_VERSION_3 = 0x20080522
_PR_SET_PDEATHSIG, _PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 1, 22, 38
_SECCOMP_MODE_FILTER = 2
_KILL, _ALLOW, _ERRNO = 0x80000000, 0x7FFF0000, 0x00050000
_LOAD, _JUMP_EQUAL, _JUMP_ANY_BIT, _RETURN = 0x20, 0x15, 0x45, 0x06
_AT_NUMBER, _AT_ARCHITECTURE, _AT_ARGUMENTS = 0, 4, 16  # struct seccomp_data
_PROT_EXEC = 4
# Flags of linux/sched.h that glibc's pthread_create(3) gives: CLONE_VM, FS, FILES, SIGHAND, THREAD, SYSVSEM, SETTLS,
# PARENT_SETTID and CHILD_CLEARTID. Without CLONE_THREAD, the call would make a new process.
_THREAD_FLAGS = 0x3D0F00

_MOST_DESCRIPTORS = 16


class NoWalls(OSError):
    """This system does not confine the process."""


def unavailable() -> Message | None:
    """Say why there is no sandbox on this system; None where there is one."""
    if sys.platform != "linux":
        return message("error.imaging.needs_linux")
    if platform.machine() not in ARCHITECTURES:
        return message("error.imaging.needs_processor", architectures=" or ".join(ARCHITECTURES))
    return None


def die_with(parent: int) -> None:
    """End this process when the thread that started it ends.

    `parent`: process id of who started it. Raises `NoWalls`: the parent is gone already, or the kernel refuses.
    """
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        raise NoWalls("the parent is gone")


def confine(memory_mib: int) -> None:
    """Shut this process in; for good. To be called when everything is imported, by a process of one thread.

    `memory_mib`: address space that it may take beyond what it has. Raises `NoWalls`: the kernel refuses, or there are
    more threads than one, which the filter would not bind.
    """
    if len(list(Path("/proc/self/task").iterdir())) != 1:
        raise NoWalls("a thread runs already")
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    space = pages * resource.getpagesize() + memory_mib * 2**20
    for what, most in (
        (resource.RLIMIT_AS, space),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, _MOST_DESCRIPTORS),
    ):
        resource.setrlimit(what, (most, most))
    _drop_capabilities()
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    program = filter_program(platform.machine())
    buffer = ctypes.create_string_buffer(program, len(program))
    # struct sock_fprog of linux/filter.h: a number of instructions of 8 bytes, and where they are.
    whole = ctypes.create_string_buffer(struct.pack("@HP", len(program) // 8, ctypes.addressof(buffer)))
    _prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.addressof(whole))


def limit_processor_s(seconds: int) -> None:
    """Let this process run so many seconds more, of processor time; then it is killed."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    resource.setrlimit(resource.RLIMIT_CPU, (int(used.ru_utime + used.ru_stime) + 1 + seconds, resource.RLIM_INFINITY))


def _drop_capabilities() -> None:
    # Of linux/capability.h: struct __user_cap_header_struct, and two of __user_cap_data_struct with every set empty.
    header = ctypes.create_string_buffer(struct.pack("@Ii", _CAPABILITY_VERSION_3, 0))
    nothing = ctypes.create_string_buffer(2 * 3 * 4)
    if ctypes.CDLL(None, use_errno=True).capset(header, nothing) != 0:
        number = ctypes.get_errno()
        raise NoWalls(number, f"capset: {os.strerror(number)}")


def _prctl(option: int, first: int, second: int = 0) -> None:
    library = ctypes.CDLL(None, use_errno=True)
    arguments = [ctypes.c_ulong(value) for value in (first, second, 0, 0)]
    if library.prctl(ctypes.c_int(option), *arguments) != 0:
        number = ctypes.get_errno()
        raise NoWalls(number, f"prctl({option}): {os.strerror(number)}")


def filter_program(machine: str) -> bytes:
    """The filter for a machine of `ARCHITECTURES`, as instructions of the classic BPF, 8 bytes each."""
    column = list(ARCHITECTURES).index(machine)
    end, allowed = _step(_RETURN, _KILL), _step(_RETURN, _ALLOW)
    parts = [
        _step(_LOAD, _AT_ARCHITECTURE),
        _step(_JUMP_EQUAL, ARCHITECTURES[machine], 1),
        end,
        _step(_LOAD, _AT_NUMBER),
    ]
    for calls, then in (
        (FREE, [allowed]),
        (BY_NAME, [_step(_RETURN, _ERRNO | errno.EACCES)]),
        (WITHOUT_CODE, [_argument(2), _step(_JUMP_ANY_BIT, _PROT_EXEC, 0, 1), end, allowed]),
        (OF_ITSELF, [_argument(0), _step(_JUMP_EQUAL, 0, 0, 1), allowed, end]),
        (OF_THREADS, [_argument(0), _step(_JUMP_EQUAL, _THREAD_FLAGS, 0, 1), allowed, end]),
        (UNKNOWN, [_step(_RETURN, _ERRNO | errno.ENOSYS)]),
    ):
        for numbers in calls.values():
            if numbers[column] != ABSENT:
                parts += [_step(_JUMP_EQUAL, numbers[column], 0, len(then)), *then]
    return b"".join([*parts, end])


def _step(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value)


def _argument(index: int) -> bytes:
    """Load the low half of an argument; both architectures are little-endian."""
    return _step(_LOAD, _AT_ARGUMENTS + 8 * index)
