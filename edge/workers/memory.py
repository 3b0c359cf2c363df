"""How much memory this process holds for itself; mapped files (banks, the model) are shared by all."""

from __future__ import annotations

import os
import resource
from pathlib import Path

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_STATM = Path("/proc/self/statm")


def resident_bytes() -> int:
    """Resident memory without mapped files; where the system does not tell, the most it has ever been."""
    try:
        resident, shared = _STATM.read_text().split()[1:3]
        return (int(resident) - int(shared)) * _PAGE_BYTES
    except (OSError, IndexError, ValueError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
