"""How much memory this process holds for itself; mapped files (banks, the model) are shared by all."""

from __future__ import annotations

import os
import resource
from pathlib import Path

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
