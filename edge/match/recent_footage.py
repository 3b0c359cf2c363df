"""Remembers what streams showed in the last day and was passed, as PDQ hashes.

It is a ring of fixed size in memory with a copy on disk, 48 bytes a picture. So it holds the newest million
pictures in 50 MB. Each stream gives a picture every two seconds at most, and less often where there are more
streams, so that the ring lasts a day: every eight seconds with a hundred streams. A picture that stands still
is remembered once in ten minutes. So it does not know everything that was shown. It misses a stretch that a
stream showed only between two of its pictures.
"""

from __future__ import annotations

import hashlib
import os
import struct
import threading
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from cachetools import LRUCache

from edge.match.index.hamming import Codes
from edge.match.pdq.hasher import HASH_BYTES, distance
from edge.settings_file import open_regular

CAPACITY: Final = 1 << 20
LEAST_PAUSE_MS: Final = 2_000
"""Least media time between two pictures of a stream."""
STILL_PAUSE_MS: Final = 600_000
"""The same while the picture stands still."""
STILL_BITS: Final = 12
DAY_MS: Final = 86_400_000
_STREAMS: Final = 16_384
"""Most streams whose newest picture is known."""
_RECORD: Final = np.dtype(
    [("bits", "u1", HASH_BYTES), ("wall_s", "<u4"), ("pts_ds", "<u4"), ("stream", "<u8")]
)
_HEADER: Final = struct.Struct("<8sQ")
_MAGIC: Final = b"EDGERF01"


class RecentFootage:
    """The ring. ``remember`` and ``save`` may be called from two threads."""

    def __init__(self, path: Path, capacity: int = CAPACITY) -> None:
        self._path = path
        self._records = np.zeros(capacity, _RECORD)
        self._count = self._saved = 0
        """Pictures so far, and those that are on disk."""
        self._last: LRUCache[str, tuple[int, bytes]] = LRUCache(_STREAMS)
        """Newest picture of each stream: when, and its hash."""
        self._lock = threading.Lock()

    @classmethod
    def load(cls, path: Path, capacity: int = CAPACITY) -> RecentFootage:
        """Reads the copy on disk. A file that is missing, foreign or cannot be read is an empty memory."""
        memory = cls(path, capacity)
        try:
            with open_regular(path) as file:
                magic, count = _HEADER.unpack(file.read(_HEADER.size))
                raw = file.read(capacity * _RECORD.itemsize)
        except (OSError, struct.error):
            return memory
        if magic == _MAGIC:
            known = len(raw) // _RECORD.itemsize
            memory._records[:known] = np.frombuffer(raw, _RECORD, count=known)
            memory._count = memory._saved = count
        return memory

    def remember(self, stream_id: str, bits: bytes, pts_ms: int, wall_ms: int, streams: int = 1) -> bool:
        """Takes a picture that was passed. Returns whether it is remembered. ``streams`` is how many there
        are now."""
        before = self._last.get(stream_id)
        if before is not None:
            same = distance(before[1], bits) <= STILL_BITS
            pause_ms = max(LEAST_PAUSE_MS, streams * DAY_MS // len(self._records))
            if 0 <= wall_ms - before[0] < (max(pause_ms, STILL_PAUSE_MS) if same else pause_ms):
                return False
        self._last[stream_id] = (wall_ms, bits)
        wall_s, pts_ds = _bounded(wall_ms // 1000), _bounded(pts_ms // 100)
        with self._lock:
            place = self._count % len(self._records)
            self._records[place] = (np.frombuffer(bits, np.uint8), wall_s, pts_ds, _tag(stream_id))
            self._count += 1
        return True

    def save(self) -> None:
        """Writes what is new to disk. Raises OSError; then the next call writes it."""
        size = len(self._records)
        with self._lock:
            count = self._count
            first = max(self._saved, count - size)
            places = np.arange(first, count) % size
            new = self._records[places]
        if not len(new):
            return
        anew = 0 if self._saved else os.O_TRUNC  # a foreign file may lie there
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | anew, 0o600)
        try:
            turn = int(np.argmin(places))  # after it the ring begins again
            for part, place in ((new[:turn], places[0]), (new[turn:], places[turn])):
                os.pwrite(descriptor, part.tobytes(), _HEADER.size + int(place) * _RECORD.itemsize)
            os.pwrite(descriptor, _HEADER.pack(_MAGIC, count), 0)
        finally:
            os.close(descriptor)
        self._saved = count

    def of_others(self, stream_id: str, wall_ms: int) -> Codes:
        """Returns what other streams showed in the day before ``wall_ms``, uint64 (n, 4)."""
        known = self._known()
        since_s = max(1, (wall_ms - DAY_MS) // 1000)
        return _codes(known[(known["wall_s"] >= since_s) & (known["stream"] != _tag(stream_id))])

    def of_stream(self, stream_id: str, but_pts_ms: tuple[int, int]) -> Codes:
        """Returns what one stream showed, but for a stretch of its media time, uint64 (n, 4)."""
        known = self._known()
        first, last = (_bounded(pts_ms // 100) for pts_ms in but_pts_ms)
        inside = (known["pts_ds"] >= first) & (known["pts_ds"] <= last)
        return _codes(known[(known["stream"] == _tag(stream_id)) & ~inside])

    def _known(self) -> npt.NDArray[np.void]:
        return self._records[self._records["wall_s"] > 0]


def _codes(records: npt.NDArray[np.void]) -> Codes:
    return np.ascontiguousarray(records["bits"]).view(np.uint64).reshape(-1, HASH_BYTES // 8)


def _bounded(number: int) -> int:
    return min(max(number, 0), 2**32 - 1)


def _tag(stream_id: str) -> np.uint64:
    return np.uint64(int.from_bytes(hashlib.blake2b(stream_id.encode(), digest_size=8).digest(), "little"))
