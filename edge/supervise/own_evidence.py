"""Reads the evidence that this gate reaches itself: in its folder, or in the bucket of the fleet."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncGenerator, AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from cachetools import TTLCache

from edge.backoff import backoff_ms
from edge.domain import Incident
from edge.durable_files import PARTIAL, write_file
from edge.errors import (
    BrokenMedia,
    EvidenceErased,
    EvidenceStoreFailed,
    InvalidInput,
    LimitExceeded,
    NotFound,
    PostersLate,
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
from edge.supervise.evidence_parts import CHUNK_BYTES, Account, ClipRange
from edge.supervise.reading_places import ReadingPlaces

_REMEMBERED: Final = 4096
_KNOWN_BROKEN_S: Final = 600.0
_LATE_FIRST_MS: Final = 15_000
_LATE_MOST_MS: Final = 600_000


class OwnEvidence:
    """Nothing here is audited: whoever calls has done that."""

    def __init__(
        self,
        context: Context,
        folder: Path,
        bucket: EvidenceStore | None,
        changing: asyncio.Lock,
        places: ReadingPlaces,
    ) -> None:
        self._context = context
        self._folder = folder
        own = FolderStore(folder)
        self.stores: tuple[EvidenceStore, ...] = (own,) if bucket is None else (own, bucket)
        """Where evidence is looked for, in this order."""
        self._store = self.stores[-1]
        self._changing = changing
        self._places = places
        self._one_poster = asyncio.Lock()
        """Streams are judged first."""
        self._broken: TTLCache[tuple[str, int], str] = TTLCache(
            _REMEMBERED, _KNOWN_BROKEN_S, timer=lambda: context.clock.monotonic_ms() / 1000
        )
        """Why no frame of a clip can be shown, by incident and size of the clip. The next one who asks
        need not wait for its decoder, nor others for theirs."""
        self._late: TTLCache[tuple[str, int], tuple[int, float]] = TTLCache(
            _REMEMBERED, 2 * _LATE_MOST_MS / 1000, timer=lambda: context.clock.monotonic_ms() / 1000
        )
        """How often the posters of a clip took too long, and the monotonic time from which they are tried
        again. It may be the machine's fault, so the pause is short at first."""

    @property
    def shared(self) -> bool:
        """Whether every gate of the fleet reaches what this one has."""
        return self._store.shared

    async def incident(self, incident_id: str) -> Incident:
        """Raises NotFound."""
        context = self._context
        return await context.executor.person(context.operator_ledger.incident, incident_id)

    async def has_clip(self, incident: Incident) -> bool:
        name = file_name(incident.id, EvidenceFileKind.CLIP)
        for store in self.stores:
            if await store.size(name) is not None:
                return True
        return False

    async def found(self, incident: Incident) -> tuple[EvidenceStore, int]:
        """Returns which store has the clip, and its size. Raises NotFound, EvidenceErased, LimitExceeded and
        EvidenceStoreFailed."""
        name = file_name(incident.id, EvidenceFileKind.CLIP)
        for store in self.stores:
            size = await store.size(name)
            if size is not None:
                if size > MAX_FILE_BYTES:
                    raise LimitExceeded("evidence", MAX_FILE_BYTES, size, "bytes")
                return store, size
        await self.not_erased(incident.id)
        raise NotFound("clip of incident", incident.id)

    async def clip(self, incident: Incident, by: str, begin: int = 0, length: int = 0) -> ClipRange:
        """Returns a range of the clip's bytes; ``length`` 0: to its end. Nothing of it has been read yet.

        Raises InvalidInput for a range outside the clip, NoPlace, and what ``found`` raises.
        """
        store, total = await self.found(incident)
        if begin < 0 or length < 0 or begin >= max(total, 1):
            raise InvalidInput("begin_bytes", f"{begin} is not in the clip, which has {total} bytes")
        self._places.check(by)
        name, length = file_name(incident.id, EvidenceFileKind.CLIP), min(length or total, total - begin)
        chunks = self._places.pass_on(_chunks(store, name, begin, length), by)
        return ClipRange(name, total, begin, length, chunks)

    async def posters(self, incident: Incident, by: str) -> tuple[Poster, ...]:
        """Returns posters of the clip, the most telling first. They are made when they are asked for first.

        Raises BrokenMedia where no frame of the clip can be decoded, PostersLate where that takes too long
        now, and what ``found`` raises.
        """
        name = file_name(incident.id, EvidenceFileKind.POSTERS)
        store, size = await self.found(incident)
        content = await self._whole(name, MAX_POSTERS_BYTES)
        if content is None:
            async with self._one_poster:
                content = await self._whole(name, MAX_POSTERS_BYTES)
                if content is None:
                    content = await self._tried_posters(incident, store, size, by)
        return posters_of_bytes(content)

    async def _tried_posters(self, incident: Incident, store: EvidenceStore, size: int, by: str) -> bytes:
        clip, now_ms = (incident.id, size), self._context.clock.monotonic_ms()
        if (problem := self._broken.get(clip)) is not None:
            raise BrokenMedia(problem)
        failures, due_ms = self._late.get(clip, (0, 0.0))
        if now_ms < due_ms:
            raise PostersLate(incident.id, (due_ms - now_ms) / 1000)
        try:
            return await self._make_posters(incident, store, by)
        except BrokenMedia as error:
            self._broken[clip] = str(error)
            raise
        except TimeoutError:
            pause_ms = backoff_ms(failures + 1, _LATE_FIRST_MS, _LATE_MOST_MS)
            self._late[clip] = failures + 1, self._context.clock.monotonic_ms() + pause_ms
            raise PostersLate(incident.id, pause_ms / 1000) from None

    async def account(self, incident: Incident) -> Account:
        """Returns the incident with the scores around it. Raises EvidenceStoreFailed."""
        record = await self._whole(file_name(incident.id, EvidenceFileKind.RECORD), MAX_RECORD_BYTES)
        scores = () if record is None else scores_of_record(record)
        clip = file_name(incident.id, EvidenceFileKind.CLIP)
        sizes = [await store.size(clip) for store in self.stores]
        return Account(incident, scores, next((size for size in sizes if size), 0))

    async def bring(self, incident: Incident, by: str) -> Path | None:
        """Returns the clip as a file of this machine. None: no clip can be had here."""
        name = file_name(incident.id, EvidenceFileKind.CLIP)
        for store in self.stores:
            if await store.size(name) is None:
                continue
            own = self._folder / name
            if store.shared:
                async with self._local_clip(incident.id, store, by) as copy, self._changing:
                    await self.not_erased(incident.id)
                    await asyncio.to_thread(copy.replace, own)
            return own
        return None

    async def not_erased(self, incident_id: str) -> None:
        """Raises EvidenceErased where nothing may be written any more."""
        incident = await self.incident(incident_id)
        custody = incident.custody
        if custody.evidence_erased_ms is not None and incident.evidence_path is None:
            raise EvidenceErased(
                f"incident_id: the evidence of {incident_id} was erased on "
                f"{datetime.fromtimestamp(custody.evidence_erased_ms / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC "
                f"({custody.evidence_erased_why})"
            )

    async def _whole(self, name: str, most: int) -> bytes | None:
        """Returns a small file. None: there is none, or it is too large to be one of ours."""
        for store in self.stores:
            size = await store.size(name)
            if size is not None and size <= most:
                with contextlib.suppress(NotFound):  # it has been removed since
                    return await store.read(name, 0, size)
        return None

    async def _make_posters(self, incident: Incident, clip_store: EvidenceStore, by: str) -> bytes:
        begin_ms, end_ms = incident.evidence_begin_pts_ms or 0, incident.evidence_end_pts_ms or 0
        moments_ms = poster_moments(end_ms - begin_ms, incident.stretch_ms)
        async with self._local_clip(incident.id, clip_store, by) as path:
            content = await posters_contained(path, moments_ms, self._context.settings.containment)
        name = file_name(incident.id, EvidenceFileKind.POSTERS)
        own = self._folder / name
        async with self._changing:
            await self.not_erased(incident.id)
            try:
                await asyncio.to_thread(write_file, own, content)
            except OSError as error:
                raise EvidenceStoreFailed(f"evidence folder: {error.strerror or error}") from None
            await self._store.save(name, own)
        return content

    @contextlib.asynccontextmanager
    async def _local_clip(self, incident_id: str, store: EvidenceStore, by: str) -> AsyncIterator[Path]:
        """Yields a clip as a file of this machine."""
        name = file_name(incident_id, EvidenceFileKind.CLIP)
        if not store.shared:
            yield self._folder / name
            return
        size = await store.size(name) or 0
        copy = self._folder / f".{name}.{secrets.token_hex(4)}{PARTIAL}"
        try:
            with await asyncio.to_thread(open, copy, "xb") as file:
                async for chunk in self._places.pass_on(_chunks(store, name, 0, size), by):
                    await asyncio.to_thread(file.write, chunk)
            yield copy
        finally:
            await asyncio.to_thread(copy.unlink, missing_ok=True)


async def _chunks(store: EvidenceStore, name: str, begin: int, length: int) -> AsyncGenerator[bytes]:
    end = begin + length
    while begin < end:
        chunk = await store.read(name, begin, min(CHUNK_BYTES, end - begin))
        if not chunk:
            raise EvidenceStoreFailed(f"{name} was replaced while it was read: read it again")
        begin += len(chunk)
        yield chunk
