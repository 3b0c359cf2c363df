"""Counts the usage of the gate by app, for reports: streams, their live time and refusals.

Each app takes a few counters, whatever the number of streams. They go to the audit log every ten minutes
and at the end. A gate that is killed loses only the counts of its last minutes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from edge.clock import Clock

MAX_APPS = 256
OTHER = "…"
"""Stands for all apps beyond the first 256 of an interval."""


@dataclass(slots=True)
class _App:
    streams: int = 0
    stream_ms: int = 0
    refused: dict[str, int] = field(default_factory=dict)


class UsageCounter:
    """Counts time by the monotonic clock, so that a step of the wall clock neither adds nor hides any."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._since_ms = clock.wall_ms()
        self._begun_ms = self._since_ms
        self._apps: dict[str, _App] = {}
        self._live: dict[str, tuple[str, float]] = {}
        """By stream: its app and the monotonic time up to which it is counted."""

    def started(self, stream_id: str, app: str, started_ms: int) -> None:
        """Starts a stream's time. A stream that an earlier run of the gate counted is not counted again."""
        if started_ms >= self._begun_ms:
            self._app(app).streams += 1
        self._live[stream_id] = (app, self._clock.monotonic_ms())

    def ended(self, stream_id: str) -> None:
        """Ends a stream's time. Idempotent."""
        if (live := self._live.pop(stream_id, None)) is not None:
            app, counted_ms = live
            self._app(app).stream_ms += round(self._clock.monotonic_ms() - counted_ms)

    def refused(self, app: str, reason: str) -> None:
        counts = self._app(app).refused
        counts[reason] = counts.get(reason, 0) + 1

    def take(self) -> dict[str, Any] | None:
        """Returns the counts since the last call and resets them. None if there are none.

        ``{"from_ms", "to_ms", "apps": {APP: {"streams", "stream_ms", "refused": {REASON: count}}}}``
        """
        now, monotonic_ms = self._clock.wall_ms(), self._clock.monotonic_ms()
        for stream_id, (app, counted_ms) in self._live.items():
            self._app(app).stream_ms += round(monotonic_ms - counted_ms)
            self._live[stream_id] = (app, monotonic_ms)
        apps = {
            name: {"streams": each.streams, "stream_ms": each.stream_ms, "refused": each.refused}
            for name, each in sorted(self._apps.items())
        }
        since_ms, self._since_ms = self._since_ms, now
        self._apps = {}
        return {"from_ms": min(since_ms, now), "to_ms": now, "apps": apps} if apps else None

    def put_back(self, taken: dict[str, Any]) -> None:
        """Adds counts back that could not be written. They become part of the next interval."""
        self._since_ms = min(self._since_ms, taken["from_ms"])
        for name, values in taken["apps"].items():
            app = self._app(name)
            app.streams += values["streams"]
            app.stream_ms += values["stream_ms"]
            for reason, count in values["refused"].items():
                app.refused[reason] = app.refused.get(reason, 0) + count

    def _app(self, name: str) -> _App:
        if name not in self._apps and len(self._apps) >= MAX_APPS:
            name = OTHER
        return self._apps.setdefault(name, _App())
