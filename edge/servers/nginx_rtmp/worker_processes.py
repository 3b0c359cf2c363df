"""How many worker processes an nginx on this machine has, from ``/proc``."""

from __future__ import annotations

from pathlib import Path

_WORKER = b"nginx: worker process"


def worker_count(pid: str, proc: Path = Path("/proc")) -> int | None:
    """Workers of the nginx that worker ``pid`` belongs to, those that are shutting down included.

    None where it cannot be known: nginx runs on another machine or in another pid namespace, or the
    system has no ``/proc/PID/task/PID/children``.
    """
    if not (pid.isascii() and pid.isdigit()):
        return None
    try:
        if not _is_worker(proc, pid):
            return None
        # The name in parentheses may itself hold spaces and parentheses.
        master = (proc / pid / "stat").read_text().rpartition(")")[2].split()[1]
        children = (proc / master / "task" / master / "children").read_text().split()
        return sum(1 for child in children if child == pid or _is_worker(proc, child))
    except (OSError, IndexError, UnicodeDecodeError):
        return None


def _is_worker(proc: Path, pid: str) -> bool:
    try:
        return (proc / pid / "cmdline").read_bytes().startswith(_WORKER)
    except FileNotFoundError:
        return False
