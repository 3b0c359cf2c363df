"""From a violation to a proven cut: durable first, then visible, then confirmed.

verdict ─▶ strike + block on disk ─▶ block in memory ─▶ evidence asked ─▶ CUT asked ─▶ confirmed
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path

import structlog

from edge.api import convert
from edge.api.gen import gate_pb2, worker_pb2
from edge.clock import Clock
from edge.crash import crash_point
from edge.domain import (
    Action,
    Block,
    Incident,
    Verdict,
    new_id,
)
from edge.enforce import Connector, CutTarget, Cutter, block_until, notice
from edge.errors import CutFailed, LedgerUnavailable, NotFound, WorkerLost
from edge.evidence import write_incident_record
from edge.ledger import AdmissionView, DurableLedger, Violation, make_violation
from edge.policy import Policy
from edge.supervise.ledger_thread import LedgerThread
from edge.supervise.registry import LiveStream, Phase, Registry
from edge.supervise.tasks import Tasks
from edge.telemetry.metrics import Metrics
from edge.workers import WorkerPool

_RETRY_S = 1.0
_MARK_RETRIES = 3600

log = structlog.get_logger(__name__)


class Enforcement:
    """Acts on FLAG and CUT, and on blocks that concern running streams."""

    def __init__(
        self,
        registry: Registry,
        ledger: DurableLedger,
        thread: LedgerThread,
        view: AdmissionView,
        cutter: Cutter,
        connectors: Mapping[str, Connector],
        caller: Connector,
        pool: WorkerPool,
        evidence_dir: Path,
        cut_limit_ms: int,
        metrics: Metrics,
        clock: Clock,
        ended: Callable[[LiveStream], None],
    ) -> None:
        self._registry = registry
        self._ledger = ledger
        self._thread = thread
        self._view = view
        self._cutter = cutter
        self._connectors = connectors
        self._caller = caller
        self._pool = pool
        self._evidence_dir = evidence_dir
        self._cut_limit_ms = cut_limit_ms
        self._metrics = metrics
        self._clock = clock
        self._ended = ended
        self._tasks = Tasks()
        self._saving: dict[str, asyncio.Future[str | None]] = {}

    # what the gate asks for

    def flag(self, stream: LiveStream, verdict: Verdict) -> None:
        """Open an incident for people; the stream goes on. Also everything that shadow mode withholds."""
        self._tasks.run(self._flag(stream, verdict))

    def cut(self, stream: LiveStream, verdict: Verdict, judged_ms: float, policy: Policy) -> None:
        """Block, then cut. Further causes for the same stream collapse into the first."""
        if stream.cutting:
            return
        stream.phase = Phase.CUTTING
        stream.verdict_monotonic_ms = judged_ms
        self._tasks.run(self._cut(stream, verdict, policy))

    def cut_without_strike(self, stream: LiveStream, reason: str, until_ms: int) -> None:
        """Cut a stream whose broadcaster was blocked elsewhere, or that cannot be watched."""
        if stream.cutting:
            return
        stream.phase = Phase.CUTTING
        stream.verdict_monotonic_ms = self._clock.monotonic_ms()
        verdict = Verdict(Action.CUT, pts_ms=-1, cleared_pts_ms=stream.cleared_pts_ms, reason=reason)
        self._tasks.run(self._close_publisher(stream, self._answer(stream, verdict, "", until_ms), None))

    def blocks_apply(self) -> None:
        """Cut every running stream that a block names, after new blocks have come."""
        now = self._clock.wall_ms()
        for stream in self._registry:
            block = None if stream.cutting else self._view.check(stream.publish, now)
            if block is not None:
                self.cut_without_strike(stream, "blocked", block.until_ms)

    def resume(self, incident: Incident) -> None:
        """After a restart: a cut that was durable and never proven is asked for again."""
        self._tasks.run(self._resume(incident))

    def abandon(self, stream: LiveStream) -> None:
        """The caller of a stream that is being cut is gone for good: it will not confirm any more.

        The incident stays unconfirmed; the block stands, and refuses the publisher's return.
        """
        self._cutter.abandon(stream.id)

    def evidence_saved(self, event: worker_pb2.EvidenceSaved) -> None:
        future = self._saving.pop(event.incident_id, None)
        if event.error:
            log.warning("no evidence clip", incident_id=event.incident_id, error=event.error)
        if future is not None and not future.done():
            future.set_result(event.path or None)

    async def settle(self, timeout_s: float) -> None:
        """Wait for what is under way; used before the process stops."""
        await self._tasks.settle(timeout_s)

    # how

    async def _flag(self, stream: LiveStream, verdict: Verdict) -> None:
        incident = self._incident(stream, verdict)
        if not verdict.shadow:
            self._tell(stream, self._answer(stream, verdict, incident.id, 0))
        saved = self._save_evidence(stream, incident)
        try:
            await self._thread.call(self._ledger.record_incident, incident, incident.created_ms)
        except LedgerUnavailable as error:
            log.error("incident not recorded", incident_id=incident.id, error=str(error))
        await self._finish_record(incident, saved)

    async def _cut(self, stream: LiveStream, verdict: Verdict, policy: Policy) -> None:
        crash_point("cut.verdict")
        incident = self._incident(stream, verdict)
        stream.incident_id = incident.id
        violation: Violation | None = None
        blocks: tuple[Block, ...]
        try:
            violation = await self._thread.urgent(
                self._ledger.record_violation, incident, policy.ladder, incident.created_ms
            )
        except LedgerUnavailable as error:
            # The same ids as on disk, once it gets there.
            until_ms = block_until((), policy.ladder, incident.created_ms)
            blocks = make_violation(incident, policy.ladder, until_ms, incident.created_ms).blocks
            log.critical("block is not durable: held in memory and retried", error=str(error))
            self._metrics.violations.labels("memory").inc()
            self._tasks.run(self._retry_violation(incident, policy))
        else:
            blocks = violation.blocks
            self._thread.mark(down=violation.durable_in != "ledger")
            self._metrics.violations.labels(violation.durable_in).inc()
        crash_point("cut.durable")
        for block in blocks:
            self._view.add(block)
        crash_point("cut.visible")
        if violation is not None:
            incident = dataclasses.replace(incident, durable_ms=self._clock.wall_ms())
        saved = self._save_evidence(stream, incident)
        crash_point("cut.evidence")
        until_ms = max((block.until_ms for block in blocks), default=0)
        answer = self._answer(stream, verdict, incident.id, until_ms)
        self.blocks_apply()
        # The clip is on record whether or not the cut is ever confirmed.
        recorded = asyncio.ensure_future(self._finish_record(incident, saved))
        incident = await self._close_publisher(stream, answer, incident) or incident
        path = await recorded
        incident = dataclasses.replace(incident, evidence_path=path)
        await asyncio.to_thread(write_incident_record, incident, self._evidence_dir)

    async def _close_publisher(
        self, stream: LiveStream, answer: gate_pb2.WatchResponse, incident: Incident | None
    ) -> Incident | None:
        asked_ms = self._clock.wall_ms()
        self._tell(stream, answer)
        crash_point("cut.told")
        if incident is not None:
            incident = dataclasses.replace(incident, cut_asked_ms=asked_ms)
            self._tasks.run(self._mark_asked(incident))
        try:
            outcome = await self._cutter.cut(
                self._target(stream), self._connector(stream), limit_ms=self._cut_limit_ms
            )
            if not outcome.confirmed:
                self._metrics.cuts_unconfirmed.inc()
                log.critical(
                    "cut is not confirmed; asking goes on",
                    stream_id=stream.id,
                    server=stream.publish.server,
                    attempts=outcome.attempts,
                )
                outcome = await self._cutter.wait(stream.id)
        except CutFailed as error:
            log.critical("cut was never confirmed", stream_id=stream.id, error=str(error))
            self._ended(stream)
            return incident
        confirmed_ms = self._clock.wall_ms()
        crash_point("cut.confirmed")
        self._metrics.cuts.labels(outcome.by).inc()
        if stream.verdict_monotonic_ms is not None:
            self._metrics.time_to_cut.observe(self._clock.monotonic_ms() - stream.verdict_monotonic_ms)
        log.info("cut confirmed", stream_id=stream.id, by=outcome.by, attempts=outcome.attempts)
        if incident is not None:
            incident = dataclasses.replace(incident, cut_confirmed_ms=confirmed_ms, confirmed_by=outcome.by)
            await self._retried(self._ledger.mark_cut_confirmed, incident.id, confirmed_ms, outcome.by)
            crash_point("cut.marked_confirmed")
        self._ended(stream)
        return incident

    async def _resume(self, incident: Incident) -> None:
        connector = self._connectors.get(incident.publish.server)
        if connector is None:
            # The caller's connection to the gate ended with the old process: on its return it must
            # ask for admission again, and the block refuses it.
            log.warning(
                "a cut of an earlier run was never confirmed; its caller must ask for admission again",
                incident_id=incident.id,
                server=incident.publish.server,
            )
            return
        target = CutTarget(
            stream_id=incident.stream_id,
            app=incident.publish.app,
            name=incident.publish.name,
            connection=incident.publish.connection,
            address=incident.publish.address,
        )
        try:
            outcome = await self._cutter.cut(target, connector, limit_ms=self._cut_limit_ms)
            if not outcome.confirmed:
                self._metrics.cuts_unconfirmed.inc()
                outcome = await self._cutter.wait(incident.stream_id)
        except CutFailed as error:
            log.critical("resumed cut was not confirmed", incident_id=incident.id, error=str(error))
            return
        self._metrics.cuts.labels(outcome.by).inc()
        await self._retried(self._ledger.mark_cut_confirmed, incident.id, self._clock.wall_ms(), outcome.by)
        log.info("cut resumed after a restart is confirmed", incident_id=incident.id, by=outcome.by)

    async def _mark_asked(self, incident: Incident) -> None:
        await self._retried(
            self._ledger.mark_cut_asked, incident.id, incident.cut_asked_ms, incident.durable_ms
        )
        crash_point("cut.marked_asked")

    async def _retried(self, function: Callable[..., object], *args: object) -> None:
        """A mark on an incident matters to people, not to the cut: retried until the ledger is back.

        An incident that is not found is still in the journal.
        """
        for _ in range(_MARK_RETRIES):
            try:
                await self._thread.call(function, *args)
                return
            except (LedgerUnavailable, NotFound) as error:
                log.warning("mark on an incident waits for the ledger", error=str(error))
                await asyncio.sleep(_RETRY_S)
        log.error("mark on an incident given up", mark=function.__name__, incident_id=args[0])

    async def _retry_violation(self, incident: Incident, policy: Policy) -> None:
        while True:
            await asyncio.sleep(_RETRY_S)
            try:
                violation: Violation = await self._thread.call(
                    self._ledger.record_violation, incident, policy.ladder, incident.created_ms
                )
            except LedgerUnavailable:
                continue
            for block in violation.blocks:
                self._view.add(block)
            self._metrics.violations.labels(violation.durable_in).inc()
            return

    # parts

    def _incident(self, stream: LiveStream, verdict: Verdict) -> Incident:
        return Incident(
            id=new_id("in"),
            stream_id=stream.id,
            publish=stream.publish,
            verdict=verdict,
            created_ms=self._clock.wall_ms(),
        )

    def _answer(
        self, stream: LiveStream, verdict: Verdict, incident_id: str, until_ms: int
    ) -> gate_pb2.WatchResponse:
        message = convert.verdict_to_proto(verdict)
        message.incident_id = incident_id
        if verdict.action is Action.CUT and not verdict.shadow:
            text = notice("cut", until_ms=until_ms, category=verdict.category)
            message.message.CopyFrom(gate_pb2.Message(en=text.en, ar=text.ar))
            message.blocked_until_wall_ms = until_ms
        return gate_pb2.WatchResponse(cleared_pts_ms=stream.cleared_pts_ms, verdict=message)

    def _tell(self, stream: LiveStream, answer: gate_pb2.WatchResponse) -> None:
        stream.action = convert.action_from_proto(answer.verdict.action)
        if stream.answers is not None:
            stream.answers.put(answer)

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

    # evidence

    def _save_evidence(self, stream: LiveStream, incident: Incident) -> asyncio.Future[str | None]:
        """Ask the worker for the clip, before the cut ends the media it is made of."""
        future: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
        self._saving[incident.id] = future
        command = worker_pb2.ToWorker(
            save_evidence=worker_pb2.SaveEvidence(
                stream_id=stream.id, incident_id=incident.id, directory=str(self._evidence_dir)
            )
        )
        try:
            self._pool.send(stream.id, command)
        except WorkerLost:
            del self._saving[incident.id]
            future.set_result(None)
        return future

    async def _finish_record(self, incident: Incident, saved: asyncio.Future[str | None]) -> str | None:
        try:
            path = await asyncio.wait_for(saved, timeout=10.0)
        except TimeoutError:
            self._saving.pop(incident.id, None)
            path = None
        if path is not None:
            incident = dataclasses.replace(incident, evidence_path=path)
            await self._retried(self._ledger.set_evidence, incident.id, path, self._clock.wall_ms())
        await asyncio.to_thread(write_incident_record, incident, self._evidence_dir)
        return path
