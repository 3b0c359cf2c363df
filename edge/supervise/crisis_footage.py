"""Takes footage that people give to a crisis: a file, or a URL that may be pulled. It is known in seconds.

A file is spooled to disk, private and bounded, and a contained process decodes it. A contained puller reads a
URL, from the places of ``limits.pull_from`` alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from edge.contract.gen import worker_pb2
from edge.crisis import Crisis, CrisisState
from edge.domain import AccessUnit, Codec, new_stream_id
from edge.errors import CapacityExceeded, Conflict, InvalidInput, LimitExceeded
from edge.evidence import write_clip
from edge.pullers.pull import Pull
from edge.pullers.pull_url import PullUrl
from edge.supervise.bank_updates import BankUpdates, FootageAdded
from edge.supervise.context import Context
from edge.supervise.crisis_desk import CrisisDesk
from edge.telemetry.records import CrisisFootageAdded

MOST_AT_ONCE: Final = 4
"""Most pieces of footage that are taken at a time."""
PULLED_S: Final = 20.0
"""How long a URL is read at most. A live stream gives as much footage."""
_CLIP: Final = "pulled"


class CrisisFootage:
    """Adds to the banks of crises. Lives in one event loop."""

    def __init__(self, context: Context, desk: CrisisDesk, updates: BankUpdates) -> None:
        self._context = context
        self._desk = desk
        self._updates = updates
        self._folder = context.settings.data_dir / "crisis-incoming"
        self._taking = 0

    def clean(self) -> None:
        """Removes what a gate that went down has left half taken."""
        shutil.rmtree(self._folder, ignore_errors=True)

    async def add_file(
        self, name: str, file_name: str, data: AsyncIterator[bytes], note: str, by: str
    ) -> FootageAdded:
        """Adds a file as it comes. Raises NotFound, Conflict, InvalidInput, LimitExceeded, CapacityExceeded,
        LedgerUnavailable and BankError."""
        async with self._place(name) as (crisis, folder):
            begun_ms = self._context.clock.monotonic_ms()
            spool = folder / "given"
            with await asyncio.to_thread(open, spool, "wb", opener=_private) as file:
                taken, most = 0, self._most_bytes
                async for piece in data:
                    taken += len(piece)
                    if taken > most:
                        raise LimitExceeded("file", most, taken, "bytes")
                    await asyncio.to_thread(file.write, piece)
            if not taken:
                raise InvalidInput("file", "is empty")
            said = {"file": file_name, "bytes": taken}
            return await self._add(crisis, spool, said, note, by, begun_ms)

    async def add_url(self, name: str, url: str, note: str, by: str) -> FootageAdded:
        """Adds what a URL shows. Raises as ``add_file`` does, and SourceStalled and BrokenSource."""
        shown = PullUrl.parse(url).shown
        async with self._place(name) as (crisis, folder):
            begun_ms = self._context.clock.monotonic_ms()
            pull = self._context.pullers.pull(new_stream_id(), url)
            clip = await self._pulled(pull, folder)
            return await self._add(crisis, clip, {"url": shown}, note, by, begun_ms)

    @property
    def _most_bytes(self) -> int:
        return self._context.settings.limits.max_crisis_file_mb << 20

    @contextlib.asynccontextmanager
    async def _place(self, name: str) -> AsyncIterator[tuple[Crisis, Path]]:
        """A crisis in force, and a private folder that is gone afterwards."""
        crisis = await self._context.executor.call(self._context.ledger.crisis, name)
        if crisis.state is not CrisisState.IN_FORCE:
            raise Conflict(f"crisis {name} is {crisis.state.value}: footage is added while one is in force")
        if self._taking >= MOST_AT_ONCE:
            raise CapacityExceeded(f"{MOST_AT_ONCE} files and URLs are taken in already: try again")
        self._taking += 1
        try:
            folder = await asyncio.to_thread(self._private_folder)
            try:
                yield crisis, Path(folder.name)
            finally:
                await asyncio.to_thread(folder.cleanup)
        finally:
            self._taking -= 1

    def _private_folder(self) -> TemporaryDirectory[str]:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return TemporaryDirectory(dir=self._folder)

    async def _pulled(self, pull: Pull, folder: Path) -> Path:
        """Reads a URL to its end, for twenty seconds, or up to the most bytes; whichever is first."""
        opened: worker_pb2.PullOpened | None = None
        units: list[AccessUnit] = []
        taken, most = 0, self._most_bytes
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PULLED_S):
                    while taken <= most and (event := await pull.next()) is not None:
                        if isinstance(event, worker_pb2.PullOpened):
                            opened = event
                        elif isinstance(event, AccessUnit):
                            units.append(event)
                            taken += len(event.data)
        finally:
            pull.stop()
        if opened is None or not opened.codec:
            raise InvalidInput("url", f"no video came within {PULLED_S:.0f} s")
        clip = await asyncio.to_thread(
            write_clip, units, Codec(opened.codec), opened.extradata, folder, _CLIP
        )
        return clip.path

    async def _add(
        self, crisis: Crisis, file: Path, said: dict[str, object], note: str, by: str, begun_ms: float
    ) -> FootageAdded:
        context, clock = self._context, self._context.clock
        record = context.operator_ledger.note_crisis
        said = {**said, "note": note}
        await context.executor.person(record, crisis.name, "crisis_given", by, clock.wall_ms(), said)
        await self._desk.ready_bank(crisis)
        added = await self._updates.add_file(crisis.bank, file, note)
        took_ms = round(clock.monotonic_ms() - begun_ms)
        said |= {"entry": added.entry, "kind": added.kind, "hashes": added.hashes, "took_ms": took_ms}
        context.telemetry.report(
            CrisisFootageAdded(crisis.name, added.entry, added.hashes, took_ms, crisis.drill, by)
        )
        await context.executor.person(record, crisis.name, "crisis_added", by, clock.wall_ms(), said)
        return added


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_EXCL, 0o600)
