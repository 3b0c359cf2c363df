"""The kernel's means of containment, and what stands in for them in tests."""

from __future__ import annotations

import ctypes
import errno
import os
import resource
from collections.abc import Mapping
from typing import Protocol

from edge.containment import landlock, seccomp, syscalls
from edge.containment.late_imports import refuse_late_imports
from edge.containment.role import Measure, ProcessRole

_PR_SET_NO_NEW_PRIVS = 38


class Kernel(Protocol):
    """Puts measures in force in this process. There is no way back."""

    def check(self, measure: Measure) -> None:
        """Raises OSError where the measure is missing, and says why. Changes nothing."""
        ...

    def put_in_force(self, measure: Measure, role: ProcessRole) -> None:
        """Puts in force what ``check`` has found. Raises OSError."""
        ...


class LinuxKernel:
    """The kernel of this machine."""

    def check(self, measure: Measure) -> None:
        match measure:
            case Measure.LANDLOCK:
                landlock.version()
            case Measure.LANDLOCK_TCP:
                if landlock.version() < landlock.TCP_SINCE:
                    raise OSError(errno.ENOSYS, "Landlock limits no TCP ports (Linux 6.7 and later do)")
            case Measure.SECCOMP:
                seccomp.check()
            case Measure.NO_NEW_PRIVS | Measure.RLIMITS:
                pass

    def put_in_force(self, measure: Measure, role: ProcessRole) -> None:
        match measure:
            case Measure.NO_NEW_PRIVS:
                _no_new_privileges()
            case Measure.RLIMITS:
                _limit(role.limits)
            case Measure.LANDLOCK:
                if (threads := len(os.listdir("/proc/self/task"))) > 1:
                    # It holds for the calling thread, and a process is as free as its freest thread.
                    raise OSError(errno.EBUSY, f"threads were started before it: {threads - 1}")
                landlock.restrict(role.read, role.write, role.tcp_ports)
                refuse_late_imports()
            case Measure.LANDLOCK_TCP:
                pass  # a part of the same rules
            case Measure.SECCOMP:
                seccomp.load(syscalls.rules(role, os.getpid()))


def _no_new_privileges() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def _limit(limits: Mapping[str, int]) -> None:
    for name, value in limits.items():
        number = getattr(resource, name, None)
        if number is None:  # this Python does not know it
            continue
        _, hard = resource.getrlimit(number)
        most = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(number, (most, most))
