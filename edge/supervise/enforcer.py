"""Enforces a verdict until the cut is proven: durable first, then visible, then confirmed.

verdict ─▶ strike + block on disk ─▶ block in memory ─▶ evidence asked ─▶ CUT asked ─▶ confirmed
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from edge.background import BackgroundTasks, task_health
from edge.clock import Clock, EventTimes
from edge.config import LimitsSection
from edge.contract.gate import action_from_proto, verdict_to_proto
from edge.contract.gen import gate_pb2, worker_pb2
from edge.crash_points import crash_point
from edge.decide import activity_of
from edge.domain import Action, Block, Incident, Signal, Verdict, new_id
from edge.errors import CallerGone, CutFailed, LedgerUnavailable
from edge.ladder import Sanction, sanction_of
from edge.ledger import AdmissionView, DurableLedger, Violation, make_violation
from edge.notices import block_notice
from edge.policy import Policy
from edge.reasons import UnconfirmedReason, VerdictReason
from edge.servers.connector import Connector, CutTarget
from edge.supervise.cutter import CutOutcome, Cutter
from edge.supervise.evidence_requests import EvidenceRequests, SavedClip
from edge.supervise.going_on import OngoingIncidents
from edge.supervise.incident_progress import RETRIES, RETRY_S, IncidentProgress
from edge.supervise.ledger_executor import LedgerExecutor
from edge.supervise.live_stream import LiveStream, WaitingCut
from edge.supervise.orphaned_cuts import OrphanedCuts
from edge.supervise.past_streams import PastStream
from edge.supervise.recordings import Recordings, SendMedia
from edge.supervise.registry import Registry
from edge.supervise.stream_life import State
from edge.telemetry.records import (
    GATE,
    BlockMade,
    CutDecided,
    CutGivenUp,
    CutProven,
    CutUnconfirmed,
    Flagged,
    FlaggedAgain,
    IncidentUnrecorded,
    ViolationHeld,
    ViolationRecorded,
)
from edge.telemetry.telemetry import Telemetry
from edge.turns import in_turns
from edge.workers.pool import WorkerPool

_RECORD_S = 1.0
"""How long an incident's record waits for the proof of its cut before it is written without it."""


class Enforcer:
    """Enforces FLAG and CUT verdicts, and blocks that name live streams."""

    def __init__(
        self,
        registry: Registry,
        ledger: DurableLedger,
        executor: LedgerExecutor,
        view: AdmissionView,
        cutter: Cutter,
        connectors: Mapping[str, Connector],
        caller: Connector,
        pool: WorkerPool,
        evidence_dir: Path,
        limits: LimitsSection,
        telemetry: Telemetry,
        clock: Clock,
        show_media: SendMedia,
        ended: Callable[[LiveStream], None],
    ) -> None:
        """``show_media`` sends media of a stream to its worker, before evidence is requested.
        ``ended`` is called when a cut stream is gone."""
        self._registry = registry
        self._ledger = ledger
        self._executor = executor
        self._view = view
        self._cutter = cutter
        self._connectors = connectors
        self._caller = caller
        self._cut_limit_ms = limits.cut_limit_ms
        self._telemetry = telemetry
        self._clock = clock
        self._send_evidence_media = show_media
        self._ended = ended
        self._pool = pool
        self._tasks = BackgroundTasks()
        self._recording = BackgroundTasks()
        """Of violations. They are never cancelled."""
        self._progress = IncidentProgress(ledger, executor, telemetry)
        self._evidence = EvidenceRequests(evidence_dir, pool, self._progress, telemetry, clock, self._tasks)
        self.ongoing = OngoingIncidents(
            ledger,
            executor,
            self._progress,
            clock,
            lambda stream_id: registry.find(stream_id) is not None,
            self._tasks,
        )
        self._recordings = Recordings(
            self._evidence,
            show_media,
            pool,
            self._progress,
            clock,
            self._tasks,
            limits.recording_mb * 2**20,
        )
        self.orphans = OrphanedCuts(cutter, connectors, self._progress, telemetry, clock, limits.cut_limit_ms)
        """Cuts of an earlier run, and cuts whose caller is gone."""

    # what the gate asks for

    def flag(self, stream: LiveStream, verdict: Verdict, policy: Policy, *, media_sent: bool = False) -> None:
        """Opens an incident for reviewers, or goes on with that of the same activity. The stream goes on.
        Verdicts withheld by shadow mode come here too.

        ``media_sent`` says that the media for the evidence is in the worker already.
        """
        known = self.ongoing.incident_of(stream.id, verdict, policy.review)
        if known is not None:
            self._tasks.start(self._flag_again(stream, verdict, policy, known))
            return
        incident = self._incident(stream, verdict)
        self.ongoing.opened(incident)
        if not media_sent:
            self._recordings.begin(stream, incident, policy.evidence)
        self._tasks.start(self._flag(stream, incident, media_sent=media_sent))

    def flag_past(self, stream: PastStream, verdict: Verdict) -> None:
        """Opens an incident for what a stream has shown that is over. Nothing of its media is left."""
        incident = self._incident(stream, verdict)
        self._telemetry.report(Flagged(incident))
        self._tasks.start(self._put_on_record(incident))

    def goes_on(self, stream: LiveStream, signal: Signal) -> str:
        """What was flagged goes on, without a verdict. Returns its incident; empty where nobody was told of
        one."""
        known = self.ongoing.sign(stream.id, signal)
        if known is None:
            return ""
        incident_id, shadow = known
        self._recordings.goes_on(incident_id)
        return "" if shadow else incident_id

    def sweep(self) -> None:
        """Notes what has gone on, and ends recordings that are over. Called once a second."""
        self.ongoing.sweep()
        self._recordings.sweep()

    def cut_stream(self, stream: LiveStream, verdict: Verdict, judged_ms: float, policy: Policy) -> None:
        """Blocks, then cuts. Further causes for the same stream have no effect of their own."""
        gone = stream.life.state is State.GONE
        if not self._begins(stream):
            return
        if gone:
            self._cutter.gone_before(stream.id)
        stream.verdict_monotonic_ms = judged_ms
        self._tasks.start(self._cut(stream, verdict, policy))

    def cut_without_strike(
        self, stream: LiveStream, reason: VerdictReason, block: Block | None = None
    ) -> None:
        """Cuts a stream whose broadcaster was blocked elsewhere, or that cannot be watched."""
        if stream.life.state is State.GONE or not self._begins(stream):
            return
        stream.verdict_monotonic_ms = self._clock.monotonic_ms()
        if self.orphans.pursues(stream.id):
            self._tasks.start(self._follow(stream))
            return
        verdict = Verdict(Action.CUT, pts_ms=-1, cleared_pts_ms=stream.cleared_pts_ms, reason=reason)
        if stream.was_watched or stream.publish.server in self._connectors:
            self._cut_without_incident(stream, verdict, block)
        else:
            stream.waiting_cut = WaitingCut(verdict, block)

    def cut_heard(self, stream: LiveStream) -> None:
        """A call begins to watch a stream that is being cut. A cut that has waited for that begins."""
        waiting, stream.waiting_cut = stream.waiting_cut, None
        if waiting is not None:
            stream.verdict_monotonic_ms = self._clock.monotonic_ms()
            self._cut_without_incident(stream, waiting.verdict, waiting.block)

    def _cut_without_incident(self, stream: LiveStream, verdict: Verdict, block: Block | None) -> None:
        block_id, by = ("", GATE) if block is None else (block.id, block.created_by)
        self._telemetry.report(CutDecided(stream.id, stream.publish, verdict, "", block_id, by))
        answer = self._answer(stream, verdict, "", block)
        self._tasks.start(self._close_publisher(stream, verdict, answer, None))
        self._tasks.start(self._progress.stream_cut(stream, verdict.reason, block, self._clock.wall_ms()))

    def cut_unwatchable(self, stream: LiveStream, verdict: Verdict) -> bool:
        """Cut a stream whose own media has ended its watching: with an incident, without strike or block.
        What is kept of its media is in a worker. Returns False where nothing can be cut any more."""
        if stream.life.state in (State.GONE, State.LEFT) or not self._begins(stream):
            return False
        stream.verdict_monotonic_ms = self._clock.monotonic_ms()
        incident = self._cut_incident(stream, verdict)
        stream.incident_id = incident.id
        self._telemetry.report(CutDecided(stream.id, stream.publish, verdict, incident.id))
        answer = self._answer(stream, verdict, incident.id, None)
        # At once: its call ends with an error next.
        self._tell(stream, answer)
        saved = self._evidence.save_clip(incident, stream.seed, stream.scores)
        self._tasks.start(self._cut_unwatchable(stream, verdict, answer, incident, saved))
        return True

    def blocks_apply(self, blocks: Iterable[Block]) -> None:
        """Cuts every live stream that one of these new blocks names."""
        now = self._clock.wall_ms()
        for block in sorted(blocks, key=lambda block: block.until_ms, reverse=True):
            if block.active_at(now):
                for stream in self._registry.named_by(block):
                    self.cut_without_strike(stream, VerdictReason.BLOCKED, block)

    async def every_block_applies(self) -> None:
        """Cuts every live stream that any block names. A block may have been made while no gate ran."""
        now = self._clock.wall_ms()
        async for stream in in_turns(self._registry):
            block = None if stream.cutting or stream.life.over else self._view.check(stream.publish, now)
            if block is not None:
                self.cut_without_strike(stream, VerdictReason.BLOCKED, block)

    def abandon(self, stream: LiveStream) -> None:
        """Stops waiting for the confirmation of a cut whose caller is gone for good.

        The incident stays unconfirmed. The block stands and refuses the publisher's return.
        """
        self._cutter.abandon(stream.id)

    def evidence_saved(self, event: worker_pb2.EvidenceSaved) -> None:
        self._evidence.clip_saved(event)

    async def settle(self, timeout_s: float) -> None:
        """Waits for tasks in progress, before the process stops."""
        self.ongoing.finish()
        self._recordings.finish()
        await self._tasks.settle(timeout_s)
        await self.orphans.settle(0)

    # how

    def _begins(self, stream: LiveStream) -> bool:
        """Begins the cut of a stream. What it has held is there for others at once: whether its cut gets
        proven is up to its publisher and its server. Returns False where nothing can be cut any more."""
        if not stream.life.cut():
            return False
        self._pool.rest(stream.id)
        for loser in self._registry.ending(stream):
            self.abandon(loser)
        return True

    async def _flag_again(
        self, stream: LiveStream, verdict: Verdict, policy: Policy, incident_id: str
    ) -> None:
        if await self.ongoing.is_decided(stream.id, incident_id):
            self.flag(stream, verdict, policy)
            return
        self.ongoing.add_verdict(stream.id, verdict)
        self._recordings.goes_on(incident_id)
        self._telemetry.report(FlaggedAgain(stream.id, stream.publish, verdict, incident_id))
        if not verdict.shadow and not stream.cutting:
            self._tell(stream, self._answer(stream, verdict, incident_id, None))

    async def _flag(self, stream: LiveStream, incident: Incident, *, media_sent: bool) -> None:
        verdict = incident.verdict
        self._telemetry.report(Flagged(incident))
        if not verdict.shadow:
            self._tell(stream, self._answer(stream, verdict, incident.id, None))
        if media_sent:
            saved = self._evidence.save_clip(incident, stream.seed, stream.scores)
        else:
            saved = await self._request_clip(stream, incident)
        if not await self._recorded(incident):
            await self._record_again(incident)
        incident = await self._evidence.clip(incident, saved)
        await self._evidence.rewrite_record(incident)
        self._recordings.first_clip_done(incident.id)

    async def _request_clip(self, stream: LiveStream, incident: Incident) -> asyncio.Future[SavedClip]:
        async with stream.evidence_lock:
            await self._send_evidence_media(stream, None)
            return self._evidence.save_clip(incident, stream.seed, stream.scores)

    async def _cut(self, stream: LiveStream, verdict: Verdict, policy: Policy) -> None:
        crash_point("cut.verdict")
        incident = self._cut_incident(stream, verdict)
        stream.incident_id = incident.id
        self._recordings.begin(stream, incident, policy.evidence, to_the_end=True)
        self._telemetry.report(CutDecided(stream.id, stream.publish, verdict, incident.id))
        violation: Violation | None = None
        blocks: tuple[Block, ...]
        sanction = sanction_of(policy, incident)
        recording = self._recording.start(
            self._executor.urgent(self._ledger.record_violation, incident, sanction, incident.created_ms),
            awaited=True,
        )
        try:
            # A decision gets on record even if the gate stops meanwhile.
            violation = await asyncio.shield(recording)
        except Exception as error:  # No error keeps the violation from being blocked and cut.
            if not isinstance(error, LedgerUnavailable):
                task_health().failed("Enforcer.record_violation", error, incident_id=incident.id)
            # The blocks get the ids that they will have on disk.
            blocks = make_violation(incident, sanction, (), incident.created_ms).blocks
            self._telemetry.report(ViolationRecorded(incident, "memory", str(error)))
            self._tasks.start(self._retry_violation(incident, sanction))
        else:
            blocks = violation.blocks
            self._telemetry.report(ViolationRecorded(incident, violation.durable_in))
        crash_point("cut.durable")
        for block in blocks:
            self._view.add_block(block)
        crash_point("cut.visible")
        for block in blocks:
            self._telemetry.report(BlockMade(block, block.created_by, stream.id))
        if violation is not None:
            incident = dataclasses.replace(incident, durable_ms=self._now_ms(stream))
        longest = max(blocks, key=lambda block: block.until_ms, default=None)
        answer = self._answer(stream, verdict, incident.id, longest)
        asked = asyncio.Event()
        closing = self._tasks.start(self._close_publisher(stream, verdict, answer, incident, asked))
        self.blocks_apply(blocks)
        try:
            # The CUT goes out first, since sending much media takes a while. The stream is kept until after
            # it.
            await asyncio.sleep(0)
            try:
                saved = await self._request_clip(stream, incident)
                crash_point("cut.evidence")
            finally:
                asked.set()  # Whatever becomes of the evidence, the stream ends.
            incident = await self._evidence.clip(incident, saved)
            self._recordings.first_clip_done(incident.id)
            # The clip is on record whether or not the cut is ever confirmed.
            done, _ = await asyncio.wait({closing}, timeout=_RECORD_S)
            if not done:
                await self._evidence.rewrite_record(incident)
        except asyncio.CancelledError:
            closing.cancel()
            raise
        closed = await closing
        path = incident.evidence_path
        await self._evidence.rewrite_record(dataclasses.replace(closed or incident, evidence_path=path))

    async def _cut_unwatchable(
        self,
        stream: LiveStream,
        verdict: Verdict,
        answer: gate_pb2.WatchResponse,
        incident: Incident,
        saved: asyncio.Future[SavedClip],
    ) -> None:
        await self._put_on_record(incident)
        closing = self._tasks.start(self._close_publisher(stream, verdict, answer, incident))
        # The clip is on record whether or not the cut is ever confirmed.
        incident = await self._evidence.clip(incident, saved)
        await self._evidence.rewrite_record(incident)
        closed = await closing or incident
        await self._evidence.rewrite_record(dataclasses.replace(closed, evidence_path=incident.evidence_path))

    async def _close_publisher(
        self,
        stream: LiveStream,
        verdict: Verdict,
        answer: gate_pb2.WatchResponse,
        incident: Incident | None,
        evidence_asked: asyncio.Event | None = None,
    ) -> Incident | None:
        """Cuts the publisher. Waits for the proof, or until nobody is left to give it, and for
        ``evidence_asked``."""
        asked_ms = self._now_ms(stream)
        self._tell(stream, answer)
        crash_point("cut.told")
        if incident is not None:
            incident = dataclasses.replace(incident, cut_asked_ms=asked_ms)
            self._tasks.start(self._mark_asked(incident))
        alarmed = False
        try:
            outcome = await self._cutter.cut_stream(
                self._target(stream), self._connector(stream), limit_ms=self._cut_limit_ms
            )
            if not outcome.confirmed:
                alarmed = True
                incident = await self._alarm(stream, verdict, incident, outcome.attempts)
                outcome = await self._cutter.wait(stream.id)
        except CallerGone:
            if incident is None:
                incident = self._cut_incident(stream, verdict)
                await self._put_on_record(incident)
            await self.orphans.caller_gone(incident, stream.admitted_by, stream.decided, alarmed=alarmed)
            await self._over(stream, evidence_asked)
            return incident
        except CutFailed as error:
            incident_id = "" if incident is None else incident.id
            self._telemetry.report(CutGivenUp(stream.id, stream.publish, str(error), incident_id))
            await self._over(stream, evidence_asked)
            return incident
        confirmed_ms = self._now_ms(stream)
        crash_point("cut.confirmed")
        self._report_confirmed(stream, incident, outcome)
        if incident is not None:
            incident = dataclasses.replace(incident, cut_confirmed_ms=confirmed_ms, confirmed_by=outcome.by)
            await self._progress.cut_confirmed(incident.id, confirmed_ms, outcome.by)
            crash_point("cut.marked_confirmed")
        await self._over(stream, evidence_asked)
        return incident

    async def _over(self, stream: LiveStream, evidence_asked: asyncio.Event | None) -> None:
        if evidence_asked is not None:
            await evidence_asked.wait()
        self._ended(stream)

    async def _follow(self, stream: LiveStream) -> None:
        """Ends a stream whose cut an earlier run began. That cut records its own proof."""
        with contextlib.suppress(CutFailed):
            await self._cutter.cut_stream(
                self._target(stream), self._connector(stream), limit_ms=self._cut_limit_ms
            )
            await self._cutter.wait(stream.id)
        self._ended(stream)

    async def _alarm(
        self, stream: LiveStream, verdict: Verdict, incident: Incident | None, attempts: int
    ) -> Incident:
        """Raises the alarm for an unproven cut at its limit. Asking goes on."""
        opened = incident or self._cut_incident(stream, verdict)
        self._telemetry.report(
            CutUnconfirmed(stream.id, stream.publish, UnconfirmedReason.LIMIT, opened.id, attempts)
        )
        if incident is None:
            await self._put_on_record(opened)
        now = self._now_ms(stream)
        limit = UnconfirmedReason.LIMIT
        self._tasks.start(self._progress.cut_unconfirmed(opened.id, now, limit))
        return dataclasses.replace(opened, cut_unconfirmed_ms=now, cut_unconfirmed_reason=limit)

    async def _put_on_record(self, incident: Incident) -> None:
        """Records the incident of a cut that has no violation, once the cut is an alarm. Retries in the
        background."""
        if not await self._recorded(incident):
            self._tasks.start(self._record_again(incident))

    async def _recorded(self, incident: Incident) -> bool:
        """Records an incident that has no violation. Returns whether that worked."""
        try:
            await self._executor.call(self._ledger.record_incident, incident, incident.created_ms)
        except Exception as error:  # No error may hide the incident from reviewers.
            self._telemetry.report(IncidentUnrecorded(incident, str(error)))
            return False
        return True

    async def _record_again(self, incident: Incident) -> None:
        """Retries until the incident is on record, since the caller has been told its id."""
        for _ in range(RETRIES):
            await asyncio.sleep(RETRY_S)
            await self._executor.back()
            if await self._recorded(incident):
                return
        self._telemetry.report(IncidentUnrecorded(incident, "no attempt worked", given_up=True))

    async def _mark_asked(self, incident: Incident) -> None:
        await self._progress.cut_asked(incident.id, incident.cut_asked_ms or 0, incident.durable_ms)
        crash_point("cut.marked_asked")

    async def _retry_violation(self, incident: Incident, sanction: Sanction) -> None:
        while True:
            await asyncio.sleep(RETRY_S)
            try:
                violation: Violation = await self._executor.call(
                    self._ledger.record_violation, incident, sanction, incident.created_ms
                )
            except Exception as error:
                if not isinstance(error, LedgerUnavailable):
                    self._telemetry.report(ViolationHeld(incident, str(error)))
                continue
            for block in violation.blocks:
                self._view.add_block(block)
            self._telemetry.report(ViolationRecorded(incident, violation.durable_in))
            return

    # parts

    def _report_confirmed(self, stream: LiveStream, incident: Incident | None, outcome: CutOutcome) -> None:
        time_to_cut_ms = None
        if stream.verdict_monotonic_ms is not None:
            time_to_cut_ms = self._clock.monotonic_ms() - stream.verdict_monotonic_ms
        self._telemetry.report(
            CutProven(
                stream.id,
                stream.publish,
                outcome.by,
                "" if incident is None else incident.id,
                outcome.attempts,
                time_to_cut_ms,
            )
        )

    def _cut_incident(self, stream: LiveStream, verdict: Verdict) -> Incident:
        """What follows is dated from this decision on."""
        incident = self._incident(stream, verdict)
        stream.decided = EventTimes(self._clock, incident.created_ms)
        return incident

    def _now_ms(self, stream: LiveStream) -> int:
        return self._clock.wall_ms() if stream.decided is None else stream.decided.wall_ms()

    def _incident(self, stream: LiveStream | PastStream, verdict: Verdict) -> Incident:
        now = self._clock.wall_ms()
        return Incident(
            id=new_id("in"),
            stream_id=stream.id,
            publish=stream.publish,
            verdict=verdict,
            created_ms=now,
            admitted_ms=stream.started_ms,
            activity=activity_of(verdict, now),
        )

    def _answer(
        self, stream: LiveStream, verdict: Verdict, incident_id: str, block: Block | None
    ) -> gate_pb2.WatchResponse:
        message = verdict_to_proto(verdict)
        message.incident_id = incident_id
        if verdict.action is Action.CUT and not verdict.shadow:
            now = self._clock.wall_ms()
            text = block_notice("cut", block, now, category=verdict.category or None)
            message.message.CopyFrom(gate_pb2.Message(en=text.en, ar=text.ar))
            message.blocked_until_wall_ms = 0 if block is None else block.until_ms
            message.blocked_provisionally = block is not None and block.provisional_at(now)
        return stream.verdict_answer(message)

    def _tell(self, stream: LiveStream, answer: gate_pb2.WatchResponse) -> None:
        stream.action = action_from_proto(answer.verdict.action)
        if stream.cutting:
            stream.cut_answer = answer
        if stream.responses is not None:
            stream.responses.put(answer)

    def _connector(self, stream: LiveStream) -> Connector:
        return self._connectors.get(stream.publish.server, self._caller)

    def _target(self, stream: LiveStream) -> CutTarget:
        return CutTarget(
            stream_id=stream.id,
            app=stream.publish.app,
            name=stream.publish.name,
            connection=stream.publish.connection,
            address=stream.publish.address,
        )
