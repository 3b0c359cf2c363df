"""Fault injection by name: the process kills itself, like ``kill -9``, at a point that a test names.

``EDGE_GATE_CRASH_AT=NAME[:NTH][+MS]`` crashes when the point NAME is reached for the NTH time (default 1),
or MS milliseconds later. Without the variable, as in production, a point is a call that does nothing. The
tests crash at every point of ``POINTS``, in the order in which a violation passes them.
"""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from collections.abc import Callable

from edge.errors import ConfigError

VARIABLE = "EDGE_GATE_CRASH_AT"

BEFORE_DURABLE = (
    "cut.verdict",  # the verdict has reached the supervisor
    "ledger.begin",  # the writer's lock is held
    "ledger.incident",  # the incident is inserted
    "ledger.inserted",  # everything is inserted, nothing is committed
)
"""Nothing is on disk yet. The gate must find the violation again in the running stream."""
DURABLE = (
    "ledger.committed",
    "cut.durable",
    "cut.visible",  # Admit refuses now
    "cut.told",  # the CUT is queued for the caller
    "cut.evidence",  # the worker was asked for the clip
    "cutter.ask",
    "cutter.asked",
    "cutter.looked",
    "cut.marked_asked",
    "cut.confirmed",  # proven, not recorded yet
    "cut.marked_confirmed",
)
JOURNAL_BEFORE_DURABLE = ("journal.begin", "journal.torn", "journal.written")
"""The ledger is away. At ``torn`` the file holds half a line; at ``written`` all of it, not synced."""
JOURNAL_DURABLE = ("journal.synced",)
RECONCILE = ("reconcile.begin", "reconcile.adopted", "reconcile.clear", "reconcile.cleared")
"""The ledger is back, at a start or in a running gate."""

POINTS = (*BEFORE_DURABLE, *DURABLE, *JOURNAL_BEFORE_DURABLE, *JOURNAL_DURABLE, *RECONCILE)
_SPEC = re.compile(r"([a-z_.]+)(?::([1-9][0-9]*))?(?:\+([0-9]+(?:\.[0-9]+)?))?")


def _nothing(point: str) -> None:
    pass


def _armed(spec: str) -> tuple[str, Callable[[str], None]]:
    """The armed point, and the function that every point calls. Raises ConfigError."""
    parts = _SPEC.fullmatch(spec)
    if parts is None or parts[1] not in POINTS:
        raise ConfigError(f"{VARIABLE}: NAME[:NTH][+MS], with a NAME of: {', '.join(POINTS)}")
    wanted, nth, delay_ms = parts[1], int(parts[2] or 1), float(parts[3] or 0)
    lock = threading.Lock()
    reached = 0

    def point(name: str) -> None:
        nonlocal reached
        if name != wanted:
            return
        with lock:
            reached += 1
            if reached != nth:
                return
        if delay_ms:
            threading.Thread(target=_die, args=(delay_ms,), daemon=True).start()
        else:
            _die(0.0)

    return wanted, point


def _die(delay_ms: float) -> None:
    time.sleep(delay_ms / 1000)
    os.kill(os.getpid(), signal.SIGKILL)


armed_at = ""
"""Name of the point at which this process will crash."""
crash_point: Callable[[str], None] = _nothing
if _spec := os.environ.get(VARIABLE):
    armed_at, crash_point = _armed(_spec)
