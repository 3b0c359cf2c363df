"""The running GOP of a push stream, kept outside the worker that may die with it."""

from __future__ import annotations

from edge.api.gen import worker_pb2


class Gop:
    """Access units since the newest keyframe, bounded; empty once a bound was passed, until the next."""

    def __init__(self, max_bytes: int, max_units: int) -> None:
        self._max_bytes = max_bytes
        self._max_units = max_units
        self._units: list[worker_pb2.Media] = []
        self._bytes = 0
        self._whole = False

    def add(self, media: worker_pb2.Media) -> None:
        if media.unit.keyframe:
            self._units, self._bytes, self._whole = [], 0, True
        if not self._whole:
            return
        self._units.append(media)
        self._bytes += len(media.unit.data)
        if self._bytes > self._max_bytes or len(self._units) > self._max_units:
            self._units, self._bytes, self._whole = [], 0, False

    def units(self) -> tuple[worker_pb2.Media, ...]:
        """From the keyframe on, in order; empty when there is none to begin with."""
        return tuple(self._units)
