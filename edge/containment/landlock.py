"""Binds Landlock: the kernel's own list of files, TCP ports and peers that a process may reach.

The binding on PyPI is an alpha of 2025 that knows neither ports nor peers.

Source: ``linux/landlock.h``, and https://docs.kernel.org/userspace-api/landlock.html.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Final

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # the same on every architecture
_VERSION = 1
_PATH_BENEATH, _NET_PORT = 1, 2

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_REMOVE_FILE, _MAKE_REG = 1 << 5, 1 << 8
_TRUNCATE = 1 << 14
_ALL_FILES: Final = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}
"""Every access to files that a version knows, by the version that brought the newest."""
_BIND_TCP, _CONNECT_TCP = 1 << 0, 1 << 1
_SCOPES = 0b11
"""Abstract unix sockets and signals of processes outside."""
TCP_SINCE: Final = 4
_SCOPES_SINCE: Final = 6


class _Ruleset(ctypes.Structure):
    _fields_ = (
        ("handled_access_fs", ctypes.c_uint64),
        ("handled_access_net", ctypes.c_uint64),
        ("scoped", ctypes.c_uint64),
    )


class _PathBeneath(ctypes.Structure):
    _fields_ = (("allowed_access", ctypes.c_uint64), ("parent_fd", ctypes.c_int32))


class _NetPort(ctypes.Structure):
    _fields_ = (("allowed_access", ctypes.c_uint64), ("port", ctypes.c_uint64))


_libc = ctypes.CDLL(None, use_errno=True)


def version() -> int:
    """The version of Landlock's interface in this kernel. Raises OSError where there is none."""
    return _call(_CREATE_RULESET, None, 0, _VERSION)


def restrict(read: Iterable[Path], write: Iterable[Path], tcp_ports: Iterable[int]) -> None:
    """Restricts the calling thread, and the threads that it starts, for good.

    It may connect to ``tcp_ports`` and listen at none. A kernel before version 4 leaves TCP as it is. Paths
    that do not exist are left out. Raises OSError.
    """
    known = version()
    files = _ALL_FILES[max(since for since in _ALL_FILES if since <= known)]
    ruleset = _Ruleset(files, _BIND_TCP | _CONNECT_TCP, _SCOPES)
    size = 8 * (3 if known >= _SCOPES_SINCE else 2 if known >= TCP_SINCE else 1)
    descriptor = _call(_CREATE_RULESET, ctypes.byref(ruleset), size, 0)
    try:
        for path in read:
            _allow(descriptor, path, _READ_FILE | _READ_DIR)
        making = _READ_FILE | _READ_DIR | _WRITE_FILE | _REMOVE_FILE | _MAKE_REG | _TRUNCATE
        for path in write:
            _allow(descriptor, path, making & files)
        for port in tcp_ports if known >= TCP_SINCE else ():
            _call(_ADD_RULE, descriptor, _NET_PORT, ctypes.byref(_NetPort(_CONNECT_TCP, port)), 0)
        _call(_RESTRICT_SELF, descriptor, 0)
    finally:
        os.close(descriptor)


def _allow(ruleset: int, path: Path, access: int) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
            access &= _READ_FILE
        rule = _PathBeneath(access, descriptor)
        _call(_ADD_RULE, ruleset, _PATH_BENEATH, ctypes.byref(rule), 0)
    finally:
        os.close(descriptor)


def _call(number: int, *arguments: object) -> int:
    numbers = (ctypes.c_long(value) if isinstance(value, int) else value for value in arguments)
    result: int = _libc.syscall(ctypes.c_long(number), *numbers)
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, _REASONS.get(code) or os.strerror(code))
    return result


_REASONS: Final = {
    errno.ENOSYS: "the kernel has no Landlock (Linux 5.13 and later)",
    errno.EOPNOTSUPP: "Landlock is switched off at boot (lsm=… on the kernel's command line)",
}
