"""Shows evidence to people, whichever gate decided and wherever it is kept. Each reading is audited first."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from cachetools import TTLCache

from edge.domain import Incident, ScorePoint
from edge.durable_files import PARTIAL, write_file
from edge.errors import (
    BrokenMedia,
    EvidenceElsewhere,
    EvidenceErased,
    EvidenceStoreFailed,
    InvalidInput,
    LimitExceeded,
    NoPlace,
    NotFound,
)
from edge.evidence import (
    MAX_FILE_BYTES,
    EvidenceFileKind,
    EvidenceStore,
    FolderStore,
    Poster,
    file_name,
    poster_moments,
    posters_contained,
    posters_of_bytes,
    scores_of_record,
)
from edge.evidence.posters import MAX_BYTES as MAX_POSTERS_BYTES
from edge.evidence.record import MAX_RECORD_BYTES
from edge.supervise.context import Context

CHUNK_BYTES: Final = 256 * 1024
CLIP_TYPE: Final = "video/mp4"
POSTER_TYPE: Final = "image/jpeg"
_READINGS: Final = 64
"""Most files that are read at a time."""
_ONE_READING_S: Final = 600.0
"""A player asks for many ranges of one clip. Within this time they are one reading."""
_REMEMBERED: Final = 4096


@dataclass(frozen=True, slots=True)
class ClipRange:
    """A stretch of the bytes of a clip, to be read once."""

    name: str
    total_bytes: int
    """Size of the whole clip."""
    begin: int
    length: int
    chunks: AsyncIterator[bytes]
    """``length`` bytes, in pieces of at most ``CHUNK_BYTES``. Raises EvidenceStoreFailed."""


@dataclass(frozen=True, slots=True)
class Account:
    """What the machine has to say of an incident: with its signals, why it was decided."""

    incident: Incident
    scores: tuple[ScorePoint, ...]
    """In media time, oldest first. Of before, in and after the clip."""
    clip_bytes: int
    """Size of the clip; 0 where there is none."""


class EvidenceReading:
    """Reads evidence for one gate. ``by`` is the person who looks; the audit log gets the name."""

    def __init__(
        self,
        context: Context,
        folder: Path,
        bucket: EvidenceStore | None = None,
        changing: asyncio.Lock | None = None,
    ) -> None:
        """``bucket`` holds what is not in the folder. ``changing`` is held while files are written or
        erased."""
        self._context = context
        self._folder = folder
        own = FolderStore(folder)
        self.stores: tuple[EvidenceStore, ...] = (own,) if bucket is None else (own, bucket)
        """Where evidence is looked for, in this order."""
        self._store = self.stores[-1]
        self._changing = changing or asyncio.Lock()
        self._reading = asyncio.Semaphore(_READINGS)
        self._one_poster = asyncio.Lock()
        """Streams are judged first."""
        self._broken: TTLCache[tuple[str, int], str] = TTLCache(
            _REMEMBERED, _ONE_READING_S, timer=lambda: context.clock.monotonic_ms() / 1000
        )
        """Why no picture of a clip can be shown, by incident and size of the clip. The next one who asks
        need not wait for its decoder, nor others for theirs."""
        self._noted: TTLCache[tuple[str, str, str], bool] = TTLCache(
            _REMEMBERED, _ONE_READING_S, timer=lambda: context.clock.monotonic_ms() / 1000
        )

    async def clip(self, incident_id: str, by: str, begin: int = 0, length: int = 0) -> ClipRange:
        """Returns a range of the clip's bytes; ``length`` 0: to its end.

        Raises NotFound, InvalidInput for a range outside the clip, EvidenceElsewhere and EvidenceStoreFailed.
        """
        incident = await self._incident(incident_id)
        name = file_name(incident.id, EvidenceFileKind.CLIP)
        store, total = await self._found(incident, name)
        if begin < 0 or length < 0 or begin >= max(total, 1):
            raise InvalidInput("begin_bytes", f"{begin} is not in the clip, which has {total} bytes")
        self._check_place()  # An answer that has begun could not say so.
        await self._note(incident.id, "clip", by)
        length = min(length or total, total - begin)
        return ClipRange(name, total, begin, length, self._chunks(store, name, begin, length))

    async def posters(self, incident_id: str, by: str) -> tuple[Poster, ...]:
        """Returns pictures of the clip, the most telling first. They are made when they are asked for first.

        Raises BrokenMedia where no picture of the clip can be decoded, and what ``clip`` raises.
        """
        incident = await self._incident(incident_id)
        name = file_name(incident.id, EvidenceFileKind.POSTERS)
        clip_store, size = await self._found(incident, file_name(incident.id, EvidenceFileKind.CLIP))
        await self._note(incident.id, "posters", by)
        content = await self._whole(name, MAX_POSTERS_BYTES)
        if content is None:
            async with self._one_poster:
                content = await self._whole(name, MAX_POSTERS_BYTES)
                if content is None:
                    if (problem := self._broken.get((incident.id, size))) is not None:
                        raise BrokenMedia(problem)
                    try:
                        content = await self._make_posters(incident, clip_store, name)
                    except BrokenMedia as error:
                        self._broken[incident.id, size] = str(error)
                        raise
        return posters_of_bytes(content)

    async def account(self, incident_id: str, by: str) -> Account:
        """Returns the incident with the scores around it. Raises NotFound."""
        incident = await self._incident(incident_id)
        await self._note(incident.id, "account", by)
        record = await self._whole(file_name(incident.id, EvidenceFileKind.RECORD), MAX_RECORD_BYTES)
        scores = () if record is None else scores_of_record(record)
        clip = file_name(incident.id, EvidenceFileKind.CLIP)
        sizes = [await store.size(clip) for store in self.stores]
        return Account(incident, scores, next((size for size in sizes if size), 0))

    async def bring(self, incident: Incident) -> Incident | None:
        """Returns the incident with its clip as a file of this machine. None: no clip can be had here."""
        name = file_name(incident.id, EvidenceFileKind.CLIP)
        for store in self.stores:
            size = await store.size(name)
            if size is None:
                continue
            own = self._folder / name
            if store.shared:
                async with self._local_clip(incident.id, store) as copy, self._changing:
                    await self._not_erased(incident.id)
                    await asyncio.to_thread(copy.replace, own)
            return replace(incident, evidence_path=str(own))
        return None

    async def _incident(self, incident_id: str) -> Incident:
        context = self._context
        return await context.executor.person(context.operator_ledger.incident, incident_id)

    async def _note(self, incident_id: str, part: str, by: str) -> None:
        """Audits a reading before the first byte of it is shown."""
        context, key = self._context, (by, incident_id, part)
        if key not in self._noted:
            await context.executor.person(
                context.operator_ledger.note_evidence_read, incident_id, part, by, context.clock.wall_ms()
            )
            self._noted[key] = True

    async def _found(self, incident: Incident, name: str) -> tuple[EvidenceStore, int]:
        """Returns which store has a file, and its size. Raises what ``clip`` raises where none has it."""
        for store in self.stores:
            size = await store.size(name)
            if size is not None:
                if size > MAX_FILE_BYTES:
                    raise LimitExceeded("evidence", MAX_FILE_BYTES, size, "bytes")
                return store, size
        await self._not_erased(incident.id)
        if incident.gate != self._context.ledger.gate and not self._store.shared:
            raise EvidenceElsewhere(incident.id, incident.gate)
        raise NotFound("clip of incident", incident.id)

    async def _chunks(self, store: EvidenceStore, name: str, begin: int, length: int) -> AsyncIterator[bytes]:
        self._check_place()
        async with self._reading:
            end = begin + length
            while begin < end:
                chunk = await store.read(name, begin, min(CHUNK_BYTES, end - begin))
                if not chunk:
                    raise EvidenceStoreFailed(f"{name} was replaced while it was read: read it again")
                begin += len(chunk)
                yield chunk

    def _check_place(self) -> None:
        """Raises NoPlace."""
        if self._reading.locked():
            raise NoPlace("evidence readings", _READINGS)

    async def _whole(self, name: str, most: int) -> bytes | None:
        """Returns a small file. None: there is none, or it is too large to be one of ours."""
        for store in self.stores:
            size = await store.size(name)
            if size is not None and size <= most:
                with contextlib.suppress(NotFound):  # it has been removed since
                    return await store.read(name, 0, size)
        return None

    async def _make_posters(self, incident: Incident, clip_store: EvidenceStore, name: str) -> bytes:
        begin_ms, end_ms = incident.evidence_begin_pts_ms or 0, incident.evidence_end_pts_ms or 0
        moments_ms = poster_moments(end_ms - begin_ms, incident.stretch_ms)
        async with self._local_clip(incident.id, clip_store) as path:
            content = await posters_contained(path, moments_ms, self._context.settings.containment)
        own = self._folder / name
        async with self._changing:
            await self._not_erased(incident.id)
            try:
                await asyncio.to_thread(write_file, own, content)
            except OSError as error:
                raise EvidenceStoreFailed(f"evidence folder: {error.strerror or error}") from None
            await self._store.save(name, own)
        return content

    async def _not_erased(self, incident_id: str) -> None:
        """Raises EvidenceErased where nothing may be written any more."""
        incident = await self._incident(incident_id)
        custody = incident.custody
        if custody.evidence_erased_ms is not None and incident.evidence_path is None:
            raise EvidenceErased(
                f"incident_id: the evidence of {incident_id} was erased on "
                f"{datetime.fromtimestamp(custody.evidence_erased_ms / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC "
                f"({custody.evidence_erased_why})"
            )

    @contextlib.asynccontextmanager
    async def _local_clip(self, incident_id: str, store: EvidenceStore) -> AsyncIterator[Path]:
        """Yields a clip as a file of this machine."""
        name = file_name(incident_id, EvidenceFileKind.CLIP)
        if not store.shared:
            yield self._folder / name
            return
        size = await store.size(name) or 0
        copy = self._folder / f".{name}.{secrets.token_hex(4)}{PARTIAL}"
        try:
            with await asyncio.to_thread(open, copy, "xb") as file:
                async for chunk in self._chunks(store, name, 0, size):
                    await asyncio.to_thread(file.write, chunk)
            yield copy
        finally:
            await asyncio.to_thread(copy.unlink, missing_ok=True)
