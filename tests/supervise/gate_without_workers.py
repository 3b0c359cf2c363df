"""A real gate whose workers are a double: what they are told is kept, and the test says what they answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from edge.clock import SystemClock
from edge.config import Settings
from edge.contract.gen import gate_pb2, worker_pb2
from edge.domain import Action, Publish, StreamId
from edge.errors import WorkerLost
from edge.ledger import DurableLedger
from edge.policy import Policy
from edge.servers.connector import CutAttempt, CutTarget
from edge.supervise import gate as gate_module
from edge.supervise.gate import Gate
from edge.telemetry.recording import RecordingBackend
from edge.telemetry.telemetry import Telemetry
from tests.workers.worker_settings import worker_settings

SERVER = "pulled"
PATIENCE_S = 30.0


class Workers:
    """In place of the pool."""

    def __init__(self, *_: object) -> None:
        self.told: list[tuple[str, worker_pb2.ToWorker]] = []
        self.says: Callable[[worker_pb2.FromWorker], None] = lambda _: None
        self.owned: set[str] = set()
        self.full = False
        self.restarts = 0

    async def start(self, events: object) -> None:
        pass

    async def stop(self) -> None:
        pass

    def assign(self, stream_id: str) -> None:
        self.owned.add(stream_id)

    def release(self, stream_id: str) -> None:
        self.owned.discard(stream_id)

    def send(self, stream_id: str, command: worker_pb2.ToWorker) -> None:
        if stream_id not in self.owned:
            raise WorkerLost(stream_id)
        self.told.append((stream_id, command))
        if command.HasField("save_evidence"):
            incident_id = command.save_evidence.incident_id
            saved = worker_pb2.EvidenceSaved(stream_id=stream_id, incident_id=incident_id, error="a double")
            asyncio.get_running_loop().call_soon(self.says, worker_pb2.FromWorker(evidence_saved=saved))

    def send_unit(self, stream_id: str, unit: object) -> None:
        pass

    def is_slow(self, stream_id: str) -> bool:
        return False

    def told_to(self, stream_id: str) -> list[str]:
        return [str(command.WhichOneof("command")) for to, command in self.told if to == stream_id]


class Server:
    """An ingest server that keeps its publishers until it is told that they are ``gone``."""

    kind = SERVER

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.gone = False

    async def cut(self, target: CutTarget) -> CutAttempt:
        self.asked.append(target.stream_id)
        return CutAttempt(True, None)

    async def is_live(self, target: CutTarget) -> bool | None:
        return not self.gone


class Bench:
    def __init__(self, gate: Gate, workers: Workers, server: Server, recorded: RecordingBackend) -> None:
        self.gate = gate
        self.recorded = recorded
        self.workers = workers
        self.server = server
        self.ledger = gate.ledger

    async def admit(self, connection: str, name: str, broadcaster: str = "anna") -> Any:
        return await self.gate.admit(Publish(SERVER, connection, "live", name, broadcaster))

    async def watched(self, connection: str = "7", name: str = "show", broadcaster: str = "anna") -> StreamId:
        """A stream that the gate pulls."""
        stream_id: StreamId = (await self.admit(connection, name, broadcaster)).stream_id
        await self.gate.attach(stream_id, f"rtmp://127.0.0.1/live/{name}")
        return stream_id

    def judged(self, stream_id: str, action: Action = Action.CUT) -> None:
        verdict = gate_pb2.Verdict(
            action=gate_pb2.Action.Value(f"ACTION_{action.name}"),
            category="fight",
            reason="detector",
            score=0.99,
        )
        judged = worker_pb2.Judged(stream_id=stream_id, verdict=verdict)
        self.gate._worker_events.on_worker_event(worker_pb2.FromWorker(judged=judged))

    def closed(self, stream_id: str, reason: str, *, retryable: bool) -> None:
        stream = self.gate.registry.get(stream_id)
        closed = worker_pb2.Closed(
            stream_id=stream_id, reason=reason, retryable=retryable, opening=stream.opening
        )
        self.gate._worker_events.on_worker_event(worker_pb2.FromWorker(closed=closed))

    async def until(self, happened: Callable[[], object]) -> None:
        for _ in range(int(PATIENCE_S / 0.01)):
            if happened():
                return
            await asyncio.sleep(0.01)
        raise AssertionError("it has not happened")


@asynccontextmanager
async def gate_without_workers(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    policy: Policy | None = None,
    telemetry: Telemetry | None = None,
) -> AsyncIterator[Bench]:
    monkeypatch.setattr(gate_module, "WorkerPool", Workers)
    settings = Settings(data_dir=folder)
    settings.evidence.mkdir(parents=True)
    server, recorded = Server(), RecordingBackend()
    ledger = DurableLedger.open(f"sqlite:///{folder / 'ledger.db'}", folder / "journal")
    gate = Gate(
        settings,
        worker_settings(settings.banks),
        ledger,
        policy or Policy(),
        {SERVER: server},
        telemetry or Telemetry(recorded),
        SystemClock(),
    )
    workers = gate.pool
    assert isinstance(workers, Workers)
    workers.says = gate._worker_events.on_worker_event
    try:
        yield Bench(gate, workers, server, recorded)
    finally:
        await gate.stop()
        ledger.close()
