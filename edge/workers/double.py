"""A double of the worker pool without processes. Records what is sent; the test supplies the events."""

from __future__ import annotations

import asyncio

from edge.clock import Clock
from edge.contract.gen import worker_pb2
from edge.domain import AccessUnit
from edge.errors import WorkerLost
from edge.reasons import CloseReason
from edge.workers.pool import WorkerEvents, WorkerPool
from edge.workers.settings import WorkerSettings, WorkersSection


class RecordingPool(WorkerPool):
    """Accepts every stream. Answers a request for evidence at once with an error, and nothing else."""

    def __init__(self, section: WorkersSection, settings: WorkerSettings, clock: Clock) -> None:
        super().__init__(section, settings, clock)
        self.sent: list[tuple[str, worker_pb2.ToWorker]] = []
        """Commands with their stream, in order, without access units."""
        self.units: list[tuple[str, AccessUnit]] = []
        self.streams: set[str] = set()
        self.watched: set[str] = set()
        """Streams that take capacity of a worker."""
        self.is_full = False
        self.up = 1
        """Workers that are up."""
        self.waiting = 0
        """Sources that wait until workers take more."""
        self._takes_more = asyncio.Event()
        self._takes_more.set()
        self.ends_streams = False
        """Whether workers report the end of each stream that is told to end. Else the test does."""
        self._openings: dict[str, int] = {}
        self.heavy: set[str] = set()
        self.heavy_up = True
        """Whether the worker for heavy streams takes streams."""

        self.pids: tuple[int, ...] = ()
        """Processes that the test calls workers."""
        self.condemned: list[int] = []
        self.replaced = 0
        """How often all workers were replaced."""

    def every_process(self) -> tuple[int, ...]:
        return self.pids

    def condemn(self, pid: int, why: str) -> None:
        self.condemned.append(pid)

    async def replace_workers(self) -> None:
        self.replaced += 1

    async def start(self, events: WorkerEvents) -> None:
        self._events = events

    async def stop(self) -> None:
        pass

    def assign(self, stream_id: str, *, to_watch: bool = True) -> None:
        self.streams.add(stream_id)
        if to_watch:
            self.watched.add(stream_id)

    def rest(self, stream_id: str) -> None:
        self.watched.discard(stream_id)

    def release(self, stream_id: str) -> None:
        self.streams.discard(stream_id)
        self.watched.discard(stream_id)
        self.heavy.discard(stream_id)

    def is_heavy(self, stream_id: str) -> bool:
        return stream_id in self.heavy

    def set_heavy(self, stream_id: str, heavy: bool) -> bool:
        if self.heavy_up and heavy is not (stream_id in self.heavy):
            (self.heavy.add if heavy else self.heavy.discard)(stream_id)
            return True
        return False

    def send(self, stream_id: str, command: worker_pb2.ToWorker) -> None:
        if stream_id not in self.streams:
            raise WorkerLost(stream_id)
        self.sent.append((stream_id, command))
        if command.HasField("open_push"):
            self._openings[stream_id] = command.open_push.opening
        if command.HasField("close") and self.ends_streams:
            closed = worker_pb2.Closed(
                stream_id=stream_id, reason=CloseReason.END, opening=self._openings.get(stream_id, 0)
            )
            asyncio.get_running_loop().call_soon(
                self._events.on_worker_event, worker_pb2.FromWorker(closed=closed)
            )
        if command.HasField("save_evidence"):
            incident_id = command.save_evidence.incident_id
            saved = worker_pb2.EvidenceSaved(stream_id=stream_id, incident_id=incident_id, error="a double")
            event = worker_pb2.FromWorker(evidence_saved=saved)
            asyncio.get_running_loop().call_soon(self._events.on_worker_event, event)

    def send_unit(self, stream_id: str, unit: AccessUnit) -> None:
        if stream_id not in self.streams:
            raise WorkerLost(stream_id)
        self.units.append((stream_id, unit))

    def hold_back(self, slow: bool) -> None:
        """Makes workers slow, or makes them take more."""
        if slow:
            self._takes_more.clear()
        else:
            self._takes_more.set()

    def is_slow(self, stream_id: str) -> bool:
        return not self._takes_more.is_set()

    async def drained(self, stream_id: str) -> None:
        self.waiting += 1
        await self._takes_more.wait()
        self.waiting -= 1

    def sent_to(self, stream_id: str) -> list[str]:
        """Returns the names of the commands that were sent to a stream's worker, in order."""
        return [str(command.WhichOneof("command")) for to, command in self.sent if to == stream_id]

    @property
    def places(self) -> tuple[int, int]:
        return self.up, 1

    @property
    def full(self) -> bool:
        return self.is_full
