"""The system calls that a contained process may make. Pure description, by name, for every architecture.

Everything else fails with ENOSYS, as on a kernel that does not have the call. The C library knows an older
way for such calls, so a new version of it does not end a gate. What would be an escape fails with EPERM, so
that a log says what was refused. Nothing kills the process: a harmless call of a library must not end the
streams of a worker, and an escape that fails is as good as one that is punished.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from edge.containment.role import ProcessRole

_ANY = 0xFFFF_FFFF_FFFF_FFFF
_INT = 0xFFFF_FFFF
_PROT_EXEC = 0x4
_CLONE_THREAD = 0x0001_0000
_SOCKET_KIND = 0xF
"""Without the flags beside it."""

_MEMORY = "brk madvise membarrier mincore mremap msync munmap"
_FILES = (
    "access close close_range dup dup2 dup3 faccessat faccessat2 fadvise64 fdatasync fstat fstatfs "
    "fsync ftruncate getcwd getdents64 lseek lstat newfstatat open openat pread64 preadv preadv2 pwrite64 "
    "pwritev pwritev2 read readlink readlinkat readv rename renameat renameat2 stat statfs statx unlink "
    "unlinkat write writev"
)
_THREADS = (
    "exit exit_group futex get_robust_list getcpu getpriority gettid restart_syscall rseq "
    "sched_get_priority_max sched_get_priority_min sched_getaffinity sched_getparam sched_getscheduler "
    "sched_yield set_robust_list set_tid_address"
)
_TIME = "clock_getres clock_gettime clock_nanosleep gettimeofday nanosleep time times"
_SIGNALS = "rt_sigaction rt_sigprocmask rt_sigreturn rt_sigtimedwait sigaltstack"
_WAITING = (
    "epoll_create1 epoll_ctl epoll_pwait epoll_pwait2 epoll_wait eventfd2 pipe2 poll ppoll pselect6 select"
)
_SOCKETS = "getpeername getsockname getsockopt recvfrom sendto setsockopt shutdown"
_ABOUT_ITSELF = (
    "getegid geteuid getgid getgroups getpgrp getpid getppid getrandom getresgid getresuid getrlimit "
    "getrusage getuid sysinfo uname"
)
_NETWORK = "bind connect recvmmsg recvmsg sendmmsg sendmsg"

_ESCAPES = (
    "accept accept4 acct add_key adjtimex bpf chdir chmod chown chroot delete_module execve execveat fchdir "
    "fchmod fchmodat fchown fchownat finit_module fork fsconfig fsmount fsopen init_module io_uring_enter "
    "io_uring_register io_uring_setup ioperm iopl kcmp kexec_file_load kexec_load keyctl kill link "
    "linkat listen memfd_secret mkdir mkdirat mknod mknodat mount mount_setattr move_mount "
    "name_to_handle_at open_by_handle_at open_tree perf_event_open personality pidfd_getfd pidfd_open "
    "pidfd_send_signal pivot_root process_madvise process_vm_readv process_vm_writev ptrace quotactl reboot "
    "request_key rt_sigqueueinfo rt_tgsigqueueinfo seccomp setdomainname setfsgid setfsuid setgid setgroups "
    "sethostname setns setpgid setregid setresgid setresuid setreuid setrlimit setsid settimeofday setuid "
    "swapoff swapon symlink symlinkat syslog tkill truncate umount2 unshare userfaultfd vfork"
)
_NETWORK_ESCAPES = f"{_NETWORK} socket socketpair"

_IOCTLS: Final = (
    0x5401,  # TCGETS: whether a file is a terminal, at each open
    0x5413,  # TIOCGWINSZ
    0x541B,  # FIONREAD
    0x5421,  # FIONBIO
    0x5450,  # FIONCLEX
    0x5451,  # FIOCLEX
)
_FCNTLS: Final = (
    0,  # F_DUPFD
    1,  # F_GETFD
    2,  # F_SETFD
    3,  # F_GETFL
    4,  # F_SETFL
    1030,  # F_DUPFD_CLOEXEC
)
"""Not F_SETOWN, which sends signals to other processes."""
_PRCTLS: Final = (
    15,  # PR_SET_NAME: decoders name their threads
    16,  # PR_GET_NAME
    0x53564D41,  # PR_SET_VMA: the C library names its memory
)


@dataclass(frozen=True, slots=True)
class Bits:
    """Holds where ``argument & mask == value``. Arguments count from 0."""

    argument: int
    mask: int
    value: int


@dataclass(frozen=True, slots=True)
class Rule:
    """What happens at one system call, in general or where all of its conditions hold."""

    call: str
    allow: bool
    conditions: tuple[Bits, ...] = ()


def rules(role: ProcessRole, pid: int) -> Iterator[Rule]:
    """Yields the rules of a role for the process ``pid``. A call without a rule fails with ENOSYS."""
    allowed = [_MEMORY, _FILES, _THREADS, _TIME, _SIGNALS, _WAITING, _SOCKETS, _ABOUT_ITSELF]
    refused = [_ESCAPES]
    if role.network:
        allowed.append(_NETWORK)
        kind = () if role.datagrams else (Bits(1, _SOCKET_KIND, socket.SOCK_STREAM),)
        for family in (socket.AF_INET, socket.AF_INET6):
            yield Rule("socket", True, (Bits(0, _INT, family), *kind))
    else:
        refused.append(_NETWORK_ESCAPES)
    for call in " ".join(allowed).split():
        yield Rule(call, True)
    for call in " ".join(refused).split():
        yield Rule(call, False)
    for memory in ("mmap", "mprotect"):  # no memory becomes code
        yield Rule(memory, True, (Bits(2, _PROT_EXEC, 0),))
        yield Rule(memory, False, (Bits(2, _PROT_EXEC, _PROT_EXEC),))
    # Threads, and no processes. clone3 hides its flags in memory, where no filter looks. The C library takes
    # ENOSYS for an older kernel and uses clone.
    yield Rule("clone", True, (Bits(0, _CLONE_THREAD, _CLONE_THREAD),))
    yield Rule("clone", False, (Bits(0, _CLONE_THREAD, 0),))
    yield from _where("tgkill", 0, pid)  # abort and the fault handler end the process itself
    yield Rule("prlimit64", True, (Bits(2, _ANY, 0),))  # reads limits
    yield Rule("setpriority", True, (Bits(0, _INT, 0), Bits(1, _INT, 0)))  # of the calling thread
    yield from _where("ioctl", 1, *_IOCTLS)
    yield from _where("fcntl", 1, *_FCNTLS)
    yield from _where("prctl", 0, *_PRCTLS)


def _where(call: str, argument: int, *values: int) -> Iterator[Rule]:
    """Allows the call where the argument, an int, has one of the values."""
    for value in values:
        yield Rule(call, True, (Bits(argument, _INT, value),))
