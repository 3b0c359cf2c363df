"""Private memory of a process. Mapped files (banks, the model) are shared and not counted."""

from __future__ import annotations

import ctypes
import os
import resource
from functools import cache
from pathlib import Path

GIVE_BACK_MS = 60_000.0
"""Interval between two trims. A trim takes milliseconds."""
_TRIM = getattr(ctypes.CDLL(None), "malloc_trim", None)
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def resident_bytes(pid: int | None = None) -> int:
    """Returns the resident memory of a process in bytes, without mapped files. Default: this process.

    Where the system does not tell, returns the peak of this process, and 0 for others.
    """
    try:
        raw = os.pread(_own_statm(), 256, 0) if pid is None else Path(f"/proc/{pid}/statm").read_bytes()
        resident, shared = raw.split()[1:3]
        return (int(resident) - int(shared)) * _PAGE_BYTES
    except (OSError, IndexError, ValueError):
        if pid is not None:
            return 0
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@cache
def _own_statm() -> int:
    """Keeps the file open: a contained process cannot open it any more. Raises OSError."""
    return os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)


def give_back() -> None:
    """Returns freed memory from the C library to the system.

    Decoders of ended streams leave holes in the heap. Without this a process would seem to grow for as long
    as streams come and go.
    """
    if _TRIM is not None:
        _TRIM(0)
