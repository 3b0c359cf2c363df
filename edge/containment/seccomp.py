"""Loads the filter of system calls by libseccomp, which knows their numbers on every architecture."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterable
from typing import Any

from edge.containment.syscalls import Rule


def check() -> None:
    """Raises OSError where the library or the kernel's part is missing."""
    _library()
    # Without seccomp in the kernel the file is missing.
    os.stat("/proc/sys/kernel/seccomp/actions_avail")


def load(rules: Iterable[Rule]) -> None:
    """Puts the filter in force for all threads of the process, for good. Raises OSError."""
    library = _library()
    filtering = library.SyscallFilter(library.ERRNO(errno.ENOSYS))
    filtering.set_attr(library.Attr.CTL_TSYNC, 1)
    with contextlib.suppress(OSError):  # a search tree in place of a list, since libseccomp 2.5
        filtering.set_attr(library.Attr.CTL_OPTIMIZE, 2)
    for rule in rules:
        number = library.resolve_syscall(library.Arch.NATIVE, rule.call)
        if number == -1:  # a call that is newer than the library: it fails with ENOSYS like all others
            continue
        action = library.ALLOW if rule.allow else library.ERRNO(errno.EPERM)
        filtering.add_rule(
            action,
            number,
            *(library.Arg(c.argument, library.MASKED_EQ, c.mask, c.value) for c in rule.conditions),
        )
    filtering.load()


def _library() -> Any:
    try:
        import pyseccomp
    except (ImportError, RuntimeError) as error:  # it says so where libseccomp is not installed
        raise OSError(errno.ENOENT, f"libseccomp is missing (Debian: libseccomp2): {error}") from None
    return pyseccomp
