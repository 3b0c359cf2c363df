"""Remembers what streams showed, as PDQ hashes: all of the last minutes, and of the day what was passed.

It is two rings of fixed size in memory with a copy on disk, 46 bytes a frame: at most a million frames in
48 MB. The first ring has what is newest, a frame a second of each stream at most. It lasts an hour with a
hundred streams. With a thousand it has a frame in two seconds, and lasts a quarter of an hour. What leaves
it goes to the second ring, which lasts a day. There it is a frame in two minutes with a thousand streams. A
frame that stands still is remembered once in ten minutes.

The hash of hand-held footage is another one after a fifth of a second. So nobody finds a frame that was shown
between two frames. That is why each frame tells how long before and after it nobody looked.
"""

from __future__ import annotations

import hashlib
import os
import struct
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from cachetools import LRUCache

from edge.match.index.hamming import Codes, Positions
from edge.match.pdq.hasher import HASH_BYTES, distance
from edge.settings_file import open_regular

CAPACITY: Final = 1 << 20
LEAST_PAUSE_MS: Final = 1_000
"""Least media time between two frames of a stream."""
STILL_PAUSE_MS: Final = 600_000
"""The same while the frame stands still."""
STILL_BITS: Final = 12
NEWEST_MS: Final = 900_000
DAY_MS: Final = 86_400_000
MOST_UNSEEN_MS: Final = 10_000
"""Longest time beside a frame that counts as not looked at."""
_LEAST_UNSEEN_MS: Final = 200
_STREAMS: Final = 16_384
"""Most streams whose newest frame is known."""
_RECORD: Final = np.dtype(
    [
        ("bits", "u1", HASH_BYTES),
        ("wall_s", "<u4"),
        ("pts_ds", "<u4"),
        ("stream", "<u4"),
        ("unseen_ds", "<u2"),
    ]
)
_HEADER: Final = struct.Struct("<8sQQ")
_MAGIC: Final = b"EDGERF03"
_BEFORE: Final = b"EDGERF02"
"""Of files of an earlier version, which hold only what was passed."""
_NOT_PASSED: Final = 1 << 31
"""Added to ``pts_ds`` of a frame that was not passed."""
_COPIED: Final = 1 << 15
"""Frames that are copied at a time while nothing can be added."""

Records = npt.NDArray[np.void]


@dataclass(frozen=True, slots=True)
class Shown:
    """Frames that streams showed."""

    codes: Codes
    """Their hashes, uint64 (n, 4)."""
    before_ms: npt.NDArray[np.int64]
    """How long before each nobody looked at its stream, int64 (n,)."""
    after_ms: npt.NDArray[np.int64]
    """The same after each."""


@dataclass(frozen=True, slots=True)
class Views:
    """Frames that streams showed, passed or not. All arrays have the same length."""

    codes: Codes
    """Their hashes, uint64 (n, 4)."""
    streams: npt.NDArray[np.uint32]
    """Which stream showed each, by ``stream_tag``."""
    pts_ms: npt.NDArray[np.int64]
    unseen_ms: npt.NDArray[np.int64]
    """How long before each nobody looked at its stream, or saw another frame."""
    wall_ms: npt.NDArray[np.int64]
    passed: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.codes)

    def in_order(self, streams: npt.NDArray[np.uint32]) -> Positions:
        """Returns the places of what some streams showed, in order of streams and of time."""
        places = np.flatnonzero(np.isin(self.streams, streams))
        keys = self.pts_ms, self.wall_ms, self.streams
        return places[np.lexsort([key[places] for key in keys])]

    def until_ms(self, places: Positions) -> npt.NDArray[np.int64]:
        """Returns the media time until which each of these frames, in order, was seen. A frame that stands
        still is seen until the next one. Of the newest of a stream that is not known."""
        pts_ms, streams = self.pts_ms[places], self.streams[places]
        until_ms = pts_ms.copy()
        follows = (streams[1:] == streams[:-1]) & (pts_ms[1:] > pts_ms[:-1])
        stood_ms = np.maximum(pts_ms[:-1], pts_ms[1:] - self.unseen_ms[places[1:]])
        until_ms[:-1][follows] = stood_ms[follows]
        return until_ms


@dataclass(slots=True)
class _Newest:
    """The newest frame of a stream."""

    pts_ms: int
    bits: bytes
    offered_pts_ms: int
    unseen_ms: int = 0
    """Media time of what was offered since then and is not remembered."""


class _Ring:
    """The newest frames, and a place in the file."""

    def __init__(self, capacity: int, offset: int) -> None:
        self.records: Records = np.zeros(capacity, _RECORD)
        self.count = self.saved = 0
        """Frames so far, and those that are on disk."""
        self._offset = offset

    @property
    def size(self) -> int:
        return len(self.records)

    def put(self, record: Any) -> Any:
        """Takes a frame. Returns the one that leaves, or None."""
        place = self.count % self.size
        leaves = self.records[place].copy() if self.count >= self.size else None
        self.records[place] = record
        self.count += 1
        return leaves

    def known(self) -> Records:
        return self.records[: min(self.count, self.size)].copy()

    def parts(self) -> Iterator[slice]:
        """Yields the places that are taken, some at a time."""
        taken = min(self.count, self.size)
        yield from (slice(at, min(at + _COPIED, taken)) for at in range(0, taken, _COPIED))

    def unsaved(self) -> tuple[npt.NDArray[np.int64], Records, int]:
        """Returns places and frames that are not on disk, and the number of frames with them."""
        places = np.arange(max(self.saved, self.count - self.size), self.count) % self.size
        return places, self.records[places], self.count

    def write(self, descriptor: int, places: npt.NDArray[np.int64], new: Records) -> None:
        if not len(new):
            return
        turn = int(np.argmin(places))  # after it the ring begins again
        for part, place in ((new[:turn], places[0]), (new[turn:], places[turn])):
            os.pwrite(descriptor, part.tobytes(), self._offset + int(place) * _RECORD.itemsize)

    def take(self, raw: bytes, count: int) -> None:
        known = np.frombuffer(raw, _RECORD, count=len(raw) // _RECORD.itemsize)
        self.records[: len(known)] = known
        self.count = self.saved = count


class RecentFootage:
    """The two rings. ``remember`` and ``save`` may be called from two threads."""

    def __init__(self, path: Path, capacity: int = CAPACITY) -> None:
        self._path = path
        newest = max(1, 3 * capacity // 8)
        self._newest = _Ring(newest, _HEADER.size)
        self._day = _Ring(capacity - newest, _HEADER.size + newest * _RECORD.itemsize)
        self._last: LRUCache[tuple[str, bool], _Newest] = LRUCache(_STREAMS)
        self._last_of_day: LRUCache[int, tuple[int, int]] = LRUCache(_STREAMS)
        """Of each stream in the second ring: when its newest frame was, and for how long it did not get
        what left the first one."""
        self._fresh = True
        self._lock = threading.Lock()

    @classmethod
    def load(cls, path: Path, capacity: int = CAPACITY) -> RecentFootage:
        """Reads the copy on disk. A file that is missing, foreign or cannot be read is an empty memory."""
        memory = cls(path, capacity)
        rings = memory._newest, memory._day
        try:
            with open_regular(path) as file:
                magic, *counts = _HEADER.unpack(file.read(_HEADER.size))
                if magic not in (_MAGIC, _BEFORE):
                    return memory
                raw = [file.read(ring.size * _RECORD.itemsize) for ring in rings]
        except (OSError, struct.error):
            return memory
        for ring, said, count in zip(rings, raw, counts, strict=True):
            ring.take(said, count)
        memory._fresh = False
        return memory

    def remember(
        self,
        stream_id: str,
        bits: bytes,
        pts_ms: int,
        wall_ms: int,
        streams: int = 1,
        unseen_ms: int | None = None,
        *,
        passed: bool = True,
    ) -> bool:
        """Takes a frame that was judged. Returns whether it is remembered.

        ``streams`` is how many there are now. ``unseen_ms`` is the media time since the stream was looked at
        before, also where that was not passed. None: since the frame that was offered before. What was not
        ``passed`` is remembered in the first ring alone, and only ``since`` returns it.
        """
        last = self._last.get((stream_id, passed))
        if unseen_ms is None:
            unseen_ms = 0 if last is None else max(0, pts_ms - last.offered_pts_ms)
        if last is not None:
            last.offered_pts_ms = pts_ms
            same = distance(last.bits, bits) <= STILL_BITS
            pause_ms = max(LEAST_PAUSE_MS, streams * NEWEST_MS // self._newest.size)
            if 0 <= pts_ms - last.pts_ms < (max(pause_ms, STILL_PAUSE_MS) if same else pause_ms):
                last.unseen_ms += 0 if same else unseen_ms
                return False
            unseen_ms += last.unseen_ms
        self._last[stream_id, passed] = _Newest(pts_ms, bits, pts_ms)
        record = np.zeros((), _RECORD)
        record["bits"] = np.frombuffer(bits, np.uint8)
        record["wall_s"] = min(max(wall_ms // 1000, 0), 2**32 - 1)
        record["pts_ds"] = _bounded(pts_ms // 100)
        if not passed:
            record["pts_ds"] += np.uint32(_NOT_PASSED)
        record["stream"], record["unseen_ds"] = stream_tag(stream_id), min(unseen_ms // 100, 2**16 - 1)
        with self._lock:
            leaves = self._newest.put(record)
            if leaves is not None and leaves["pts_ds"] < _NOT_PASSED:
                self._keep_for_day(leaves, streams)
        return True

    def _keep_for_day(self, record: Any, streams: int) -> None:
        """Puts what leaves the first ring into the second, if it is time for a frame of its stream."""
        stream, wall_s, unseen_ds = int(record["stream"]), int(record["wall_s"]), int(record["unseen_ds"])
        if (last := self._last_of_day.get(stream)) is not None:
            before_s, left_out_ds = last
            unseen_ds += left_out_ds
            if 0 <= wall_s - before_s < streams * DAY_MS // self._day.size // 1000:
                self._last_of_day[stream] = before_s, unseen_ds
                return
        self._last_of_day[stream] = wall_s, 0
        record["unseen_ds"] = min(unseen_ds, 2**16 - 1)
        self._day.put(record)

    def save(self) -> None:
        """Writes what is new to disk. Raises OSError; then the next call writes it."""
        rings = self._newest, self._day
        with self._lock:
            unsaved = [ring.unsaved() for ring in rings]
        if not any(len(new) for _, new, _ in unsaved):
            return
        anew = os.O_TRUNC if self._fresh else 0  # a foreign file may lie there
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | anew, 0o600)
        try:
            for ring, (places, new, _) in zip(rings, unsaved, strict=True):
                ring.write(descriptor, places, new)
            os.pwrite(descriptor, _HEADER.pack(_MAGIC, *(count for _, _, count in unsaved)), 0)
        finally:
            os.close(descriptor)
        self._fresh = False
        for ring, (_, _, count) in zip(rings, unsaved, strict=True):
            ring.saved = count

    def since(self, wall_ms: int, *, of_day: bool = False) -> Views:
        """Returns what all streams showed from a wall time on, in no order: what the first ring has, and with
        ``of_day`` the second, too.

        It may be called from another thread. Takes some ten milliseconds with a thousand streams.
        """
        parts = []
        for ring in (self._newest, self._day) if of_day else (self._newest,):
            for place in ring.parts():
                with self._lock:
                    part = ring.records[place].copy()
                parts.append(part[part["wall_s"] >= max(1, wall_ms // 1000)])
        return _views(np.concatenate(parts) if parts else np.empty(0, _RECORD))

    def of_others(self, stream_id: str, wall_ms: int) -> Shown:
        """Returns what other streams showed in the day before ``wall_ms``."""
        known = self._known()
        since_s = max(1, (wall_ms - DAY_MS) // 1000)
        return _shown(known, (known["wall_s"] >= since_s) & (known["stream"] != stream_tag(stream_id)))

    def of_stream(
        self, stream_id: str, but_pts_ms: tuple[int, int], alone_pts_ms: tuple[int, int] = (0, 0)
    ) -> Shown:
        """Returns what one stream showed, but for a stretch of its media time. Of the frames in the stretch
        ``alone_pts_ms`` each speaks for itself alone."""
        known = self._known()
        wanted = (known["stream"] == stream_tag(stream_id)) & ~_within(known, but_pts_ms)
        shown, alone = _shown(known, wanted), _within(known, alone_pts_ms)[wanted]
        shown.before_ms[alone] = shown.after_ms[alone] = 0
        return shown

    def _known(self) -> Records:
        """In order of streams, and of time in each."""
        with self._lock:
            known = np.concatenate([self._newest.known(), self._day.known()])
        known = known[(known["wall_s"] > 0) & (known["pts_ds"] < _NOT_PASSED)]
        return known[np.lexsort((known["pts_ds"], known["wall_s"], known["stream"]))]


def _views(known: Records) -> Views:
    return Views(
        np.ascontiguousarray(known["bits"]).view(np.uint64).reshape(-1, HASH_BYTES // 8),
        known["stream"].copy(),
        100 * (known["pts_ds"] % _NOT_PASSED).astype(np.int64),
        100 * known["unseen_ds"].astype(np.int64),
        1000 * known["wall_s"].astype(np.int64),
        known["pts_ds"] < _NOT_PASSED,
    )


def _shown(known: Records, wanted: npt.NDArray[np.bool_]) -> Shown:
    """After a frame nobody looked until the next one was looked at. Where that is not known, because it was
    not passed, it is as long as before the frame."""
    pts_ds, unseen_ds = known["pts_ds"].astype(np.int64), known["unseen_ds"].astype(np.int64)
    after_ds = unseen_ds.copy()
    follows = (known["stream"][1:] == known["stream"][:-1]) & (pts_ds[1:] - unseen_ds[1:] <= pts_ds[:-1] + 1)
    after_ds[:-1][follows] = unseen_ds[1:][follows]
    before_ms, after_ms = (
        np.clip(100 * unseen[wanted] + 100, _LEAST_UNSEEN_MS, MOST_UNSEEN_MS)
        for unseen in (unseen_ds, after_ds)
    )
    bits = np.ascontiguousarray(known[wanted]["bits"])
    return Shown(bits.view(np.uint64).reshape(-1, HASH_BYTES // 8), before_ms, after_ms)


def _within(known: Records, pts_ms: tuple[int, int]) -> npt.NDArray[np.bool_]:
    first, last = (_bounded(each // 100) for each in pts_ms)
    return np.asarray((known["pts_ds"] >= first) & (known["pts_ds"] <= last))


def _bounded(number: int) -> int:
    return min(max(number, 0), _NOT_PASSED - 1)


def stream_tag(stream_id: str) -> np.uint32:
    """Four bytes that stand for a stream."""
    return np.uint32(int.from_bytes(hashlib.blake2b(stream_id.encode(), digest_size=4).digest(), "little"))
