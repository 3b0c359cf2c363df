"""Looks new bank entries up in what the gate's streams have shown, and acts on what it finds.

Workers look at frames that come. Who showed a new entry minutes ago would escape. So whatever changed the
banks, what is new in their verified copies is looked up at once in the memory of recent frames: first the
frames as they were shown, then their variants. Large additions wait for what judges live streams.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, TypeVar

import structlog

from edge.background import BackgroundTasks
from edge.contract.gate import signal_to_proto
from edge.decide import match_action
from edge.domain import INCIDENT_BANK, Action, Incident, SignalSource, Verdict
from edge.errors import GateError
from edge.match import BankPurpose, BankSet, RecentFootage
from edge.match.bank.bank_set import stamp_of
from edge.match.bank.new_entries import NewEntries, new_entries
from edge.match.entry_check import CalmPart
from edge.match.recent_footage import MOST_UNSEEN_MS, stream_tag
from edge.match.retro_match import STRENGTH, PastMatch, near_views, past_matches
from edge.policy import DAY_MS, MatchPolicy
from edge.reasons import VerdictReason
from edge.supervise.bank_hits import HitCount
from edge.supervise.clean_records import match_weight
from edge.supervise.context import Context
from edge.supervise.counted_matches import CountedMatches
from edge.supervise.enforcer import Enforcer
from edge.supervise.entry_guards import EntryGuards, entry_source
from edge.supervise.live_stream import LiveStream
from edge.supervise.past_streams import PastStream
from edge.telemetry.records import GATE, EntriesLookedUp, EntryHeld, MatchedLate, SourceDemoted
from edge.turns import in_turns

MOST_HASHES: Final = 1 << 20
"""Most new hashes of one change that are looked up, those of the smallest additions first."""
_URGENT_HASHES: Final = 20_000
"""Most new hashes that are looked up at the priority of everything else: those of some clips."""
_NICENESS: Final = 10
_JUDGE_S: Final = 60.0
_MOST_NAMED: Final = 100_000
"""Most new hashes of a segment among whose entries those of our own incidents are looked for."""
_MOST_INCIDENTS: Final = 64

Answer = TypeVar("Answer")
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _LookedUp:
    views: int
    matches: tuple[PastMatch, ...]
    took_ms: float


class RetroMatch:
    """The look back of one gate."""

    def __init__(
        self,
        context: Context,
        enforcer: Enforcer,
        recent: RecentFootage,
        copies: Path,
        counted: CountedMatches,
        guards: EntryGuards,
        hits: Callable[[], Awaitable[HitCount]],
        reload: Callable[[], None],
    ) -> None:
        """``reload`` has the workers read the banks again."""
        self._context = context
        self._enforcer = enforcer
        self._recent = recent
        self._copies = copies
        self._counted = counted
        self._guards = guards
        self._hits = hits
        self._tasks = BackgroundTasks()
        self._reload = reload
        self._known = BankSet()
        self._again: set[str] = set()
        self._wake = asyncio.Event()
        self._thread = _thread()

    async def start(self, tasks: BackgroundTasks) -> None:
        """Takes the banks as an earlier run has left their copies. What is new since then is looked up."""
        self._known, _ = await self._call(_read, self._known, self._known, self._copies)
        await self._call(self._guards.begin, self._known)
        self._again |= self._guards.unchecked(self._known)
        await self._write_guards()
        tasks.keep(self._run, needed=False)

    def stop(self) -> None:
        self._tasks.cancel()
        self._thread.shutdown(wait=False, cancel_futures=True)

    def banks_changed(self) -> None:
        self._wake.set()

    def look_up_again(self, bank: str) -> None:
        """Looks all entries of a bank up, as if they were new: they may act now, and could not before."""
        self._again.add(bank)
        self._wake.set()

    async def _run(self) -> None:
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), _JUDGE_S)
            if self._wake.is_set():
                self._wake.clear()
                await self.look_up()
            else:
                await self.judge_sources()

    async def judge_sources(self) -> None:
        """Demotes sources whose precision by review falls, and takes in the policy as it is now."""
        context, now = self._context, self._context.clock.wall_ms()
        try:
            hits = await self._hits()
        except GateError as error:
            log.warning("sources of bank entries are not judged", error=str(error))
            return
        changed = await self._call(self._guards.take_hits, self._known, hits, context.policy.guards, now)
        for source, why in changed:
            await self._on_record(source, why)
        await self._write_guards()

    @property
    def source_limit(self) -> int:
        return self._context.policy.guards.source_streams

    def source_of_entry(self, bank: str, entry: str) -> str:
        return entry_source(self._known, bank, entry)

    def ran_away(self, source: str) -> None:
        self._tasks.start(self._demote(source))

    async def _demote(self, source: str) -> None:
        now = self._context.clock.wall_ms()
        why = f"its entries match streams that weigh over {self.source_limit} within ten minutes"
        await self._call(self._guards.demote, source, why, now + DAY_MS, now)
        await self._on_record(source, why)
        await self._write_guards()

    async def _on_record(self, source: str, why: str) -> None:
        context = self._context
        context.telemetry.report(SourceDemoted(source, why))
        what = "source_demoted" if why else "source_restored"
        with suppress(GateError):
            await context.executor.call(
                context.ledger.note_bank_change, what, source, "", why, GATE, context.clock.wall_ms()
            )

    async def look_up(self) -> None:
        """Looks up what is new by now."""
        again, self._again = self._again, set()
        known = replace(self._known, banks=tuple(b for b in self._known.banks if b.bank.name not in again))
        self._known, (news, later) = await self._call(_read, self._known, known, self._copies)
        if _hashes(news) + _hashes(later) <= _URGENT_HASHES:
            await self._look_up(news, later)
            return
        await self._call(_give_way)
        try:
            await self._look_up(news, later)
        finally:  # a thread that has given way cannot go back
            self._thread.shutdown(wait=False)
            self._thread = _thread()

    async def _look_up(self, news: tuple[NewEntries, ...], later: tuple[NewEntries, ...]) -> None:
        await self._check(news, {_digest(new) for new in later})
        for done, new in enumerate(later, 1):  # it takes long, and what is found live is flagged meanwhile
            await self._check((new,), {_digest(each) for each in later[done:]})
        news = tuple(
            replace(new, bank=bank) for new in news if (bank := self._known.bank(new.bank.bank.name))
        )
        if not news:
            return
        streams = await self._streams()
        unchanged = tuple(each for new in news if len((each := new.unchanged).positions))
        banked_of = await self._banked_of(news)
        acted: dict[int, int] = {}
        for part in (unchanged, news) if _hashes(unchanged) < _hashes(news) else (unchanged,):
            wanted = {
                tag: policy for tag, (_, policy) in streams.items() if acted.get(tag) != STRENGTH[Action.CUT]
            }
            if not part or not wanted:
                return
            for match in await self._find(part, wanted):
                strength = STRENGTH[match.signal.at_most]
                if match.signal.bank == INCIDENT_BANK and banked_of.get(match.signal.entry) == match.stream:
                    continue  # a person has decided on this very footage of this stream
                if strength > acted.get(match.stream, -1):
                    acted[match.stream] = strength
                    self._act(*streams[match.stream], match)

    async def _check(self, news: Sequence[NewEntries], waits: Collection[str]) -> None:
        """Checks what is new, and lets the workers know what it may do."""
        context, now = self._context, self._context.clock.wall_ms()
        if news or waits:
            calm_parts = await self._calm_parts(news)
            found = await self._call(
                self._guards.check, self._known, news, await self._weights(), calm_parts, waits, now
            )
            for (bank, entry), finding in found.items():
                limit = context.policy.guards.seen_streams
                if finding.benign_share or finding.own_calm or (limit and finding.weight > limit):
                    context.telemetry.report(
                        EntryHeld(bank, entry, finding.benign_share, finding.streams, finding.own_calm)
                    )
        await self._write_guards()

    async def _write_guards(self) -> None:
        await self._call(self._guards.take_policy, self._context.policy.guards)
        if await self._call(self._guards.write):
            self._known, _ = await self._call(_read, self._known, self._known, self._copies)
            self._reload()

    async def _weights(self) -> dict[int, float]:
        """How much each stream counts, by its tag."""
        context = self._context
        found = {}
        async for stream in in_turns((*context.registry, *context.past)):
            clean_ms = (
                stream.clean_ms if isinstance(stream, PastStream) else context.clean.clean_ms(stream.publish)
            )
            looks = context.in_force.for_publish(stream.publish).looks
            found[int(stream_tag(stream.id))] = match_weight(clean_ms, looks, struck=stream.struck)
        return found

    async def _calm_parts(self, news: Sequence[NewEntries]) -> dict[str, CalmPart]:
        """Where entries are from that bear the id of an incident of ours. Our own bank has none of it."""
        found = {}
        for incident in await self._incidents([new for new in news if new.bank.bank.name != INCIDENT_BANK]):
            begin_ms = incident.verdict.begin_pts_ms
            if begin_ms is not None:
                tag = int(stream_tag(incident.stream_id))
                found[incident.id] = CalmPart(tag, begin_ms - MOST_UNSEEN_MS)
        return found

    async def _banked_of(self, news: Sequence[NewEntries]) -> dict[str | None, int]:
        """The streams, by tag, of which new entries of our own bank are."""
        own = [new for new in news if new.bank.bank.name == INCIDENT_BANK]
        return {each.id: int(stream_tag(each.stream_id)) for each in await self._incidents(own)}

    async def _incidents(self, news: Sequence[NewEntries]) -> list[Incident]:
        """The incidents whose ids new entries bear."""
        found = []
        for incident_id in await self._call(_incident_ids, news):
            with suppress(GateError):
                found.append(await self._context.executor.call(self._context.ledger.incident, incident_id))
        return found

    async def _streams(self) -> dict[int, tuple[LiveStream | PastStream, MatchPolicy]]:
        """The streams that the policy wants looked at, by their tags."""
        context = self._context
        now = context.clock.wall_ms()
        found: dict[int, tuple[LiveStream | PastStream, MatchPolicy]] = {}
        async for stream in in_turns((*context.registry, *context.past)):
            policy = context.in_force.for_publish(stream.publish).match
            over = isinstance(stream, PastStream) and stream.ended_wall_ms < now - policy.look_back_ms
            cutting = isinstance(stream, LiveStream) and stream.cutting
            if policy.enabled and policy.look_back_ms and not over and not cutting:
                found[int(stream_tag(stream.id))] = stream, policy
        return found

    async def _find(
        self, news: Sequence[NewEntries], policies: Mapping[int, MatchPolicy]
    ) -> tuple[PastMatch, ...]:
        now = self._context.clock.wall_ms()
        since_ms = now - max(policy.look_back_ms for policy in policies.values())
        found = await self._call(_looked_up, self._recent, since_ms, news, self._known, policies, now)
        self._context.telemetry.report(
            EntriesLookedUp(_hashes(news), found.views, len(found.matches), found.took_ms)
        )
        return found.matches

    def _act(self, stream: LiveStream | PastStream, policy: MatchPolicy, match: PastMatch) -> None:
        """Flags or cuts, as if the match had been found live. Who is gone is flagged."""
        context, signal = self._context, match.signal
        now = context.clock.wall_ms()
        action = match_action(signal, policy)
        over = isinstance(stream, PastStream) or context.registry.find(stream.id) is None
        acts = context.in_force.for_publish(stream.publish).mode.acts_on(SignalSource.MATCH)
        ago_ms = max(0, now - match.last_wall_ms)
        context.telemetry.report(
            MatchedLate(
                stream.id,
                stream.publish,
                signal.bank or "",
                signal.entry or "",
                action,
                signal.missed_ms or 0,
                ago_ms,
                over,
            )
        )
        if action is Action.PASS and isinstance(stream, LiveStream):
            self._counted.note(stream, signal_to_proto(signal))
        if action is Action.PASS or context.stopped:
            return
        detail = f"{signal.detail} missed_ms={signal.missed_ms} ago_ms={ago_ms}"
        verdict = Verdict(
            Action.FLAG if over else action,
            pts_ms=signal.pts_ms,
            cleared_pts_ms=-1 if isinstance(stream, PastStream) else stream.cleared_pts_ms,
            category=signal.category,
            reason=VerdictReason.MATCH,
            score=signal.score,
            signals=(replace(signal, detail=detail),),
            policy_version=context.policy.version,
            shadow=not acts,
            begin_pts_ms=signal.begin_pts_ms,
        )
        if isinstance(stream, PastStream):
            if verdict.category not in stream.flagged:
                stream.flagged.add(verdict.category)
                self._enforcer.flag_past(stream, verdict)
        elif verdict.action is Action.CUT and acts:
            own = context.in_force.for_publish(stream.publish)
            self._enforcer.cut_stream(stream, verdict, context.clock.monotonic_ms(), own)
        elif not stream.cutting:
            self._enforcer.flag(stream, verdict, context.in_force.for_publish(stream.publish))

    async def _call(self, call: Callable[..., Answer], *arguments: object) -> Answer:
        return await asyncio.get_running_loop().run_in_executor(self._thread, call, *arguments)


def _read(
    now: BankSet, before: BankSet, copies: Path
) -> tuple[BankSet, tuple[tuple[NewEntries, ...], tuple[NewEntries, ...]]]:
    """Reads the copies. Returns them, and what is new since another state: what is looked up at once, and
    what is too much for that."""
    banks = now.read_anew(copies, stamp_of(copies), strict=False, verify=False)
    news: list[NewEntries] = []
    later: list[NewEntries] = []
    for new in sorted(new_entries(before, banks), key=lambda new: len(new.positions)):
        if new.bank.bank.info.opinion is not BankPurpose.BENIGN:
            (news if _hashes(news) + len(new.positions) <= MOST_HASHES else later).append(new)
    if later:
        log.warning("too much is new in the banks to look it up in what streams have shown", most=MOST_HASHES)
    return banks, (tuple(news), tuple(later))


def _digest(new: NewEntries) -> str:
    return new.bank.bank.segments[new.segment].digest


def _incident_ids(news: Sequence[NewEntries]) -> list[str]:
    found: list[str] = []
    for new in news:
        if len(new.positions) > _MOST_NAMED:
            continue
        segment = new.bank.bank.segments[new.segment]
        ids = {r.entry.id for position in new.positions for r in segment.references(int(position))}
        found += [entry_id for entry_id in ids if entry_id.startswith("in_")]
    return found[:_MOST_INCIDENTS]


def _looked_up(
    recent: RecentFootage,
    since_ms: int,
    news: Sequence[NewEntries],
    banks: BankSet,
    policies: Mapping[int, MatchPolicy],
    now_ms: int,
) -> _LookedUp:
    begun = time.monotonic()
    views = recent.since(since_ms)
    matches = tuple(past_matches(views, near_views(views, news), news, banks, policies, now_ms))
    return _LookedUp(len(views), matches, 1000 * (time.monotonic() - begun))


def _hashes(news: Iterable[NewEntries]) -> int:
    return sum(len(new.positions) for new in news)


def _thread() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, "retro-match")


def _give_way() -> None:
    """Judging live streams has priority. On Linux the niceness is of this thread alone."""
    with suppress(OSError, AttributeError):
        os.setpriority(os.PRIO_PROCESS, 0, os.getpriority(os.PRIO_PROCESS, 0) + _NICENESS)
