"""Names the stream that a worker works on, in memory shared with the supervisor.

A worker that dies inside a decoder or muxer cannot say which stream killed it. This memory survives it.
It holds the stream of the loop's job, whether the job searches the banks, the stream of each other thread,
and the report of Python's fault handler about the thread that crashed. Banks and models are the gate's own:
a crash that they cause is no stream's fault.
"""

from __future__ import annotations

import contextlib
import faulthandler
import mmap
import os
import re
import struct
import tempfile
import threading
import time
from collections.abc import Iterator
from typing import Final

_LIMIT: Final = 240
_MATCHING_AT: Final = 241
_SINCE: Final = struct.Struct("<d")
_SINCE_AT: Final = 248
_SLOT: Final = struct.Struct("<QB55s")
_SLOTS_START: Final = 256
_SLOTS: Final = 508
_BANKS: Final = 255
_MODEL: Final = 254
"""Lengths of a slot's stream for a thread that reads banks or loads a model, and works on no stream."""
_REPORT_START: Final = _SLOTS_START + _SLOTS * _SLOT.size
_REPORT_BYTES: Final = 128 * 1024
PAGE_BYTES: Final = _REPORT_START + _REPORT_BYTES
_CRASHED: Final = re.compile(r"^Current thread 0x([0-9a-f]+)(?:.+\n)+", re.MULTILINE)


class CurrentStreamPage:
    """The page of shared memory: the loop's stream, a slot for each other thread, and the crash report."""

    def __init__(self, descriptor: int) -> None:
        self._page = mmap.mmap(descriptor, PAGE_BYTES)
        self._free = list(range(_SLOTS))
        self._lock = threading.Lock()

    @staticmethod
    def create() -> int:
        """Returns the file descriptor of new memory for a worker to inherit.

        The memory is on no disk where the system offers that. The loop writes to it with each job, and a
        write to a file's page may block on the disk.
        """
        try:
            descriptor = os.memfd_create("edge-worker")
        except (AttributeError, OSError):
            with tempfile.TemporaryFile() as file:
                descriptor = os.dup(file.fileno())
        os.ftruncate(descriptor, PAGE_BYTES)
        return descriptor

    @staticmethod
    def report_crashes(descriptor: int) -> None:
        """Makes the fault handler write crashes of this process where ``report`` reads them. Worker side."""
        os.lseek(descriptor, _REPORT_START, os.SEEK_SET)
        faulthandler.enable(descriptor)  # all threads: otherwise the report does not name the crashed one

    def enter(self, stream_id: str) -> None:
        raw = stream_id.encode()[:_LIMIT]
        self._page[1 : 1 + len(raw)] = raw
        _SINCE.pack_into(self._page, _SINCE_AT, time.monotonic_ns() / 1e6)
        self._page[_MATCHING_AT] = 0
        self._page[0] = len(raw)

    def leave(self) -> None:
        self._page[0] = 0

    @contextlib.contextmanager
    def matching(self) -> Iterator[None]:
        """Marks that the loop's job searches the banks, until the block ends."""
        self._page[_MATCHING_AT] = 1
        try:
            yield
        finally:
            self._page[_MATCHING_AT] = 0

    def reading(self, stream_id: str) -> contextlib.AbstractContextManager[None]:
        """Marks the calling thread as working on this stream alone, until the block ends."""
        raw = stream_id.encode()[:55]
        return self._slot_taken(raw, len(raw))

    def reading_banks(self) -> contextlib.AbstractContextManager[None]:
        """Marks the calling thread as a reader of banks, until the block ends."""
        return self._slot_taken(b"", _BANKS)

    def loading_model(self) -> contextlib.AbstractContextManager[None]:
        """Marks the calling thread as one that loads a model, until the block ends."""
        return self._slot_taken(b"", _MODEL)

    @contextlib.contextmanager
    def _slot_taken(self, raw: bytes, length: int) -> Iterator[None]:
        with self._lock:
            slot = self._free.pop() if self._free else None
        if slot is None:  # no slot is free: a crash is then attributed to the loop's stream
            yield
            return
        place = _SLOTS_START + slot * _SLOT.size
        _SLOT.pack_into(self._page, place, threading.get_ident(), length, raw)
        try:
            yield
        finally:
            _SLOT.pack_into(self._page, place, 0, 0, b"")
            with self._lock:
                self._free.append(slot)

    def read(self) -> str | None:
        """Returns the stream of the loop's job, or None when the loop is idle."""
        length = self._page[0]
        return bytes(self._page[1 : 1 + length]).decode(errors="replace") if length else None

    def since_ms(self) -> float | None:
        """Returns the monotonic time at which the loop began its job, or None when it is idle."""
        since_ms: float = _SINCE.unpack_from(self._page, _SINCE_AT)[0]
        return since_ms if self._page[0] else None

    @property
    def report(self) -> str:
        """The fault handler's report: the signal and the stack of the crashed thread. Empty without a
        crash."""
        whole = self._report()
        crashed = _CRASHED.search(whole)
        return whole.partition("\n")[0] + ("" if crashed is None else f"\n{crashed[0].rstrip()}")

    def culprit(self) -> str | None:
        """Returns the stream whose media the crashed thread worked on, or else the loop's stream.

        None where it worked on none: in the banks, in a model, or idle.
        """
        crashed = _CRASHED.search(self._report())
        if crashed is not None and (slot := self._slot_of(int(crashed[1], 16))) is not None:
            length, raw = slot
            return None if length >= _MODEL else str(raw[:length], errors="replace")
        return None if self.in_matcher else self.read()

    @property
    def in_matcher(self) -> bool:
        """Whether the process ended, or is, in a search of the banks or in reading them."""
        crashed = _CRASHED.search(self._report())
        slot = None if crashed is None else self._slot_of(int(crashed[1], 16))
        if slot is not None:
            return slot[0] == _BANKS
        return bool(self._page[0] and self._page[_MATCHING_AT])

    def _slot_of(self, thread: int) -> tuple[int, bytes] | None:
        """Returns length and stream in the slot of a thread. None where it has none."""
        for slot in range(_SLOTS):
            ident, length, raw = _SLOT.unpack_from(self._page, _SLOTS_START + slot * _SLOT.size)
            if length and ident == thread:
                return length, raw
        return None

    def _report(self) -> str:
        raw = self._page[_REPORT_START:PAGE_BYTES]
        end = raw.find(b"\0")
        return raw[: end if end >= 0 else None].decode(errors="replace")

    def close(self) -> None:
        self._page.close()
