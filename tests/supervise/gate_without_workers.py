"""A real gate with a double of its workers. It records their commands, and the test scripts their events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from edge.clock import Clock, SystemClock
from edge.config import Settings
from edge.contract.gen import gate_pb2, worker_pb2
from edge.domain import Action, Publish, StreamId, SubjectKind
from edge.errors import GateError
from edge.ledger.double import FailingLedger
from edge.policy import Mode, Policy
from edge.pullers.double import RecordingPullers
from edge.pullers.pullers import PullSettings
from edge.servers.connector import CutAttempt, CutTarget
from edge.supervise.authority import Caller
from edge.supervise.gate import Gate
from edge.telemetry.recording import RecordingBackend
from edge.telemetry.telemetry import Telemetry
from edge.workers.double import RecordingPool
from tests.workers.worker_settings import worker_settings

SERVER = "pulled"
PATIENCE_S = 90.0


class Server:
    """An ingest server that keeps its publishers until they are ``gone``."""

    kind = SERVER

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.gone = False

    async def cut_publisher(self, target: CutTarget) -> CutAttempt:
        self.asked.append(target.stream_id)
        return CutAttempt(True, None)

    async def is_live(self, target: CutTarget) -> bool | None:
        return not self.gone


class Bench:
    def __init__(
        self,
        gate: Gate,
        workers: RecordingPool,
        server: Server,
        recorded: RecordingBackend,
        ledger: FailingLedger,
        pullers: RecordingPullers,
    ) -> None:
        self.gate = gate
        self.pullers = pullers
        self.recorded = recorded
        self.workers = workers
        self.server = server
        self.ledger = ledger

    async def admit(self, connection: str, name: str, broadcaster: str = "anna") -> Any:
        return await self.gate.admit(Publish(SERVER, connection, "live", name, broadcaster))

    def caller(self, stream_id: str | None) -> Caller:
        """A peer that can prove that it had the stream admitted."""
        return Caller("peer", "peer:1", self.gate.admission_secret(StreamId(stream_id or "")))

    async def watched(self, connection: str = "7", name: str = "show", broadcaster: str = "anna") -> StreamId:
        """Admits a stream that the gate pulls. A worker has it open."""
        stream_id: StreamId = (await self.admit(connection, name, broadcaster)).stream_id
        await self.gate.attach(stream_id, f"rtmp://127.0.0.1/live/{name}")
        await self.until(lambda: self.workers.sent_to(stream_id))
        return stream_id

    async def block(self, broadcaster: str) -> None:
        """An operator blocks the broadcaster for a minute."""
        await self.gate.actions.add_block(SubjectKind.BROADCASTER, broadcaster, "", 60_000, "test", "test")

    def judged(self, stream_id: str, action: Action = Action.CUT, *signals: gate_pb2.Signal) -> None:
        verdict = gate_pb2.Verdict(
            action=gate_pb2.Action.Value(f"ACTION_{action.name}"),
            category="fight",
            reason="detector",
            score=0.99,
            signals=signals,
        )
        judged = worker_pb2.Judged(stream_id=stream_id, verdict=verdict)
        self.gate._worker_events.on_worker_event(worker_pb2.FromWorker(judged=judged))

    def closed(self, stream_id: str, reason: str, *, retryable: bool) -> None:
        stream = self.gate.registry.get(stream_id)
        closed = worker_pb2.Closed(
            stream_id=stream_id, reason=reason, retryable=retryable, opening=stream.opening
        )
        self.gate._worker_events.on_worker_event(worker_pb2.FromWorker(closed=closed))

    async def pull_ends(self, stream_id: str, error: GateError | None) -> None:
        """The source ends. Its worker judges the rest and closes the stream, if it had it open."""
        told = len(self.workers.sent_to(stream_id))
        [*_, pull] = self.pullers.pulls_of(stream_id)
        pull.ends(error)
        if self.workers.sent_to(stream_id)[-1:] == ["open_push"]:
            await self.until(lambda: self.workers.sent_to(stream_id)[told:] == ["close"])
            self.closed(stream_id, "end", retryable=False)
        else:
            await self.until(lambda: pull.stopped)

    async def until(self, happened: Callable[[], object]) -> None:
        for _ in range(int(PATIENCE_S / 0.01)):
            if happened():
                return
            await asyncio.sleep(0.01)
        raise AssertionError("it has not happened")


@asynccontextmanager
async def gate_without_workers(
    folder: Path,
    policy: Policy | None = None,
    telemetry: Telemetry | None = None,
    clock: Clock | None = None,
    ledger: Path | None = None,
    **settings_given: Any,
) -> AsyncIterator[Bench]:
    """``ledger``: the file of another gate's ledger. None: one of its own."""
    settings = Settings(data_dir=folder, **settings_given)
    settings.evidence_folder.mkdir(parents=True)
    server, recorded = Server(), RecordingBackend()
    opened = FailingLedger.open(
        f"sqlite:///{ledger or folder / 'ledger.db'}", folder / "journal", gate=settings.gate_name
    )
    clock, wanted = clock or SystemClock(), worker_settings(settings.banks)
    workers = RecordingPool(settings.workers, wanted, clock)
    pullers = RecordingPullers(PullSettings(), clock)
    gate = Gate(
        settings,
        wanted,
        opened,
        policy or Policy(mode=Mode.ENFORCE),
        {SERVER: server},
        telemetry or Telemetry(recorded),
        clock,
        workers,
        pullers,
    )
    await workers.start(gate._worker_events)
    try:
        yield Bench(gate, workers, server, recorded, opened, pullers)
    finally:
        # A gate that stops waits for its cuts and for its last verdicts.
        server.gone = workers.ends_streams = True
        gate._drain.hear_s = 0
        if not gate._context.stopped:
            await gate.stop()
        opened.close()
