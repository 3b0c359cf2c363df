"""The gate itself: who may go live, whose media goes where, and what follows from a verdict."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Coroutine, Mapping
from typing import Any

import structlog

from edge.api import convert
from edge.api.gen import gate_pb2, worker_pb2
from edge.clock import Clock
from edge.config import Settings
from edge.domain import (
    Action,
    Block,
    Incident,
    IncidentState,
    Publish,
    SignalSource,
    StreamId,
    SubjectKind,
    Verdict,
    new_stream_id,
)
from edge.enforce import CallerConnector, Connector, Cutter, notice
from edge.errors import (
    AlreadyExists,
    BrokenMedia,
    CapacityExceeded,
    GateError,
    InvalidInput,
    LimitExceeded,
    NotFound,
    SourceStalled,
    WorkerLost,
)
from edge.hooks import Admission
from edge.ledger import AdmissionView, BlockFeed, DurableLedger
from edge.policy import FailureMode, Mode, Policy
from edge.supervise.answers import Answers
from edge.supervise.enforcement import Enforcement
from edge.supervise.gop import Gop
from edge.supervise.known_footage import KnownFootage
from edge.supervise.ledger_thread import LedgerThread
from edge.supervise.registry import LiveStream, Phase, Registry
from edge.telemetry.metrics import Metrics
from edge.workers import WorkerPool
from edge.workers.settings import WorkerSettings

_SWEEP_S = 1.0
_EXPIRE_SWEEPS = 600
_PULLS_TO_ALARM = 6
_PULL_PAUSE_MS = 5_000
_PULLED_FACTOR = 20
"""How much longer a hooked stream that cannot be pulled is kept: its server has not said that it ended."""
_PULL_RETRY_MS = 300
_SETTLE_S = 3.0

log = structlog.get_logger(__name__)


class Gate:
    """Everything between the servicers and hooks on one side, and workers and ledger on the other.

    Lives in one event loop; every method is called from it.
    """

    def __init__(
        self,
        settings: Settings,
        worker_settings: WorkerSettings,
        ledger: DurableLedger,
        policy: Policy,
        connectors: Mapping[str, Connector],
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        self.settings = settings
        self.metrics = metrics
        self.clock = clock
        self.policy = policy
        self.ledger = ledger
        self.thread = LedgerThread(metrics)
        self.view = AdmissionView()
        self.registry = Registry(settings.limits.max_streams)
        self.pool = WorkerPool(settings.workers, worker_settings, self, clock)
        self.draining = False
        self._stopped = False
        self._pulled_servers = frozenset(connectors)
        self._cutter = Cutter()
        self._enforcement = Enforcement(
            self.registry,
            ledger,
            self.thread,
            self.view,
            self._cutter,
            connectors,
            CallerConnector(self._ask_caller),
            self.pool,
            settings.evidence,
            settings.limits.cut_limit_ms,
            metrics,
            clock,
            self._cut_done,
        )
        self._known_footage = KnownFootage(
            settings.banks,
            metrics,
            clock,
            lambda: self.pool.broadcast(worker_pb2.ToWorker(reload_banks=worker_pb2.ReloadBanks())),
        )
        self._feed: BlockFeed | None = None
        self._sweeper: asyncio.Task[None] | None = None
        self._later: set[asyncio.Task[object]] = set()

    async def start(self) -> None:
        """Load the blocks, start the workers, resume cuts that were not proven. Returns when ready."""
        now = self.clock.wall_ms()
        known = await self.thread.call(self.ledger.revision)
        await self.thread.call(lambda: self.view.load(self.ledger.active_blocks(now)))
        await self.pool.start()
        for incident in await self.thread.call(self.ledger.pending_cuts):
            self._enforcement.resume(incident)
        self._sweeper = asyncio.create_task(self._sweep())
        if self.ledger.shared:
            loop = asyncio.get_running_loop()

            def take(blocks: tuple[Block, ...]) -> None:
                loop.call_soon_threadsafe(self._blocks_changed, blocks)

            self._feed = BlockFeed(self.ledger, take, since=known)
            self._feed.start()

    def _blocks_changed(self, blocks: tuple[Block, ...]) -> None:
        """Some gate of the fleet, perhaps this one, has made or lifted blocks."""
        for block in blocks:
            self.view.add(block)
        self._enforcement.blocks_apply()

    async def stop(self) -> None:
        """Admit nothing more, finish the verdicts under way, end every call, stop the workers."""
        self.draining = True
        if self._feed is not None:
            await asyncio.to_thread(self._feed.stop)
        await self._enforcement.settle(_SETTLE_S)
        self._stopped = True
        await self._enforcement.settle(_SETTLE_S)
        for stream in self.registry:
            if stream.answers is not None:
                stream.answers.close(CapacityExceeded("the gate is stopping"))
        for task in (self._sweeper, *self._later):
            if task is not None:
                task.cancel()
        await self._cutter.close()
        await self.pool.stop()
        self.thread.close()

    # admission

    async def admit(self, publish: Publish) -> Admission:
        """From memory alone. The same live connection gets the same answer again."""
        admission = self._admission(publish)
        self.metrics.admissions.labels(admission.reason).inc()
        return admission

    def _admission(self, publish: Publish) -> Admission:
        if self.draining:
            return self._refused("draining")
        block = self.view.check(publish, self.clock.wall_ms())
        if block is not None:
            return self._refused("blocked", block)
        if self.thread.down:
            mode = self.policy.failure.on_ledger_down
            self.metrics.failure_mode.labels("on_ledger_down", mode.value).inc()
            if mode is FailureMode.DENY:
                return self._refused("ledger_down")
        known = self.registry.by_connection(publish.server, publish.connection)
        if known is not None:
            if known.publish == publish and not known.cutting:
                return Admission(allowed=True, stream_id=known.id, reason="admitted")
            if known.cutting:
                return self._refused("capacity")
            # The server uses the reference again: its old connection is gone.
            self._forget(known, "replaced")
        if self.pool.full:
            mode = self.policy.failure.on_capacity
            self.metrics.failure_mode.labels("on_capacity", mode.value).inc()
            if mode is FailureMode.DENY:
                return self._refused("capacity")
        stream = LiveStream(
            id=new_stream_id(),
            publish=publish,
            started_ms=self.clock.wall_ms(),
            idle_since_ms=self.clock.monotonic_ms(),
        )
        try:
            self.registry.add(stream)
        except CapacityExceeded:
            return self._refused("capacity")
        self.metrics.streams.set(len(self.registry))
        return Admission(allowed=True, stream_id=stream.id, reason="admitted")

    def _refused(self, reason: str, block: Block | None = None) -> Admission:
        until_ms = 0 if block is None else block.until_ms
        text = notice(reason, until_ms=until_ms or None, category=block.category if block else None)
        return Admission(
            allowed=False,
            stream_id=None,
            reason=reason,
            until_ms=until_ms,
            notice=text,
            block_id="" if block is None else block.id,
        )

    def wants_pull(self, server: str) -> bool:
        """Whether the gate pulls streams of this kind of server by itself."""
        return server in self._pulled_servers

    # watching

    def open_push(self, stream_id: str, codec: str, extradata: bytes, client: str) -> LiveStream:
        """A caller starts to push media of an admitted stream."""
        limit = self.settings.limits.max_extradata_bytes
        if len(extradata) > limit:
            raise LimitExceeded("open.extradata", limit, len(extradata), "bytes")
        stream = self._watchable(stream_id, client)
        stream.codec, stream.extradata, stream.url = codec, extradata, None
        stream.gop = Gop(self.settings.limits.max_queue_bytes, self.settings.limits.max_queue_units)
        self._open(stream, client)
        return stream

    async def push(self, stream: LiveStream, unit: gate_pb2.AccessUnit) -> None:
        """One access unit of a push stream; waits while the worker's socket is full."""
        limit = self.settings.limits.max_access_unit_bytes
        if len(unit.data) > limit:
            raise LimitExceeded("access_unit.data", limit, len(unit.data), "bytes")
        if stream.phase is not Phase.WATCHED:
            return
        media = worker_pb2.Media(stream_id=stream.id, unit=unit, arrival_ms=self.clock.monotonic_ms())
        stream.gop.add(media)
        with contextlib.suppress(WorkerLost):  # on_streams_lost opens it again
            self.pool.send(stream.id, worker_pb2.ToWorker(media=media))
            await self.pool.drained(stream.id)

    def end_push(self, stream: LiveStream, reason: str) -> None:
        """The caller says that the stream has ended."""
        log.info("stream ends", stream_id=stream.id, reason=reason)
        self._close_in_worker(stream, drain=True)

    def attach_call(self, stream_id: str, url: str, client: str) -> LiveStream:
        """A caller asks the gate to pull; verdicts go to that call."""
        stream = self._watchable(stream_id, client)
        stream.url = self._checked_url(url)
        self._open(stream, client)
        return stream

    async def attach(self, stream_id: StreamId, url: str) -> None:
        """A hook asks the gate to pull; nobody reads the verdicts but enforcement."""
        stream = self.registry.get(stream_id)
        if stream.cutting:
            raise NotFound("stream to attach", stream_id)
        if stream.owned:
            return
        stream.url = self._checked_url(url)
        self._open(stream, client="", answers=False)

    async def still_admitted(self, stream_id: StreamId) -> bool:
        """Whether nothing has cut or ended the stream, for a hook that has yet to let it start."""
        stream = self.registry.find(stream_id)
        return stream is not None and not stream.cutting

    def detach(self, stream_id: str) -> None:
        stream = self.registry.get(stream_id)
        if stream.url is None or stream.answers is None:
            raise NotFound("attached stream", stream_id)
        stream.detached = True
        self._close_in_worker(stream, drain=False)

    def call_ended(self, stream: LiveStream, answers: Answers) -> None:
        """The Watch or Attach call is over, whoever ended it."""
        if stream.answers is not answers:
            return
        answers.close()
        stream.answers = None
        stream.client = ""
        self._close_in_worker(stream, drain=False)
        self._idle(stream)

    def _watchable(self, stream_id: str, client: str) -> LiveStream:
        stream = self.registry.get(stream_id)
        if stream.answers is not None:
            raise AlreadyExists(f"stream_id: {stream_id} is watched by another call")
        if stream.cutting:
            raise InvalidInput("stream_id", f"{stream_id} is being cut")
        limit = self.settings.limits.max_streams_per_client
        watched = self.registry.watched_by(client)
        if watched >= limit:
            raise LimitExceeded("streams of this client", limit, watched + 1, "streams")
        return stream

    def _checked_url(self, url: str) -> str:
        scheme = url.partition("://")[0].lower()
        if "://" not in url or scheme not in self.settings.limits.pull_schemes:
            allowed = ", ".join(self.settings.limits.pull_schemes)
            raise InvalidInput("url", f"the scheme must be one of {allowed}")
        if len(url) > 2048:
            raise LimitExceeded("url", 2048, len(url), "characters")
        return url

    def _open(self, stream: LiveStream, client: str, *, answers: bool = True) -> None:
        self.pool.assign(stream.id)
        stream.client = client
        stream.answers = Answers(self.settings.limits.max_answers) if answers else None
        stream.told_opened = stream.detached = False
        self._open_in_worker(stream, alert=False)

    def _open_in_worker(self, stream: LiveStream, *, alert: bool) -> None:
        policy_json = self.policy.model_dump_json()
        stream.opening += 1
        if stream.url is not None:
            command = worker_pb2.ToWorker(
                open_pull=worker_pb2.OpenPull(
                    stream_id=stream.id,
                    url=stream.url,
                    policy_json=policy_json,
                    alert=alert,
                    opening=stream.opening,
                )
            )
        else:
            command = worker_pb2.ToWorker(
                open_push=worker_pb2.OpenPush(
                    stream_id=stream.id,
                    codec=stream.codec,
                    extradata=stream.extradata,
                    policy_json=policy_json,
                    alert=alert,
                    opening=stream.opening,
                )
            )
        self.pool.send(stream.id, command)
        stream.owned = True
        if stream.phase is Phase.ADMITTED:
            stream.phase = Phase.WATCHED

    def _close_in_worker(self, stream: LiveStream, *, drain: bool) -> None:
        if not stream.owned:
            return
        with contextlib.suppress(WorkerLost):
            self.pool.send(
                stream.id,
                worker_pb2.ToWorker(close=worker_pb2.Close(stream_id=stream.id, drain=drain)),
            )

    # ends

    async def publish_ended(self, server: str, connection: str, app: str, name: str) -> None:
        """The ingest server's own hook says that the publisher is gone."""
        stream = self.registry.by_connection(server, connection)
        if stream is None:
            log.info("an unknown publish ended", server=server, connection=connection)
            return
        if stream.cutting:
            self._cutter.confirm(stream.id, "hook")
        else:
            self._forget(stream, "closed")

    def confirm_cut(self, stream_id: str, closed_wall_ms: int) -> float:
        """The caller says that the connection is gone; milliseconds since the verdict, or -1."""
        stream = self.registry.get(stream_id)
        if not stream.cutting or stream.verdict_monotonic_ms is None:
            return -1.0
        self._cutter.confirm(stream.id, "confirm_cut")
        now_wall = self.clock.wall_ms()
        ago = now_wall - min(max(closed_wall_ms, stream.started_ms), now_wall) if closed_wall_ms else 0
        return max(0.0, self.clock.monotonic_ms() - ago - stream.verdict_monotonic_ms)

    def _cut_done(self, stream: LiveStream) -> None:
        self._forget(stream, "cut")

    def _forget(self, stream: LiveStream, reason: str) -> None:
        self._close_in_worker(stream, drain=False)
        self.pool.release(stream.id)
        stream.owned = False
        if stream.answers is not None:
            stream.answers.close(
                None if reason in {"cut", "closed"} else WorkerLost(f"the stream is {reason}")
            )
        self.registry.remove(stream)
        self.metrics.streams.set(len(self.registry))
        log.info("stream is over", stream_id=stream.id, reason=reason)

    def _idle(self, stream: LiveStream) -> None:
        stream.idle_since_ms = self.clock.monotonic_ms()
        if stream.cutting:
            return  # its worker keeps the media until evidence is written
        stream.owned = False
        self.pool.release(stream.id)
        if stream.phase is Phase.WATCHED:
            stream.phase = Phase.ADMITTED

    async def _sweep(self) -> None:
        """Forget admitted streams that nobody watches; bring the journal home when the ledger is back."""
        for number in itertools.count(1):
            await asyncio.sleep(_SWEEP_S)
            if number % _EXPIRE_SWEEPS == 0:
                self.view.expire(self.clock.wall_ms())
            self._measure()
            limit = self.settings.limits.unwatched_ms
            now = self.clock.monotonic_ms()
            for stream in self.registry:
                if stream.answers is not None or now - stream.idle_since_ms <= limit:
                    continue
                if stream.phase is Phase.ADMITTED:
                    pulled = stream.url is not None and not stream.detached
                    if not pulled or now - stream.idle_since_ms > _PULLED_FACTOR * limit:
                        self._forget(stream, "unwatched")
                elif stream.cutting and not self.wants_pull(stream.publish.server):
                    self._enforcement.abandon(stream)
            try:
                probe = self.ledger.probe if self.thread.down else self.ledger.reconcile
                for block in await self.thread.call(probe):
                    self.view.add(block)
            except GateError as error:
                log.warning("the journal waits for the ledger", error=str(error))

    def _measure(self) -> None:
        for load in self.pool.loads():
            worker = str(load.index)
            self.metrics.worker_busy.labels(worker).set(load.busy_share)
            self.metrics.worker_streams.labels(worker).set(load.streams)
            self.metrics.worker_resident.labels(worker).set(load.resident_bytes)
        self.metrics.decoded.set(self.pool.decoded)
        self.metrics.judged.set(self.pool.judged)

    async def _ask_caller(self, stream_id: str) -> bool:
        """Whether a CUT can reach the caller; the answer itself was queued before."""
        stream = self.registry.find(stream_id)
        return stream is not None and stream.answers is not None and not stream.answers.closed

    # events of workers

    def on_worker_event(self, event: worker_pb2.FromWorker) -> None:
        match event.WhichOneof("event"):
            case "judged":
                self._judged(event.judged)
            case "tier_changed":
                self._tier_changed(event.tier_changed)
            case "notice":
                self._noticed(event.notice)
            case "closed":
                self._closed(event.closed)
            case "evidence_saved":
                self._enforcement.evidence_saved(event.evidence_saved)
            case "source_opened":
                log.info("watching", stream_id=event.source_opened.stream_id, codec=event.source_opened.codec)

    def _judged(self, judged: worker_pb2.Judged) -> None:
        stream = self.registry.find(judged.stream_id)
        if stream is None or stream.cutting or self._stopped:
            return
        verdict = convert.verdict_from_proto(judged.verdict, judged.cleared_pts_ms)
        stream.samples += 1
        stream.pulls = 0
        stream.score = judged.score
        stream.tier = convert.tier_from_proto(judged.tier)
        stream.cleared_pts_ms = max(stream.cleared_pts_ms, judged.cleared_pts_ms)
        self.metrics.latency.observe(verdict.latency_ms)
        self.metrics.verdicts.labels(
            verdict.action.value, "shadow" if verdict.shadow else verdict.reason
        ).inc()
        if verdict.action is Action.PASS or verdict.shadow:
            stream.action = Action.PASS
            if stream.answers is not None:
                stream.answers.put(
                    gate_pb2.WatchResponse(cleared_pts_ms=stream.cleared_pts_ms, verdict=judged.verdict)
                )
        if verdict.action is Action.PASS:
            return
        if verdict.reason == SignalSource.MATCH.value:
            self._run_later(self._known_footage.matched(stream.id, verdict.signals))
        if verdict.action is Action.FLAG or verdict.shadow:
            self._enforcement.flag(stream, verdict)
        else:
            self._enforcement.cut(stream, verdict, judged.judged_ms, self.policy)

    def _tier_changed(self, event: worker_pb2.TierChanged) -> None:
        stream = self.registry.find(event.stream_id)
        if stream is None:
            return
        stream.tier = convert.tier_from_proto(event.tier.tier)
        if stream.answers is not None:
            answer = gate_pb2.WatchResponse(cleared_pts_ms=stream.cleared_pts_ms)
            if not stream.told_opened:
                stream.told_opened = True
                answer.opened.tier.CopyFrom(event.tier)
            else:
                answer.tier.CopyFrom(event.tier)
            stream.answers.put(answer)

    def _noticed(self, event: worker_pb2.Notice) -> None:
        self.metrics.not_judged.labels(event.degraded.reason).inc(event.degraded.count)
        stream = self.registry.find(event.stream_id)
        if stream is not None:
            stream.shed += event.degraded.count
            self._degraded(stream, event.degraded)
            if event.degraded.reason == "blind" and not stream.cutting:
                self._blind(stream)

    def _blind(self, stream: LiveStream) -> None:
        """The stream's blind time is past its limit: what the policy says."""
        action = self.policy.failure.on_blind
        shadow = self.policy.mode is Mode.SHADOW
        if action is Action.CUT and not shadow:
            self._enforcement.cut_without_strike(stream, "blind", 0)
        elif action is not Action.PASS:
            verdict = Verdict(action, -1, stream.cleared_pts_ms, reason="blind", shadow=shadow)
            self._enforcement.flag(stream, verdict)

    def _degraded(self, stream: LiveStream, degraded: gate_pb2.Degraded) -> None:
        if stream.answers is not None:
            stream.answers.put(
                gate_pb2.WatchResponse(cleared_pts_ms=stream.cleared_pts_ms, degraded=degraded)
            )

    def _closed(self, event: worker_pb2.Closed) -> None:
        self.metrics.streams_closed.labels(event.reason).inc()
        stream = self.registry.find(event.stream_id)
        if stream is None or not stream.owned or event.opening != stream.opening:
            return
        url, answers = stream.url, stream.answers
        self._idle(stream)
        if stream.cutting:
            return
        clean = event.reason in {"end", "detached", "cut"}
        if not clean:
            log.warning("watching failed", stream_id=stream.id, reason=event.reason, detail=event.detail)
            self._failure_mode(stream, event.reason, event.detail)
            if stream.cutting:
                return
        if url is not None and answers is None and not stream.detached and (clean or event.retryable):
            self._run_later(self._pull_again(stream))
        elif answers is not None:
            if clean:
                answers.close()
            elif event.retryable:
                answers.close(SourceStalled(f"{event.reason}: {event.detail}"))
            else:
                answers.close(_failure(event.reason, event.detail))

    def _failure_mode(self, stream: LiveStream, reason: str, detail: str) -> None:
        mode = self.policy.failure.on_gate_degraded
        self.metrics.failure_mode.labels("on_gate_degraded", mode.value).inc()
        self._degraded(stream, gate_pb2.Degraded(reason=reason, count=1, detail=detail))
        if mode is FailureMode.DENY and self.policy.mode is Mode.ENFORCE:
            self._enforcement.cut_without_strike(stream, "degraded", 0)

    async def _pull_again(self, stream: LiveStream) -> None:
        """A hooked pull ended though the publisher did not say so: look again until it does."""
        stream.pulls += 1
        if stream.pulls == _PULLS_TO_ALARM:
            log.critical("a live stream cannot be pulled", stream_id=stream.id, pulls=stream.pulls)
            self._failure_mode(stream, "pull_failed", f"{stream.pulls} pulls in a row gave no verdict")
        pause_ms = min(_PULL_RETRY_MS * 2 ** min(stream.pulls, 10), _PULL_PAUSE_MS)
        while self.registry.find(stream.id) is stream and stream.phase is Phase.ADMITTED:
            await asyncio.sleep(pause_ms / 1000)
            if stream.phase is not Phase.ADMITTED or self.registry.find(stream.id) is not stream:
                return
            try:
                self._open(stream, client="", answers=False)
                return
            except (CapacityExceeded, WorkerLost) as error:
                log.warning("pull waits for a worker", stream_id=stream.id, error=str(error))

    def on_streams_lost(self, stream_ids: tuple[str, ...], quarantined: str | None) -> None:
        self.metrics.worker_restarts.inc()
        for stream_id in stream_ids:
            stream = self.registry.find(stream_id)
            if stream is None or not stream.owned or stream.cutting:
                continue
            if stream_id == quarantined:
                detail = "its media has ended a worker twice"
                verdict = Verdict(Action.FLAG, -1, stream.cleared_pts_ms, reason="quarantined")
                self._enforcement.flag(stream, verdict)
                answers = stream.answers
                self._idle(stream)
                self._failure_mode(stream, "quarantined", detail)
                if answers is not None and not stream.cutting:
                    answers.close(BrokenMedia(f"quarantined: {detail}"))
                continue
            try:
                self.pool.assign(stream.id)
                self._open_in_worker(stream, alert=True)
                for media in stream.gop.units():
                    self.pool.send(stream.id, worker_pb2.ToWorker(media=media))
            except (CapacityExceeded, WorkerLost) as error:
                self._idle(stream)
                self._failure_mode(stream, "worker_lost", str(error))
                if stream.answers is not None:
                    stream.answers.close(error)
            else:
                self._degraded(stream, gate_pb2.Degraded(reason="worker_lost", count=1))

    # operators

    async def set_policy(self, policy: Policy, by: str, reason: str, expected_version: int) -> Policy:
        """Store a new version and apply it to the running streams."""
        stored = await self.thread.call(
            self.ledger.policy_put, policy, by, reason, self.clock.wall_ms(), expected_version or None
        )
        self.policy = stored
        text = stored.model_dump_json()
        for stream in self.registry:
            if stream.owned:
                with contextlib.suppress(WorkerLost):
                    self.pool.send(
                        stream.id,
                        worker_pb2.ToWorker(
                            set_policy=worker_pb2.SetPolicy(stream_id=stream.id, policy_json=text)
                        ),
                    )
        return stored

    async def add_block(
        self, kind: SubjectKind, subject: str, app: str, duration_ms: int, reason: str, by: str
    ) -> Block:
        """A block by hand; running streams of the subject are cut."""
        block = await self.thread.call(
            self.ledger.add_block, kind, subject, app, duration_ms or None, reason, by, self.clock.wall_ms()
        )
        self.view.add(block)
        self._enforcement.blocks_apply()
        return block

    async def lift_block(self, block_id: str, reason: str, by: str) -> Block:
        block = await self.thread.call(self.ledger.lift_block, block_id, reason, by, self.clock.wall_ms())
        self.view.remove(block_id)
        return block

    async def review(self, incident_id: str, decision: IncidentState, reason: str, by: str) -> Incident:
        """A person's decision; overturning lifts what rested on the incident."""
        incident, lifted = await self.thread.call(
            self.ledger.review, incident_id, decision, reason, by, self.clock.wall_ms()
        )
        for block in lifted:
            self.view.remove(block.id)
        if decision is IncidentState.CONFIRMED:
            self._run_later(self._known_footage.confirmed(incident))
        elif decision is IncidentState.OVERTURNED:
            self._run_later(self._known_footage.overturned(incident))
        return incident

    def _run_later(self, work: Coroutine[Any, Any, object]) -> None:
        task: asyncio.Task[object] = asyncio.create_task(work)
        self._later.add(task)
        task.add_done_callback(self._later.discard)


def _failure(reason: str, detail: str) -> GateError:
    """A worker's reason as the error that the API maps to a status."""
    text = f"{reason}: {detail}"
    if reason in {"invalid_input", "limit_exceeded", "unsupported_codec"}:
        field, _, problem = detail.partition(": ")
        return InvalidInput(field, problem)
    return BrokenMedia(text)
