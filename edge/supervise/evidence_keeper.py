"""Erases evidence when its time is over, when there is too much of it, or when a person asks for it.

Files go first, and then the ledger says so. A gate that is killed in between does it again: it finds fewer
files, and the digest of the clip is on record since it was written.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import structlog

from edge.domain import AppealState, Incident
from edge.errors import GateError, LedgerUnavailable, NotFound
from edge.evidence import EvidenceFileKind, EvidenceStore, file_name, incident_of
from edge.ledger import ErasedFile, EvidenceErasure
from edge.reasons import AlarmReason
from edge.retention import ErasedWhy, HeldEvidence, RetentionPlan, RetentionRules, plan_erasures
from edge.supervise.alarms import Alarm, Alarms
from edge.supervise.context import Context
from edge.telemetry.records import GATE, ErasureDone, ErasureFailed, ErasureUnrecorded

_SWEEP_S: Final = 60.0
_AT_ONCE: Final = 500
"""Most erasures of one sweep."""
_MOST_FAILURES: Final = 3
_CLOCKS_APART_MS: Final = 600_000
"""How far the clocks of two gates may be apart."""
_CHUNK: Final = 1 << 20
_PART: Final = "evidence"

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ErasureOutcome:
    """What became of a request to erase a broadcaster's evidence. Incidents by id."""

    erased: tuple[EvidenceErasure, ...]
    """Also what was erased before."""
    on_hold: tuple[str, ...]
    waiting: tuple[str, ...]
    """Those that other gates have, and those that cannot be erased now. Both are tried every minute."""


class EvidenceKeeper:
    """Keeps to the rules of the settings, for the evidence that this gate can reach."""

    def __init__(
        self,
        context: Context,
        folder: Path,
        stores: Sequence[EvidenceStore],
        changing: asyncio.Lock,
        alarms: Alarms,
    ) -> None:
        """``changing`` is held while files are written or erased, so that what is erased does not come
        back."""
        self._context = context
        self._folder = folder
        self._stores = stores
        self._changing = changing
        self._alarms = alarms
        self._sizes: dict[str, int] = {}
        self._failed: set[str] = set()
        """Incidents whose evidence could not be erased."""
        self._cleared: frozenset[str] = frozenset()
        """Files of the folder that belong to nothing that was erased, as of ``_cleared_ms``."""
        self._cleared_ms = 0

    async def watch(self) -> None:
        """Runs for ever."""
        while True:
            try:
                await self.sweep()
            except (GateError, OSError) as error:  # of the ledger, of a store, of the folder
                log.warning("evidence is kept longer", error=str(error))
            await asyncio.sleep(_SWEEP_S)

    async def sweep(self) -> int:
        """Erases what has to go now. Returns the number of incidents. What fails keeps nothing else.

        Raises LedgerUnavailable, and at the end the first error of an erasure.
        """
        plan = await self._plan()
        alarms = []
        if plan.over_bytes:
            problem = f"{plan.over_bytes >> 20} MB that nothing may erase are over it"
            alarms.append(Alarm(AlarmReason.QUOTA, "", problem))
        # What failed before comes last: it has had its turn.
        due = sorted(plan.erasures, key=lambda erasure: erasure[0].incident_id in self._failed)
        done, first = await self._erase_each(due[:_AT_ONCE], GATE)
        if first is not None:
            problem = f"evidence of {len(self._failed)} incidents cannot be erased: {first}"
            alarms.append(Alarm(AlarmReason.NOT_ERASED, "", problem))
        self._alarms.set_alarms(_PART, alarms)
        await self._clear_folder()
        if first is not None:
            raise first
        return done

    async def _plan(self) -> RetentionPlan:
        """What has to go now. Reads no more than that, except over the quota."""
        context, rules = self._context, self._context.settings.evidence.rules
        ledger = context.operator_ledger  # it may be long; nothing that a stream waits for is behind it
        now_ms, everywhere, total = context.clock.wall_ms(), self._reaches_all, 0
        if rules.quota_bytes is not None:
            total, unknown = await context.executor.person(ledger.evidence_size, of_all_gates=everywhere)
            total += sum([await self._size_of(incident_id) for incident_id in unknown])
        over = rules.quota_bytes is not None and total > rules.quota_bytes
        held = await context.executor.person(
            ledger.due_evidence, rules, now_ms, of_all_gates=everywhere, decided=over
        )
        if rules.quota_bytes is not None:
            held = tuple([await self._sized(each) for each in held])
        others = total - sum(each.bytes or 0 for each in held)
        return await asyncio.to_thread(plan_erasures, held, rules, now_ms, others)

    async def _erase_each(
        self, due: Sequence[tuple[HeldEvidence, ErasedWhy]], by: str
    ) -> tuple[int, GateError | None]:
        """Returns how much was erased, and the first error. Raises LedgerUnavailable."""
        done, first, in_a_row = 0, None, 0
        for each, why in due:
            try:
                await self._erase(each, why, by)
            except LedgerUnavailable:
                raise
            except GateError as error:
                self._context.telemetry.report(ErasureFailed(each.incident_id, str(error)))
                self._failed.add(each.incident_id)
                first, in_a_row = first or error, in_a_row + 1
                if in_a_row == _MOST_FAILURES:  # The store is away. Each one would wait for it.
                    break
            else:
                self._failed.discard(each.incident_id)
                done, in_a_row = done + 1, 0
        return done, first

    async def erased(self, incident_ids: Collection[str]) -> frozenset[str]:
        """Returns those of these incidents whose evidence was erased, by any gate."""
        context = self._context
        return await context.executor.call(context.ledger.erased_evidence, incident_ids)

    async def _clear_folder(self) -> None:
        """Removes files of what was erased: by another gate, or before a late clip came. The ledger is asked
        for files that are new here, and for what was erased lately."""
        context, now_ms = self._context, self._context.clock.wall_ms()
        names = await asyncio.to_thread(os.listdir, self._folder)
        owners = {name: owner for name in names if (owner := incident_of(name))}
        gone = set(await self.erased({owner for name, owner in owners.items() if name not in self._cleared}))
        if self._cleared:
            since_ms = self._cleared_ms - _CLOCKS_APART_MS
            gone |= await context.executor.call(context.ledger.evidence_erased_since, since_ms)
        for name in [name for name, owner in owners.items() if owner in gone]:
            async with self._changing:
                await asyncio.to_thread((self._folder / name).unlink, missing_ok=True)
            del owners[name]
        self._cleared, self._cleared_ms = frozenset(owners), now_ms

    async def hold(self, incident_id: str, reason: str, by: str, *, release: bool) -> Incident:
        """Puts evidence on hold, or releases it. Raises NotFound and Conflict."""
        context = self._context
        async with self._changing:  # What is being erased at this moment is gone afterwards.
            return await context.executor.person(
                context.operator_ledger.hold_evidence,
                incident_id,
                reason,
                by,
                context.clock.wall_ms(),
                release=release,
            )

    async def erase_broadcaster(self, broadcaster: str, reason: str, by: str) -> ErasureOutcome:
        """Marks a broadcaster's evidence to be erased, and erases what this gate reaches at once."""
        context = self._context
        person, ledger = context.executor.person, context.operator_ledger
        ids = await person(ledger.ask_erasure, broadcaster, reason, by, context.clock.wall_ms())
        mine = await person(ledger.held_evidence, of_all_gates=True, incident_ids=ids)
        gate = context.ledger.gate
        plan = plan_erasures(mine, RetentionRules(), context.clock.wall_ms())
        here = [(each, why) for each, why in plan.erasures if self._reaches_all or each.gate == gate]
        await self._erase_each(here, by)  # The sweep tries again what fails, and says so.
        erased = await person(ledger.evidence_erasures, ids)
        mine = await person(ledger.held_evidence, of_all_gates=True, incident_ids=ids)
        return ErasureOutcome(
            erased,
            tuple(each.incident_id for each in mine if each.on_hold),
            tuple(each.incident_id for each in mine if not each.on_hold),
        )

    @property
    def _reaches_all(self) -> bool:
        return self._stores[-1].shared

    async def _sized(self, held: HeldEvidence) -> HeldEvidence:
        """What an earlier version wrote has no size on record."""
        if held.bytes is not None:
            return held
        return replace(held, bytes=await self._size_of(held.incident_id))

    async def _size_of(self, incident_id: str) -> int:
        if incident_id not in self._sizes:
            name = file_name(incident_id, EvidenceFileKind.CLIP)
            sizes = [await store.size(name) for store in self._stores]
            self._sizes[incident_id] = max((size or 0 for size in sizes), default=0)
        return self._sizes[incident_id]

    async def _is_wanted_since(self, incident_id: str, why: ErasedWhy) -> bool:
        """Whether evidence was put on hold, or an appeal needs it, since the plan was made. The last of many
        erasures comes minutes later."""
        person, ledger = self._context.executor.person, self._context.operator_ledger
        incident = await person(ledger.incident, incident_id)
        if incident.custody.hold_ms is not None:
            return True
        if why is ErasedWhy.REQUEST:
            return False
        return bool(await person(ledger.appeals, incident_id=incident_id, state=AppealState.OPEN, limit=1))

    async def _erase(self, held: HeldEvidence, why: ErasedWhy, by: str) -> None:
        context, files = self._context, list[ErasedFile]()
        async with self._changing:
            if await self._is_wanted_since(held.incident_id, why):
                return
            for kind in EvidenceFileKind:
                name = file_name(held.incident_id, kind)
                known = held.sha256 if kind is EvidenceFileKind.CLIP else None
                found = None
                for store in self._stores:
                    found = found or await _file_of(store, name, known)
                    await store.remove(name)
                if found is not None:
                    files.append(found)
            self._sizes.pop(held.incident_id, None)
            try:
                await context.executor.person(
                    context.operator_ledger.record_evidence_erased,
                    held.incident_id,
                    why,
                    files,
                    by,
                    context.clock.wall_ms(),
                )
            except GateError as error:
                proof = tuple((file.name, file.sha256) for file in files)
                context.telemetry.report(ErasureUnrecorded(held.incident_id, proof, str(error), by))
                raise
        context.telemetry.report(ErasureDone(held.incident_id, why.value, len(files), by))


async def _file_of(store: EvidenceStore, name: str, known: str | None) -> ErasedFile | None:
    """Returns what proves which file it was. ``known`` is its digest, if that is on record."""
    size = await store.size(name)
    if size is None:
        return None
    if known is not None:
        return ErasedFile(name, size, known)
    digest, at = hashlib.sha256(), 0
    with contextlib.suppress(NotFound):
        while at < size and (chunk := await store.read(name, at, _CHUNK)):
            digest.update(chunk)
            at += len(chunk)
    return ErasedFile(name, size, digest.hexdigest())
