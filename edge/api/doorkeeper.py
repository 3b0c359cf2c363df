"""Shuts the gRPC port to strangers whose calls are in vain, or who come again and again."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Final

import structlog

from edge.api.connections import Peer, listeners
from edge.api.door import shut_to
from edge.api.strangers import Strangers, door_key
from edge.clock import Clock

log = structlog.get_logger(__name__)

_COUNTERS: Final = Path("/proc/net/snmp")
_MANY_PER_S: Final = 50.0
_OFTEN_MS: Final = 5_000.0


class Doorkeeper:
    """Follows who has connected to one port of this process."""

    def __init__(self, port: int, strangers: Strangers, clock: Clock) -> None:
        self._port = port
        self._strangers = strangers
        self._clock = clock
        self._before: frozenset[Peer] = frozenset()
        self._shut: frozenset[str] = frozenset()
        self._opened: tuple[float, int] | None = None
        self._failed = False
        self._often_until_ms = 0.0
        self.many_come = False
        """Whether so many connect to this machine, or did a moment ago, that each look sees few of them."""

    def look(self, connected: Collection[Peer]) -> list[Peer]:
        """Returns those whose address the door is shut to."""
        now_ms = self._clock.monotonic_ms()
        peers = frozenset(connected)
        for address, _ in peers - self._before:
            self._strangers.arrived(address, now_ms)
        self._before = peers
        shut = self._strangers.shut_out(now_ms)
        if shut != self._shut:
            self._shut = shut
            self._shut_doors()
        self._count(now_ms)
        return [peer for peer in peers if shut and door_key(peer[0]) in shut]

    def _shut_doors(self) -> None:
        for listener in listeners(self._port):
            try:
                shut_to(listener, self._shut)
            except OSError as error:
                if not self._failed:
                    log.warning("the kernel does not keep strangers out", error=error.strerror)
                self._failed = True

    def _count(self, now_ms: float) -> None:
        opened = passive_opens(_lines())
        if self._opened is not None and opened is not None and now_ms > self._opened[0]:
            per_s = 1000 * (opened - self._opened[1]) / (now_ms - self._opened[0])
            if per_s > _MANY_PER_S:
                self._often_until_ms = now_ms + _OFTEN_MS
        self.many_come = now_ms < self._often_until_ms
        self._opened = None if opened is None else (now_ms, opened)


def _lines() -> list[str]:
    try:
        return _COUNTERS.read_text().splitlines()
    except OSError:
        return []


def passive_opens(lines: Iterable[str]) -> int | None:
    """How many connections this machine has taken, in the kernel's counters. None where it does not say."""
    names, *values = [line.split() for line in lines if line.startswith("Tcp:")] or [[]]
    with contextlib.suppress(ValueError, IndexError):
        return int(values[0][names.index("PassiveOpens")])
    return None
