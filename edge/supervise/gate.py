"""The gate: assembles its parts, starts them, answers hooks and servicers, and stops its parts."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping

from edge import confusables
from edge.background import BackgroundTasks, task_health
from edge.clock import Clock
from edge.config import Settings
from edge.contract.gen import worker_pb2
from edge.domain import Block, Publish, StreamId
from edge.errors import CapacityExceeded
from edge.evidence import INCOMING
from edge.evidence.bucket_store import BucketStore
from edge.evidence.contained_thumbnails import ThumbnailProcess
from edge.fleet.gate_link import GateLink
from edge.fleet_banks.process import ProcessSettings
from edge.ledger import AdmissionView, DurableLedger
from edge.match import RecentFootage
from edge.policy import MAX_REOPEN_MS, Policy
from edge.pullers.limits import PullLimits
from edge.pullers.pullers import Pullers, PullSettings
from edge.reasons import EndReason
from edge.servers.connector import Connector
from edge.servers.gatekeeper import Admission
from edge.servers.grpc_caller import CallerConnector
from edge.stream import FrameSizeLimit
from edge.supervise.actions import OperatorActions
from edge.supervise.admission import Admitter
from edge.supervise.alarms import Alarms
from edge.supervise.authority import NOBODY, Authority, Caller, admission_key
from edge.supervise.bank_desk import BankDesk
from edge.supervise.bank_updates import BankUpdates
from edge.supervise.banks_in_service import BanksInService
from edge.supervise.containment_report import ContainmentReport
from edge.supervise.context import Context
from edge.supervise.counted_matches import CountedMatches
from edge.supervise.crisis_desk import CrisisDesk
from edge.supervise.crisis_footage import CrisisFootage
from edge.supervise.cutter import Cutter
from edge.supervise.drain import Drain
from edge.supervise.enforcer import Enforcer
from edge.supervise.entry_guards import EntryGuards
from edge.supervise.evidence_keeper import EvidenceKeeper
from edge.supervise.evidence_mirror import EvidenceMirror
from edge.supervise.evidence_reading import EvidenceReading
from edge.supervise.exchanges import Exchanges
from edge.supervise.failure_policy import FailureResponse
from edge.supervise.fleet_banks import COMMON, FleetBanks
from edge.supervise.fleet_news import FleetNews
from edge.supervise.incident_feed import IncidentFeed
from edge.supervise.journal_care import JournalCare
from edge.supervise.kept_media import KeptMedia
from edge.supervise.ledger_executor import LedgerExecutor
from edge.supervise.live_media import LiveMedia
from edge.supervise.live_stream import LiveStream
from edge.supervise.model_swap import ModelSwap
from edge.supervise.policy_in_force import PolicyInForce
from edge.supervise.registry import Registry
from edge.supervise.retro_match import RetroMatch
from edge.supervise.review_queue import ReviewQueue
from edge.supervise.reviews import ReviewActions
from edge.supervise.shared_banks import SharedBanks
from edge.supervise.stream_feed import StreamFeed
from edge.supervise.stream_journal import StreamJournal
from edge.supervise.stream_router import StreamRouter
from edge.supervise.thumbnails import Thumbnails
from edge.supervise.upkeep import Upkeep
from edge.supervise.usage_counter import UsageCounter
from edge.supervise.worker_events import WorkerEventHandler
from edge.supervise.worker_folders import WorkerFolders
from edge.telemetry.records import (
    EndUnknown,
    ServerNoticed,
    StreamsRestored,
    StreamsUnwatched,
    TaskFailed,
    TurnedAway,
)
from edge.telemetry.telemetry import Telemetry
from edge.turns import in_turns
from edge.workers.pool import WorkerPool
from edge.workers.settings import WorkerSettings

RECENT_FOOTAGE = "recent-footage.bin"
"""File in the data directory: what streams of the last day showed."""
_SETTLE_S = 3.0
_PEOPLE_MS = 5_000
"""How long an operator's change waits for another writer of the ledger."""


class Gate:
    """Connects the servicers and hooks on one side with the workers and the ledger on the other.

    Lives in one event loop, and every method is called from it. Hooks use it as their ``Gatekeeper``.
    Servicers also use ``router``, ``actions``, ``reviews``, ``queue``, ``evidence``, ``incident_feed``,
    ``stream_feed``, ``live_media``, ``thumbnails``, ``model_swap``, ``crises`` and ``crisis_footage``.
    ``upkeep`` is its periodic work.
    """

    def __init__(
        self,
        settings: Settings,
        worker_settings: WorkerSettings,
        ledger: DurableLedger,
        policy: Policy,
        connectors: Mapping[str, Connector],
        telemetry: Telemetry,
        clock: Clock,
        pool: WorkerPool | None = None,
        pullers: Pullers | None = None,
    ) -> None:
        """``pool`` and ``pullers`` None start processes."""
        self.clock = clock
        self.ledger = ledger
        self.telemetry = telemetry
        self.executor = LedgerExecutor(telemetry, lambda: ledger.away)
        self._stream_journal = StreamJournal(settings.data_dir / "streams.jsonl", frozenset(connectors))
        self._usage = UsageCounter(clock)
        self.registry = Registry(settings.limits, self._stream_journal, self._usage, clock)
        self.pool = pool or WorkerPool(settings.workers, worker_settings, clock)
        self._pullers = pullers or Pullers(_pull_settings(settings), clock)
        self._context = context = Context(
            settings,
            telemetry,
            clock,
            ledger,
            ledger.patient(_PEOPLE_MS),
            self.executor,
            AdmissionView(),
            self.registry,
            self.pool,
            self._pullers,
            ContainmentReport(telemetry),
            PolicyInForce(policy),
            Authority(admission_key(settings.data_dir / "admission.key"), settings.grpc.without_secret),
        )
        self._pulled_servers = frozenset(connectors)
        self._cutter = Cutter()
        self._tasks = tasks = BackgroundTasks()
        self._enforcer = Enforcer(
            self.registry,
            ledger,
            self.executor,
            context.view,
            self._cutter,
            connectors,
            CallerConnector(self._ask_caller),
            self.pool,
            settings.evidence_folder,
            settings.limits,
            telemetry,
            clock,
            self._show_media,
            self._cut_done,
        )
        self.alarms = Alarms(telemetry)
        self._banks = BanksInService(
            settings,
            self.alarms,
            telemetry,
            clock,
            self._banks_changed,
        )
        self._fleet_banks = FleetBanks(
            ProcessSettings(
                str(settings.ledger),
                ledger.gate,
                str(settings.banks),
                str(settings.data_dir / COMMON),
                settings.log_level,
            ),
            self.alarms,
            telemetry,
            self._banks.ask,
        )
        self._recent = RecentFootage.load(settings.data_dir / RECENT_FOOTAGE)
        counted = CountedMatches(telemetry.report)
        self.retro_match = RetroMatch(
            context,
            self._enforcer,
            self._recent,
            settings.bank_copies,
            counted,
            EntryGuards(settings.bank_copies, self._recent),
            lambda: self.banks.hits(),
            self._reload_banks,
        )
        bank_updates = BankUpdates(
            settings.banks,
            settings.data_dir / RECENT_FOOTAGE,
            telemetry,
            clock,
            self._bank_changed,
            self._recent.save,
            self.alarms,
            self.retro_match,
        )
        self._exchanges = Exchanges(settings.banks, context, self.alarms, self._bank_changed, tasks)
        self.banks = BankDesk(context, bank_updates, settings.banks, settings.bank_copies, counted)
        self.shared_banks = SharedBanks(context, self.alarms)
        failure_response = FailureResponse(context, self._enforcer)
        self.router = StreamRouter(context, failure_response, tasks, self._enforcer.cut_heard)
        self._drain = Drain(context, self.router.take_no_more)
        self.actions = OperatorActions(context, self._enforcer, tasks)
        self.crises = CrisisDesk(context, self.actions, bank_updates, tasks)
        self.crisis_footage = CrisisFootage(context, self.crises, bank_updates)
        self.model_swap = ModelSwap(context, self.alarms)
        bucket = BucketStore(settings.evidence) if settings.evidence.url else None
        changing = asyncio.Lock()
        grpc = settings.grpc
        self.link = GateLink(
            settings.fleet,
            ledger.gate,
            clock,
            None if grpc.tls_cert is None or grpc.tls_key is None else (grpc.tls_cert, grpc.tls_key),
            in_clear=grpc.insecure,
        )
        self.evidence = EvidenceReading(context, settings.evidence_folder, bucket, changing, self.link)
        self.evidence_keeper = EvidenceKeeper(
            context, settings.evidence_folder, self.evidence.stores, changing, self.alarms
        )
        self._mirror = None
        if bucket is not None:
            local_ms = settings.evidence.local_hours * 3_600_000
            self._mirror = EvidenceMirror(
                settings.evidence_folder,
                bucket,
                changing,
                self.alarms,
                clock,
                local_ms,
                self.evidence_keeper.erased,
            )
        self.queue = ReviewQueue(context)
        self.reviews = ReviewActions(context, self.actions, bank_updates, self.evidence, self.queue)
        self.incident_feed = IncidentFeed(context, tasks)
        self.stream_feed = StreamFeed(self.registry, clock, tasks)
        self.live_media = LiveMedia(context)
        largest = FrameSizeLimit(
            settings.limits.max_picture_long_edge, settings.limits.max_picture_short_edge
        )
        self.thumbnails = Thumbnails(context, tasks, ThumbnailProcess(settings.containment, largest))
        self._admitter = Admitter(
            context,
            self._usage,
            self.router.ends.forget,
            self._enforcer.orphans.refused_again,
            self.wants_pull,
        )
        self._worker_events = WorkerEventHandler(
            context,
            self.router,
            self._enforcer,
            failure_response,
            bank_updates,
            self._banks,
            self.model_swap,
            tasks,
            self._recent,
            counted,
        )
        self._journal_care = JournalCare(ledger, self.executor, self._stream_journal, self.alarms, telemetry)
        self._folders = WorkerFolders(
            {settings.bank_copies: self._banks.copy_again, settings.models: self.model_swap.look_after},
            settings.evidence_folder / INCOMING,
            settings.limits.evidence_incoming_mb << 20,
            self.pool,
            self.alarms,
            clock,
        )
        self.upkeep = Upkeep(
            context,
            self.router,
            self._enforcer,
            self._banks,
            self.model_swap,
            self._journal_care,
            self._usage,
            self._recent,
            self.reviews.settle_unreviewed,
            self.wants_pull,
        )
        self._fleet = FleetNews(context, self._blocks_changed, self.actions.apply_policy, self.crises.take)
        self._task_health = task_health()
        self._task_health.listen(lambda name: telemetry.report(TaskFailed(name)))

    @property
    def settings(self) -> Settings:
        return self._context.settings

    @property
    def policy(self) -> Policy:
        """The policy in force."""
        return self._context.policy

    def take_settings(self, settings: Settings) -> None:
        """Puts settings in force that differ in what may change while the gate runs (``edge.reloading``)."""
        self._context.settings = settings
        self.registry.set_limits(settings.limits)
        self._pullers.set_settings(_pull_settings(settings))

    async def start(self) -> None:
        """Loads the blocks, starts the workers and resumes unproven cuts. Returns when the gate is ready."""
        context = self._context
        now = self.clock.wall_ms()
        known = await self.executor.call(self.ledger.revision)
        await self.retro_match.start(self._tasks)
        await self._banks.start(self._tasks)
        await asyncio.to_thread(self._folders.note)
        await asyncio.gather(
            self.executor.call(lambda: self.ledger.load_blocks(context.view, now)),
            self.pool.start(self._worker_events),
            self._prepare_pullers(),
            asyncio.to_thread(confusables.load_tables),
        )
        for incident in await self.executor.call(self.ledger.pending_cuts):
            self._enforcer.orphans.resume(incident)
        await self.crises.start()
        await asyncio.to_thread(self.crisis_footage.clean)
        await self._restore()
        await self._journal_care.look()
        self._enforcer.ongoing.restore(await self.executor.call(self.ledger.going_on, now - MAX_REOPEN_MS))
        self.upkeep.start(self._tasks)
        self._tasks.keep(self._folders.watch, needed=False)
        self._tasks.keep(self._exchanges.watch, needed=False)
        self._tasks.keep(self.reviews.work.run, needed=False)
        self._tasks.keep(self.crises.run)
        self._tasks.keep(self.evidence_keeper.watch, needed=False)
        if self._mirror is not None:
            self._tasks.keep(self._mirror.watch, needed=False)
        self._fleet.start(known)
        if self.settings.share.listen is not None:
            self._tasks.keep(self.shared_banks.run, needed=False)
        if self.ledger.shared:
            self._tasks.keep(self._fleet_banks.run, needed=False)

    def _bank_changed(self) -> None:
        """Takes in a change of the gate's own, and tells the fleet."""
        self._banks.ask()
        self._fleet_banks.ask()

    def announce(self, listening: str) -> None:
        """Tells the fleet where this gate is reached. ``listening``: the address that gRPC listens on."""
        self._fleet.announce(listening, self._tasks)

    async def _prepare_pullers(self) -> None:
        if self._pulled_servers:
            await self._pullers.prepare()

    async def _restore(self) -> None:
        """Restores the streams that an earlier gate admitted, and cuts those that were blocked meanwhile."""
        unwatched, why = 0, ""
        async for kept in in_turns(await asyncio.to_thread(self._stream_journal.load)):
            stream = LiveStream(kept.id, kept.publish, kept.started_ms, self.clock.monotonic_ms())
            stream.pushed = not self.wants_pull(kept.publish.server)
            try:
                self.registry.add_stream(stream)
            except CapacityExceeded as error:
                unwatched, why = unwatched + 1, str(error)
        if unwatched:
            self.telemetry.report(StreamsUnwatched(unwatched, why))
        self._context.telemetry.report(StreamsRestored(len(self.registry)))
        await self._enforcer.every_block_applies()

    def _banks_changed(self) -> None:
        """The verified copies of the banks may be others now."""
        self._reload_banks()
        self.retro_match.banks_changed()

    def _reload_banks(self) -> None:
        self.pool.broadcast(worker_pb2.ToWorker(reload_banks=worker_pb2.ReloadBanks()))

    def _blocks_changed(self, blocks: tuple[Block, ...]) -> None:
        """Applies blocks that a gate of the fleet, perhaps this one, has made or lifted."""
        for block in blocks:
            self._context.view.add_block(block)
        self._enforcer.blocks_apply(blocks)

    async def stop(self) -> None:
        """Stops the gate: admits nothing more, judges what has come, enforces what is decided, ends every
        call, stops the workers."""
        await self._drain.judge_rest()
        self.incident_feed.close()
        self.stream_feed.close()
        self.live_media.close()
        await self.thumbnails.stop()
        await self._fleet.stop()
        await self._enforcer.settle(_SETTLE_S)
        self._context.stopped = True
        await self._enforcer.settle(_SETTLE_S)
        for stream in self.registry:
            if stream.responses is not None:
                stream.responses.close(CapacityExceeded("the gate is stopping"))
        self._tasks.cancel()
        self.retro_match.stop()
        await self._cutter.close()
        await self.link.close()
        await self._pullers.stop()
        await self.pool.stop()
        await self.upkeep.write_rest()
        self._stream_journal.close()
        self.executor.close()
        self._context.telemetry.flush()

    # Called by hooks and servicers.

    async def admit(self, publish: Publish, caller: Caller = NOBODY) -> Admission:
        """Answers from memory alone. A repeated publish on one connection gets the same answer."""
        return self._admitter.admit(publish, caller)

    def admission_secret(self, stream_id: StreamId) -> str:
        """What the caller that had a stream admitted proves itself with."""
        return self._context.authority.secret_of(stream_id)

    def turned_away(self, publish: Publish, reason: str, detail: str = "") -> None:
        """Reports a publish that a hook has refused by itself."""
        self._context.telemetry.report(TurnedAway(publish, reason, detail))

    def noticed(self, notice: ServerNoticed) -> None:
        """Reports what a hook has noticed about an ingest server."""
        self._context.telemetry.report(notice)

    def wants_pull(self, server: str) -> bool:
        """Whether the gate itself pulls the streams of this kind of server."""
        return server in self._pulled_servers

    async def attach(self, stream_id: StreamId, url: str) -> None:
        """Pulls a stream for a hook. Only enforcement reads the verdicts."""
        self.router.attach(stream_id, url)

    async def pull_anew(self, stream_id: StreamId) -> bool:
        """Replaces the connection of a pulled stream by a new one. Returns whether there was one."""
        return self.router.pull_anew(stream_id)

    async def is_watched(self, stream_id: StreamId) -> bool:
        """Whether a frame of the stream has been judged."""
        stream = self.registry.find(stream_id)
        return stream is not None and stream.samples > 0

    async def still_admitted(self, stream_id: StreamId) -> bool:
        """Whether the stream is neither cut nor over. A hook asks this before it lets the stream start."""
        stream = self.registry.find(stream_id)
        return stream is not None and not stream.cutting

    async def publish_ended(self, server: str, connection: str, app: str, name: str) -> None:
        """Handles the ingest server's own hook: the publisher is gone."""
        stream = self.registry.by_connection(server, connection)
        if stream is None:
            if not self._enforcer.orphans.closed(server, connection):
                self.telemetry.report(EndUnknown(server))
            return
        if stream.cutting:
            self.router.cut_publisher_gone(stream)
            self._cutter.confirm(stream.id, "hook")
        else:
            self.router.ends.publisher_gone(stream)

    def confirm_cut(self, stream_id: str, closed_wall_ms: int, caller: Caller) -> float:
        """Handles the caller's word that the connection is gone. Returns milliseconds since the verdict, or
        -1. Raises NotFound to whoever had it not admitted."""
        admitted_by = self._enforcer.orphans.admitted_by(stream_id)
        if admitted_by is not None and self._context.authority.allows(stream_id, admitted_by, caller):
            incident = self._enforcer.orphans.confirm(stream_id, "confirm_cut")
            if incident is not None:
                closed_ms = min(closed_wall_ms or self.clock.wall_ms(), self.clock.wall_ms())
                return float(max(0, closed_ms - incident.created_ms))
        stream = self.router.of_caller(stream_id, caller)
        if stream.waiting_cut is not None:
            self.router.ends.forget(stream, EndReason.PUBLISHER_GONE)
            return -1.0
        if not stream.cutting or stream.verdict_monotonic_ms is None:
            return -1.0
        self._cutter.confirm(stream.id, "confirm_cut")
        now_wall = self.clock.wall_ms()
        ago = now_wall - min(max(closed_wall_ms, stream.started_ms), now_wall) if closed_wall_ms else 0
        return max(0.0, self.clock.monotonic_ms() - ago - stream.verdict_monotonic_ms)

    async def _show_media(self, stream: LiveStream, kept: KeptMedia | None) -> None:
        await self.router.channel.send_evidence_media(stream, kept)

    def _cut_done(self, stream: LiveStream) -> None:
        self.router.ends.forget(stream, EndReason.CUT)

    async def _ask_caller(self, stream_id: str) -> bool:
        """Whether a CUT can reach the caller. The answer itself is in the queue already."""
        stream = self.registry.find(stream_id)
        return stream is not None and stream.responses is not None and not stream.responses.closed

    def health(self) -> Iterator[str]:
        """Yields what is not as it should be, a line each."""
        yield from (f"alarm: {line}" for line in self.alarms.lines())
        yield from self._context.containment.lines()
        yield from self._task_health.lines()
        if self._fleet.down:
            yield "task: FleetFeed is down, it is begun again"
        up, wanted = self.pool.places
        if up < wanted:
            yield f"workers: {up} of {wanted} are up"

    def unready(self) -> Iterator[str]:
        """Yields why nothing more should be sent to this gate, a line each. Nothing where it is ready."""
        if self._context.draining:
            yield "the gate is stopping"
        for name in self._task_health.needed_down():
            yield f"task: {name} is down"
        if self._fleet.down:
            yield "task: FleetFeed is down"
        if not self.pool.places[0]:
            yield "workers: none is up"


def _pull_settings(settings: Settings) -> PullSettings:
    limits = settings.limits
    pull = PullLimits(limits.pull_open_ms, limits.pull_stall_ms, limits.max_access_unit_bytes)
    return PullSettings(settings.pull_sources, pull, containment=settings.containment)
