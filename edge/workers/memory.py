"""How much memory this process holds for itself; mapped files (banks, the model) are shared by all."""

from __future__ import annotations

import ctypes
import os
import resource
from pathlib import Path

GIVE_BACK_MS = 60_000.0
"""Between two times that memory is given back: it takes milliseconds."""
_TRIM = getattr(ctypes.CDLL(None), "malloc_trim", None)
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def resident_bytes(pid: int | None = None) -> int:
    """Resident memory of a process, by default this one, without mapped files. Where the system does not
    tell: the most that this one has ever held, and 0 for others."""
    try:
        resident, shared = Path(f"/proc/{pid or 'self'}/statm").read_text().split()[1:3]
        return (int(resident) - int(shared)) * _PAGE_BYTES
    except (OSError, IndexError, ValueError):
        if pid is not None:
            return 0
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def give_back() -> None:
    """Memory that was freed goes back to the system, where the C library keeps it for itself: decoders of
    streams that are over leave holes in it, and a process would seem to grow for as long as streams come and
    go."""
    if _TRIM is not None:
        _TRIM(0)
