"""The supervisor's side of the workers: spawn, route, watch over, restart."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import socket
import sys
from collections import Counter
from collections.abc import Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGSEGV
from typing import Protocol

import structlog

from edge.api.gen import worker_pb2
from edge.clock import Clock
from edge.config import WorkersSection
from edge.domain import AccessUnit
from edge.errors import CapacityExceeded, ConfigError, WorkerLost
from edge.workers import wire
from edge.workers.current import CurrentStream
from edge.workers.memory import resident_bytes
from edge.workers.settings import WorkerSettings
from edge.workers.swap import ModelSwap

_SOCKET_BUFFER_BYTES = 4 * 1024 * 1024
_SLOW_BYTES = 8 * 1024 * 1024
"""What may wait for a worker that is at a long job, and does not read meanwhile, before callers wait."""
_RESTART_PAUSE_MS = 10_000
_DEATHS_TO_QUARANTINE = 2
_CRASHES = frozenset(-number for number in (SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT))
_STOP_S = 5.0
_STREAM_LOAD = 0.02
"""What a new stream is taken to add to its worker's load before that is measured: a calm one's share."""
_LOAD_S = 30.0
"""How long workers may take to load a model beside the one that judges."""

log = structlog.get_logger(__name__)


class WorkerEvents(Protocol):
    """What the pool tells its owner; called in the event loop's thread, must not block."""

    def on_worker_event(self, event: worker_pb2.FromWorker) -> None: ...

    def on_streams_lost(self, stream_ids: tuple[str, ...], quarantined: str | None) -> None:
        """Their worker died. ``quarantined`` has now been in work at two deaths and must not return."""
        ...


@dataclass(frozen=True, slots=True)
class WorkerLoad:
    """One worker as it was last measured."""

    index: int
    streams: int
    busy_share: float
    """Share of its time in jobs that had to be done."""
    resident_bytes: int
    voluntary_share: float = 0.0
    """Share of its time in jobs that are given up when there is no time for them."""
    jobs: int = 0
    """That waited when it was asked."""


@dataclass(slots=True)
class _Worker:
    index: int
    process: asyncio.subprocess.Process
    writer: asyncio.StreamWriter
    current: CurrentStream
    ready: asyncio.Event
    heard_ms: float
    streams: set[str] = field(default_factory=set)
    lost: bool = False
    condemned: bool = False
    """It was killed for what it did with its media."""
    pong_ms: float = 0.0

    busy_ms: float = 0.0
    """Time in jobs at the last pong."""
    busy_share: float = 0.0
    """Share of the time between the last two pongs that was spent in jobs which had to be done."""
    voluntary_ms: float = 0.0
    voluntary_share: float = 0.0
    """The same of jobs that are given up when there is no time for them."""
    gave_way: int = 0
    pong: worker_pb2.Pong = field(default_factory=worker_pb2.Pong)
    """The last."""
    decoded: int = 0
    judged: int = 0
    bank_searches_cut_short: int = 0
    resident_bytes: int = 0

    unmeasured: int = 0
    """Streams that came since the last pong."""
    half_measured: int = 0
    """Streams that came between the last two pongs."""

    @property
    def load(self) -> float:
        """Measured load, and what the streams are likely to add that came too late to show in it."""
        return self.busy_share + _STREAM_LOAD * (self.unmeasured + self.half_measured)


class WorkerPool:
    """A fixed number of worker processes, each replaced when it dies or hangs."""

    def __init__(self, section: WorkersSection, settings: WorkerSettings, clock: Clock) -> None:
        self._section = section
        self._settings = settings
        self._events: WorkerEvents
        self._clock = clock
        self._workers: dict[int, _Worker] = {}
        self._owner: dict[str, _Worker] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._deaths: Counter[str] = Counter()
        self._totals: Counter[str] = Counter()
        self._stopping = False
        self._swap: ModelSwap | None = None
        self._swaps = itertools.count(1)
        self._chosen: ModelSwap | None = None
        """The model in force, when it is not the one that the first workers began with."""
        self.restarts = 0
        self.model_digest = ""
        self.bank_digest = ""

    async def start(self, events: WorkerEvents) -> None:
        """Spawn all workers; returns when each has loaded its model. Raises ConfigError when one cannot."""
        self._events = events
        await asyncio.gather(*(self._spawn(index) for index in range(self._section.count)))
        self._task(self._heartbeat())

    async def stop(self) -> None:
        self._stopping = True
        for worker in self._workers.values():
            self._write(worker, worker_pb2.ToWorker(shutdown=worker_pb2.Shutdown()))
        await asyncio.gather(*(self._await_end(worker) for worker in self._workers.values()))
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _await_end(self, worker: _Worker) -> None:
        try:
            await asyncio.wait_for(worker.process.wait(), _STOP_S)
        except TimeoutError:
            worker.process.kill()
            await worker.process.wait()
        worker.writer.close()

    def processes(self) -> tuple[int, ...]:
        """Process ids of the workers alive."""
        return tuple(worker.process.pid for worker in self._workers.values())

    def assign(self, stream_id: str) -> None:
        """Give a stream to the least loaded worker. Raises CapacityExceeded when none is up."""
        up = [w for w in self._workers.values() if w.ready.is_set() and not w.lost]
        if not up:
            raise CapacityExceeded("no worker is up")
        self._disown(stream_id)
        worker = min(up, key=lambda w: (round(w.load, 2), len(w.streams), w.index))
        worker.streams.add(stream_id)
        worker.unmeasured += 1
        self._owner[stream_id] = worker

    def release(self, stream_id: str) -> None:
        self._disown(stream_id)
        self._deaths.pop(stream_id, None)

    def _disown(self, stream_id: str) -> None:
        worker = self._owner.pop(stream_id, None)
        if worker is not None:
            worker.streams.discard(stream_id)

    def send(self, stream_id: str, command: worker_pb2.ToWorker) -> None:
        """Queue a command to the stream's worker. Raises WorkerLost when it has none."""
        self._write_bytes(self._owner_of(stream_id), wire.frame(command))

    def send_unit(self, stream_id: str, unit: AccessUnit) -> None:
        """Queue an access unit to the stream's worker. Raises WorkerLost when it has none."""
        self._write_bytes(self._owner_of(stream_id), wire.media_frame(stream_id, unit))

    def _owner_of(self, stream_id: str) -> _Worker:
        worker = self._owner.get(stream_id)
        if worker is None or worker.lost:
            raise WorkerLost(f"no worker owns stream {stream_id}")
        return worker

    def is_slow(self, stream_id: str) -> bool:
        """Whether what was sent to the stream's worker waits for it to read."""
        worker = self._owner.get(stream_id)
        return worker is not None and worker.writer.transport.get_write_buffer_size() > _SLOW_BYTES

    async def drained(self, stream_id: str) -> None:
        """Wait until the worker's socket takes more; how the gate pushes back on a caller."""
        worker = self._owner.get(stream_id)
        if worker is not None and not worker.lost:
            with contextlib.suppress(ConnectionError):
                await worker.writer.drain()

    def broadcast(self, command: worker_pb2.ToWorker) -> None:
        for worker in self._workers.values():
            if not worker.lost:
                self._write(worker, command)

    async def load_model(self, directory: Path, digest: str) -> None:
        """Every worker loads it beside the one that judges. Raises ModelError when one cannot, and then
        all forget it. One at a time."""
        up = [worker for worker in self._workers.values() if worker.ready.is_set() and not worker.lost]
        swap = ModelSwap(next(self._swaps), str(directory), digest, (worker.process.pid for worker in up))
        self._swap = swap
        for worker in up:
            self._write(worker, swap.command())
        try:
            await swap.wait(_LOAD_S)
        except BaseException:
            self.forget_model()
            raise

    def use_model(self, directory: Path, digest: str) -> None:
        """What ``load_model`` has loaded judges from now on, also in workers that are yet to start."""
        self._settings = self._settings.model_copy(update={"model_dir": directory})
        self._chosen, self._swap, self.model_digest = self._swap, None, digest
        if self._chosen is not None:
            use = worker_pb2.UseModel(swap=self._chosen.number)
            self.broadcast(worker_pb2.ToWorker(use_model=use))

    def forget_model(self) -> None:
        """What ``load_model`` has loaded, or is loading, is not wanted."""
        swap, self._swap = self._swap, None
        if swap is not None:
            forget = worker_pb2.UseModel(swap=swap.number, forget=True)
            self.broadcast(worker_pb2.ToWorker(use_model=forget))

    def _note_ready(self, worker: _Worker, ready: worker_pb2.Ready) -> None:
        if self._chosen is None:
            self.model_digest = ready.model_digest
        elif ready.model_digest != self.model_digest:
            # It was started before the swap: it learns of it like the others.
            self._write(worker, self._chosen.command(use=True))
        self.bank_digest = ready.bank_digest
        worker.ready.set()

    def _note_loaded(self, worker: _Worker, answer: worker_pb2.ModelLoaded) -> None:
        if self._swap is not None:
            self._swap.loaded(worker.process.pid, answer)
        if answer.use and answer.error:
            log.error("worker cannot load the model in force", worker=worker.index, error=answer.error)
            with contextlib.suppress(ProcessLookupError):
                worker.process.kill()

    def _write(self, worker: _Worker, command: worker_pb2.ToWorker) -> None:
        self._write_bytes(worker, wire.frame(command))

    def _write_bytes(self, worker: _Worker, raw: bytes) -> None:
        if not worker.writer.is_closing():
            worker.writer.write(raw)

    async def _spawn(self, index: int) -> None:
        ours, theirs = socket.socketpair()
        page = CurrentStream.create()
        try:
            for end in (ours, theirs):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SOCKET_BUFFER_BYTES)
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "edge.workers.process",
                str(theirs.fileno()),
                str(page),
                self._settings.model_dump_json(),
                pass_fds=(theirs.fileno(), page),
                stdin=asyncio.subprocess.DEVNULL,
            )
            current = CurrentStream(page)
        finally:
            theirs.close()
            os.close(page)
        ours.setblocking(False)
        reader, writer = await asyncio.open_connection(sock=ours, limit=_SOCKET_BUFFER_BYTES)
        writer.transport.set_write_buffer_limits(high=_SLOW_BYTES)
        worker = _Worker(index, process, writer, current, asyncio.Event(), self._clock.monotonic_ms())
        self._workers[index] = worker
        self._task(self._listen(worker, reader))
        ready = asyncio.ensure_future(worker.ready.wait())
        ended = asyncio.ensure_future(process.wait())
        await asyncio.wait(
            {ready, ended}, timeout=self._section.ready_ms / 1000, return_when=asyncio.FIRST_COMPLETED
        )
        ready.cancel()
        ended.cancel()
        if not worker.ready.is_set():
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            code = await process.wait()
            raise ConfigError(
                f"worker {index} did not start (exit code {code}): its message stands on stderr above"
            )

    async def _listen(self, worker: _Worker, reader: asyncio.StreamReader) -> None:
        try:
            while (event := await wire.read_event(reader)) is not None:
                worker.heard_ms = self._clock.monotonic_ms()
                match event.WhichOneof("event"):
                    case "ready":
                        self._note_ready(worker, event.ready)
                    case "model_loaded":
                        self._note_loaded(worker, event.model_loaded)
                    case "pong":
                        self._note_load(worker, event.pong)
                        self._events.on_worker_event(event)
                    case _:
                        self._events.on_worker_event(event)
        except WorkerLost as error:
            log.error("worker talks nonsense", worker=worker.index, error=str(error))
        except Exception:
            log.exception("event of a worker failed", worker=worker.index)
        await self._bury(worker)

    def _note_load(self, worker: _Worker, pong: worker_pb2.Pong) -> None:
        now = self._clock.monotonic_ms()
        if worker.pong_ms:
            passed_ms = max(1.0, now - worker.pong_ms)
            worker.voluntary_share = min(1.0, (pong.voluntary_ms - worker.voluntary_ms) / passed_ms)
            busy_ms = pong.busy_ms - worker.busy_ms - (pong.voluntary_ms - worker.voluntary_ms)
            worker.busy_share = min(1.0, busy_ms / passed_ms)
        worker.half_measured, worker.unmeasured = worker.unmeasured, 0
        self._totals.update(
            decoded=pong.decoded - worker.decoded,
            judged=pong.judged - worker.judged,
            bank_searches_cut_short=pong.bank_searches_cut_short - worker.bank_searches_cut_short,
        )
        self._totals.update(gave_way=pong.gave_way - worker.gave_way)
        worker.gave_way, worker.pong = pong.gave_way, pong
        worker.pong_ms, worker.busy_ms, worker.voluntary_ms = now, pong.busy_ms, pong.voluntary_ms
        worker.decoded, worker.judged = pong.decoded, pong.judged
        worker.bank_searches_cut_short = pong.bank_searches_cut_short
        worker.resident_bytes = pong.resident_bytes
        if pong.resident_bytes > self._section.max_resident_mb * 2**20:
            log.error(
                "worker holds too much memory and is replaced",
                worker=worker.index,
                resident_mb=pong.resident_bytes // 2**20,
                limit_mb=self._section.max_resident_mb,
            )
            with contextlib.suppress(ProcessLookupError):
                worker.process.kill()

    @property
    def full(self) -> bool:
        """Whether no worker can take a stream: each is at its limit, or none is up."""
        up = [worker for worker in self._workers.values() if worker.ready.is_set() and not worker.lost]
        return all(worker.load > self._section.max_busy for worker in up)

    def loads(self) -> tuple[WorkerLoad, ...]:
        """Each worker's load as it was last measured."""
        return tuple(
            WorkerLoad(
                w.index, len(w.streams), w.busy_share, w.resident_bytes, w.voluntary_share, w.pong.jobs
            )
            for w in self._workers.values()
            if not w.lost
        )

    @property
    def decoded(self) -> int:
        """Frames decoded by all workers so far."""
        return self._totals["decoded"]

    @property
    def gave_way(self) -> int:
        """Times that a look at a stream which was denser than due gave way, in all workers so far."""
        return self._totals["gave_way"]

    def streams_by_tier(self) -> dict[str, int]:
        """Streams that are judged at this moment: ``calm``, ``alert``, and ``starting``."""
        pongs = [w.pong for w in self._workers.values() if not w.lost]
        return {
            "calm": sum(pong.calm_streams for pong in pongs),
            "alert": sum(pong.alert_streams for pong in pongs),
            "starting": sum(pong.starting_streams for pong in pongs),
        }

    @property
    def judged(self) -> int:
        """Samples judged by all workers so far."""
        return self._totals["judged"]

    @property
    def bank_searches_cut_short(self) -> int:
        """Searches of a bank by all workers so far in which a bound was hit."""
        return self._totals["bank_searches_cut_short"]

    async def _bury(self, worker: _Worker) -> None:
        """The worker's socket is closed: it is dead or as good as."""
        worker.lost = True
        if self._swap is not None:
            self._swap.gone(worker.process.pid)
        with contextlib.suppress(ProcessLookupError):
            worker.process.kill()
        code = await worker.process.wait()
        worker.writer.close()
        if self._stopping or not worker.ready.is_set():
            return
        culprit = worker.current.culprit()
        streams = tuple(sorted(worker.streams))
        quarantined = suspect = None
        if culprit in worker.streams:
            self._deaths[culprit] += 1
            if self._deaths[culprit] >= _DEATHS_TO_QUARANTINE:
                quarantined = culprit
            elif worker.condemned or code in _CRASHES:
                suspect = culprit
        for stream_id in streams:
            self._owner.pop(stream_id, None)
        self.restarts += 1
        log.error(
            "worker died",
            worker=worker.index,
            exit_code=code,
            streams=len(streams),
            in_work=culprit,
            crash=worker.current.report,
        )
        worker.current.close()
        others = any(w.ready.is_set() and not w.lost for w in self._workers.values())
        # What ended this worker must not end another one, with the streams there: it waits for the new one.
        waiting = tuple(stream for stream in streams if stream == suspect or not others)
        if others:
            self._events.on_streams_lost(tuple(s for s in streams if s not in waiting), quarantined)
        await self._respawn(worker.index)
        if waiting:
            self._events.on_streams_lost(waiting, quarantined)

    async def _respawn(self, index: int) -> None:
        for attempt in itertools.count(1):
            try:
                await self._spawn(index)
                return
            except (ConfigError, OSError) as error:
                log.critical("worker not restarted", worker=index, attempt=attempt, error=str(error))
                pause_ms = self._section.restart_backoff_ms * 2 ** min(attempt, 8)
                await asyncio.sleep(min(pause_ms, _RESTART_PAUSE_MS) / 1000)

    async def _heartbeat(self) -> None:
        sequence = 0
        while True:
            await asyncio.sleep(self._section.heartbeat_ms / 1000)
            sequence += 1
            now = self._clock.monotonic_ms()
            for worker in self._workers.values():
                if worker.lost or not worker.ready.is_set():
                    continue
                if (why := self._out_of_bounds(worker, now)) is not None:
                    log.error(why, worker=worker.index, in_work=worker.current.read())
                    worker.condemned = True
                    with contextlib.suppress(ProcessLookupError):
                        worker.process.kill()
                    continue
                self._write(worker, worker_pb2.ToWorker(ping=worker_pb2.Ping(sequence=sequence)))

    def _out_of_bounds(self, worker: _Worker, now_ms: float) -> str | None:
        """Why a worker cannot go on; looked at from outside, as it may not answer."""
        section = self._section
        if now_ms - worker.heard_ms > section.hang_ms:
            return f"worker hangs: no answer for {section.hang_ms} ms"
        if worker.current.job_ms(now_ms) > section.job_ms:
            return f"worker hangs in one job for more than {section.job_ms} ms"
        if (held := resident_bytes(worker.process.pid)) > section.max_resident_mb * 2**20:
            return f"worker holds {held // 2**20} MB, the limit is {section.max_resident_mb} MB"
        return None

    def _task(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
