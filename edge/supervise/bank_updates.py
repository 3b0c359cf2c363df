"""Updates the banks: adds confirmed incidents and quarantines runaway entries.

Fingerprinting decodes media, which the supervisor never does. And whoever maps a bank's own files dies when
they shrink. So each change runs in a process of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import structlog

from edge.banking import Banking, BankingState, LeftOutReason, NothingBanked
from edge.clock import Clock
from edge.domain import Incident, Signal, SignalSource
from edge.errors import BankError, GateError
from edge.match import RunawayGuard
from edge.match.bank.manifest import read_manifest
from edge.telemetry.records import BankEntryRanAway
from edge.telemetry.telemetry import Telemetry

FINGERPRINT_S = 600.0
"""Wall time limit for one change. Beside fully busy workers a few seconds of work take minutes."""
MAX_WAITING = 1024
"""Most confirmed incidents that may wait to be banked."""

Stands = Callable[[], Awaitable[bool]]
"""Whether an incident has not been overturned by now. May raise GateError."""

log = structlog.get_logger(__name__)


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
    ) -> None:
        """``recent`` is the file of recent footage, which ``save_recent`` brings up to date. It may raise
        OSError."""
        self._directory = directory
        self._recent = recent
        self._save_recent = save_recent
        self._telemetry = telemetry
        self._clock = clock
        self._changed = changed
        self._guard = RunawayGuard()
        self._one_at_a_time = asyncio.Lock()
        self._waiting = 0

    async def confirmed(self, incident: Incident, stretch_ms: tuple[int, int], stands: Stands) -> Banking:
        """Banks a stretch of a confirmed incident's clip, in the clip's own time. Returns what is banked now.

        Incidents are banked one at a time. ``stands`` is asked before and after. If the incident was
        overturned meanwhile, or its state is unknown, it is not banked or it is withdrawn.
        """
        withdrawn = Banking(BankingState.WITHDRAWN, stretch_ms=stretch_ms)
        if self._waiting >= MAX_WAITING:
            return _failed(incident, stretch_ms, f"{MAX_WAITING} others wait already")
        self._waiting += 1
        try:
            async with self._one_at_a_time:
                if not await _asked(incident, stands):
                    return withdrawn
                error, said = await self._bank(incident, stretch_ms)
                if not await _asked(incident, stands):
                    await self.overturned(incident)
                    return withdrawn
        finally:
            self._waiting -= 1
        if error is not None:
            return _failed(incident, stretch_ms, error)
        banked = _banked(stretch_ms, said)
        log.info(
            "incident is known footage now" if banked.frames else "nothing of an incident is known footage",
            incident_id=incident.id,
            frames=banked.frames,
            left_out={reason.value: frames for reason, frames in banked.left_out.items()},
        )
        if banked.frames:
            self._changed()
        return banked

    async def _bank(self, incident: Incident, stretch_ms: tuple[int, int]) -> tuple[str | None, str]:
        """Runs the fingerprinting process. Returns what went wrong, or None, and what it printed."""
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
        """Withdraws an overturned incident from known footage."""
        error, said = await _run("edge.match.incident_bank", "withdraw", str(self._directory), incident.id)
        if error is not None:
            log.error("incident not withdrawn from its bank", incident_id=incident.id, error=error)
        elif said:
            self._changed()

    async def matched(self, stream_id: str, signals: tuple[Signal, ...]) -> None:
        """Counts the matches behind a verdict. Quarantines a runaway entry, so that it flags and no longer
        cuts.

        A runaway audio match is only reported. Its picture must not escape because many streams play its
        music.
        """
        for signal in signals:
            bank = signal.bank
            if signal.source is SignalSource.DETECT or signal.entry is None or bank is None:
                continue
            path = self._directory / bank
            try:
                manifest, _ = await asyncio.to_thread(read_manifest, path.with_name(f"{bank}.bank"))
                limit = manifest.info.runaway_streams
                now = self._clock.monotonic_ms()
                by_sound = signal.source is SignalSource.AUDIO
                key = f"sound {signal.entry}" if by_sound else signal.entry
                if not self._guard.observe(now, bank, key, stream_id, limit):
                    continue
                if not by_sound:
                    await _quarantine(path, signal.entry)
                self._telemetry.report(BankEntryRanAway(bank, signal.entry, limit, quarantined=not by_sound))
                if not by_sound:
                    self._changed()
            except GateError as error:
                log.error("match not counted", bank=bank, entry=signal.entry, error=str(error))


def _failed(incident: Incident, stretch_ms: tuple[int, int], error: str) -> Banking:
    log.error("incident not banked", incident_id=incident.id, error=error)
    return Banking(BankingState.FAILED, stretch_ms=stretch_ms, detail=error)


def _banked(stretch_ms: tuple[int, int], said: str) -> Banking:
    """Reads what the fingerprinting process has printed."""
    answer = json.loads(said)
    left_out = {LeftOutReason(reason): int(frames) for reason, frames in answer["left_out"].items()}
    if not answer["frames"]:
        nothing = NothingBanked.NOTHING_LEFT
        return Banking(BankingState.NOTHING, nothing, stretch_ms, left_out=left_out)
    return Banking(BankingState.BANKED, None, stretch_ms, int(answer["frames"]), left_out)


async def _asked(incident: Incident, stands: Stands) -> bool:
    try:
        return await stands()
    except GateError as error:
        log.error(
            "incident not banked: nobody can say whether it stands",
            incident_id=incident.id,
            error=str(error),
        )
        return False


async def _quarantine(bank: Path, entry: str) -> None:
    """Raises BankError where the entry cannot be quarantined."""
    error, _ = await _run("edge.cli", "bank", "quarantine", "--bank", str(bank), "--", entry)
    if error is not None:
        raise BankError(error)


async def _run(module: str, *arguments: str) -> tuple[str | None, str]:
    """Runs a module of ours in its own process. Returns what went wrong, or None, and what it printed."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        module,
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        said, wrong = await asyncio.wait_for(process.communicate(), FINGERPRINT_S)
    except TimeoutError:
        return f"took more than {FINGERPRINT_S:.0f} s", ""
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    if process.returncode != 0:
        return wrong.decode(errors="replace")[-500:] or f"exit code {process.returncode}", ""
    return None, said.decode(errors="replace")
