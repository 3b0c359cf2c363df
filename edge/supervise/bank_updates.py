"""Updates the banks: adds confirmed incidents and quarantines runaway entries.

Fingerprinting decodes media, which the supervisor never does. And whoever maps a bank's own files dies when
they shrink. So each change runs in a process of its own.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import structlog

from edge.banking import Banking, BankingState, LeftOutReason, NothingBanked
from edge.clock import Clock
from edge.domain import Action, Incident, Signal, SignalSource
from edge.errors import BankError, GateError, InvalidInput
from edge.match import BankPurpose, RunawayGuard
from edge.match.bank.manifest import read_manifest
from edge.match.bank.runaway import WINDOW_MS, Runaway
from edge.own_process import run_module
from edge.reasons import AlarmReason
from edge.supervise.alarms import Alarm, Alarms
from edge.telemetry.records import GATE, BankEntryInDoubt, BankEntryRanAway, BankingFailed, IncidentBanked
from edge.telemetry.telemetry import Telemetry

FINGERPRINT_S = 600.0
"""Wall time limit for one change. Beside fully busy workers a few seconds of work take minutes."""
_TEMPORARY = os.EX_TEMPFAIL
"""Exit code of the process for what may go better later: a full disk, a bank that cannot be read."""

Stands = Callable[[], Awaitable[bool]]
"""Whether an incident has not been overturned by now. May raise GateError."""

_DOUBT_MS: Final = 3_600_000
"""How long people are asked about an entry."""


class Sources(Protocol):
    """Who knows where entries are from."""

    @property
    def source_limit(self) -> int:
        """Weight of streams that the entries of a source may match within ten minutes. 0: any."""
        ...

    def source_of_entry(self, bank: str, entry: str) -> str: ...

    def ran_away(self, source: str) -> None:
        """The entries of a source match more than that."""
        ...


log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class FootageAdded:
    """An entry that a bank has now."""

    entry: str
    kind: str
    hashes: int


class BankUpdates:
    """Updates banks. Calls ``changed`` so that the workers reload them."""

    def __init__(
        self,
        directory: Path,
        recent: Path,
        telemetry: Telemetry,
        clock: Clock,
        changed: Callable[[], None],
        save_recent: Callable[[], None] = lambda: None,
        alarms: Alarms | None = None,
        sources: Sources | None = None,
    ) -> None:
        """``recent`` is the file of recent footage, which ``save_recent`` brings up to date. It may raise
        OSError."""
        self._directory = directory
        self._recent = recent
        self._save_recent = save_recent
        self._telemetry = telemetry
        self._clock = clock
        self._changed = changed
        self._alarms = alarms
        self._sources = sources
        self._doubts: dict[str, float] = {}
        """When people were asked about entries."""
        self._guard = RunawayGuard()
        self._one_at_a_time = asyncio.Lock()
        self._waiting = 0

    async def confirmed(
        self, incident: Incident, stretch_ms: tuple[int, int], stands: Stands
    ) -> Banking | None:
        """Banks a stretch of a confirmed incident's clip, in the clip's own time. Returns what is banked now.

        Incidents are banked one at a time. ``stands`` is asked before and after. None: the incident was
        overturned meanwhile, and nothing of it is banked. Raises BankError and OSError for what may go
        better later, and the error of ``stands``. Then nothing of it stays banked, if that can be undone.
        """
        async with self._one_at_a_time:
            if not await stands():
                return None
            code, error, said = await self._bank(incident, stretch_ms)
            try:
                kept = await stands()
            except GateError:
                await self.overturned(incident)
                raise
            if not kept:
                await self.overturned(incident)
                return None
        if code == _TEMPORARY:
            raise BankError(error)
        if code != 0:
            self._telemetry.report(BankingFailed(incident.id, BankingState.FAILED.value, error, 0))
            return Banking(BankingState.FAILED, stretch_ms=stretch_ms, detail=error)
        banked = _banked(stretch_ms, said)
        left_out = {reason.value: frames for reason, frames in banked.left_out.items()}
        self._telemetry.report(IncidentBanked(incident.id, banked.frames, left_out))
        if banked.frames:
            self._changed()
        return banked

    async def _bank(self, incident: Incident, stretch_ms: tuple[int, int]) -> tuple[int, str, str]:
        """Runs the fingerprinting process. Returns its exit code, what went wrong, and what it printed."""
        try:
            await asyncio.to_thread(self._save_recent)
        except OSError as error:  # what is on disk already has to do
            log.error("recent footage not saved", error=str(error))
        begin_pts_ms = incident.evidence_begin_pts_ms or 0
        request = {
            "directory": str(self._directory),
            "recent": str(self._recent),
            "incident_id": incident.id,
            "clip": incident.evidence_path,
            "category": incident.verdict.category,
            "stretch_ms": stretch_ms,
            "calm_until_ms": incident.verdict.cleared_pts_ms - begin_pts_ms,
            "added_ms": self._clock.wall_ms(),
            "stream_id": incident.stream_id,
            "begin_pts_ms": begin_pts_ms,
        }
        return await _run("edge.match.incident_bank", "add", json.dumps(request))

    async def overturned(self, incident: Incident) -> None:
        """Withdraws an overturned incident from known footage. Raises BankError and OSError: it may still be
        there."""
        code, error, said = await _run(
            "edge.match.incident_bank", "withdraw", str(self._directory), incident.id
        )
        if code != 0:
            raise BankError(error)
        if said:
            self._changed()

    async def matched(self, stream_id: str, signals: tuple[Signal, ...], weight: float = 1.0) -> None:
        """Counts the matches behind a verdict, the stream with its ``weight``. Asks people about an entry
        that many streams match. Quarantines a runaway entry, so that it flags and no longer cuts.

        A runaway audio match is only reported. Its video must not escape because many streams play its
        music.
        """
        for signal in signals:
            bank = signal.bank
            if signal.source is SignalSource.DETECT or signal.entry is None or bank is None:
                continue
            if signal.at_most is Action.PASS:
                continue
            path = self._directory / bank
            try:
                manifest, _ = await asyncio.to_thread(read_manifest, path.with_name(f"{bank}.bank"))
                limit = manifest.info.runaway_streams
                now = self._clock.monotonic_ms()
                by_audio = signal.source is SignalSource.AUDIO
                key = f"sound {signal.entry}" if by_audio else signal.entry
                found = self._guard.observe(now, bank, key, stream_id, limit, weight)
                self._count_source(now, bank, signal.entry, stream_id, weight)
                if found is Runaway.IN_DOUBT:
                    self._in_doubt(bank, signal.entry, limit)
                if found is not Runaway.OVER:
                    continue
                if not by_audio:
                    why = f"matched streams that weigh over {limit} within {WINDOW_MS // 60_000} minutes"
                    await self.mark(bank, "quarantine", signal.entry, why, GATE)
                self._telemetry.report(BankEntryRanAway(bank, signal.entry, limit, quarantined=not by_audio))
            except (GateError, OSError) as error:
                log.error("match not counted", bank=bank, entry=signal.entry, error=str(error))

    def _in_doubt(self, bank: str, entry: str, limit: int) -> None:
        """Asks people: the entry acts until they, or streams with a clean record, say otherwise."""
        now = self._clock.monotonic_ms()
        self._doubts = {key: at for key, at in self._doubts.items() if now - at < _DOUBT_MS}
        self._doubts[f"{bank}/{entry}"] = now
        self._telemetry.report(BankEntryInDoubt(bank, entry, limit))
        if self._alarms is not None:
            detail = "matches many streams: is it right? quarantine it, or leave it as it is"
            self._alarms.set_alarms(
                "entries", (Alarm(AlarmReason.MANY_MATCHES, subject, detail) for subject in self._doubts)
            )

    def _count_source(self, now_ms: float, bank: str, entry: str, stream_id: str, weight: float) -> None:
        if self._sources is None:
            return
        source = self._sources.source_of_entry(bank, entry)
        limit = self._sources.source_limit
        if self._guard.observe(now_ms, "", source, stream_id, limit, weight) is Runaway.OVER:
            self._sources.ran_away(source)

    async def mark(self, bank: str, mark: str, entry: str, reason: str, by: str) -> None:
        """Marks an entry or takes a mark off, by a word of `edge-gate bank`. Raises BankError and OSError."""
        path = str(self._directory / bank)
        await self._edit(mark, f"--bank={path}", f"--reason={reason}", f"--by={by}", "--", entry)

    async def switch(self, bank: str, enabled: bool, reason: str, by: str) -> None:
        """Switches a whole bank on or off. Raises BankError and OSError."""
        switch = "--enabled" if enabled else "--disabled"
        path = str(self._directory / bank)
        await self._edit("set", switch, f"--reason={reason}", f"--by={by}", "--", path)

    async def set_bank(
        self,
        bank: str,
        *,
        opinion: BankPurpose,
        source: str,
        runaway_streams: int,
        reason: str,
        by: str,
    ) -> None:
        """Makes a bank that is missing, or changes it. Raises BankError and OSError."""
        await self._edit(
            "set",
            f"--opinion={opinion}",
            f"--source={source}",
            f"--runaway-streams={runaway_streams}",
            f"--reason={reason}",
            f"--by={by}",
            "--",
            str(self._directory / bank),
        )

    async def add_file(self, bank: str, file: Path, note: str) -> FootageAdded:
        """Fingerprints a file in a contained process and adds it to a bank, with its variants.

        Raises InvalidInput for a file that cannot be recognised or that the bank has, BankError and OSError.
        """
        path, now = str(self._directory / bank), str(self._clock.wall_ms())
        code, error, said = await _run("edge.match.bank_file", path, str(file), note, now)
        if code == _TEMPORARY:
            raise BankError(error)
        if code != 0:
            raise InvalidInput("footage", error)
        self._changed()
        return FootageAdded(**json.loads(said))

    async def _edit(self, *arguments: str) -> None:
        code, error, _ = await _run("edge.cli", "bank", *arguments)
        if code != 0:
            raise BankError(error.removeprefix("error: "))
        self._changed()


def _banked(stretch_ms: tuple[int, int], said: str) -> Banking:
    """Reads what the fingerprinting process has printed."""
    answer = json.loads(said)
    left_out = {LeftOutReason(reason): int(frames) for reason, frames in answer["left_out"].items()}
    if not answer["frames"]:
        nothing = NothingBanked.NOTHING_LEFT
        return Banking(BankingState.NOTHING, nothing, stretch_ms, left_out=left_out)
    return Banking(BankingState.BANKED, None, stretch_ms, int(answer["frames"]), left_out)


async def _run(module: str, *arguments: str) -> tuple[int, str, str]:
    """Runs a module of ours in its own process. Returns its exit code, what went wrong, and what it printed.

    Raises OSError where no process can be started.
    """
    try:
        ended = await run_module(module, *arguments, longest_s=FINGERPRINT_S)
    except TimeoutError:
        return -1, f"took more than {FINGERPRINT_S:.0f} s", ""
    return ended.code, ended.problem if ended.code else "", ended.said.decode(errors="replace")
