"""The pool of workers, supervisor side: assigns streams and replaces each worker that dies."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from signal import SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGSEGV
from typing import Protocol

import structlog

from edge.background import BackgroundTasks, task_health
from edge.backoff import backoff_ms
from edge.clock import Clock
from edge.contract.gen import worker_pb2
from edge.detect import read_pack
from edge.domain import AccessUnit
from edge.errors import CapacityExceeded, ConfigError, WorkerLost
from edge.telemetry.records import Record, WorkerLoad, WorkerNotRestarted, WorkerReady
from edge.workers import ipc_framing
from edge.workers.model_rollout import ModelRollout
from edge.workers.settings import WorkerSettings, WorkersSection
from edge.workers.worker_handle import WorkerHandle

_RESTART_PAUSE_MS = 10_000
_DEATHS_TO_QUARANTINE = 2
_CRASHES = frozenset(-number for number in (SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT))
_STOP_S = 5.0
_SPARE_PAUSE_S = 5.0
"""Pause from a worker's death to the launch of the next standby. A launch takes seconds of a core, which
the streams that have just moved need more."""
_LOOK_S = 0.1
_HEAVY_NICENESS = 10
"""Added to the gate's own. On a busy core it gets about a tenth of what an ordinary worker gets."""
_LAST_WORDS_S = 1.0
"""How long what a dead worker has said may take to be read."""
_LOAD_S = 30.0
"""How long workers may take to load a model beside the one that judges."""

log = structlog.get_logger(__name__)


class WorkerEvents(Protocol):
    """What the pool tells its owner. Called in the event loop's thread; must not block."""

    def on_worker_event(self, event: worker_pb2.FromWorker) -> None: ...

    def on_streams_lost(self, stream_ids: tuple[str, ...], quarantined: str | None) -> None:
        """The streams' worker died. ``quarantined`` was in work at two deaths and must not return."""
        ...

    def on_matching_failed(self) -> None:
        """A worker died while it searched or read the banks. No stream is at fault."""
        ...

    def on_record(self, record: Record) -> None:
        """Something for telemetry."""
        ...

    def on_not_restarted(self) -> None:
        """A worker that died cannot be replaced, as when the model it loads is damaged. It is tried again."""
        ...


class WorkerPool:
    """A fixed number of worker processes, each replaced when it dies or hangs.

    A standby (``workers.spare``) waits beside them with its model loaded and no stream. It takes the place
    of a dead worker at once, where a new process needs seconds before it can judge.
    """

    def __init__(self, section: WorkersSection, settings: WorkerSettings, clock: Clock) -> None:
        self._section = section
        self._settings = settings
        self._events: WorkerEvents
        self._clock = clock
        self._workers: dict[int, WorkerHandle] = {}
        self._standby: WorkerHandle | None = None
        self._preparing = False
        self._owner: dict[str, WorkerHandle] = {}
        self._heavy_streams: set[str] = set()
        """Streams that belong to the worker for heavy streams while it is up."""
        self._heavy_starting = False
        self._tasks = BackgroundTasks()
        self._deaths: Counter[str] = Counter()
        self._totals: Counter[str] = Counter()
        self._stopping = False
        self._swap: ModelRollout | None = None
        self._swaps = itertools.count(1)
        self._chosen: ModelRollout | None = None
        """The model in force, unless it is the one that the first workers started with."""
        self.restarts = 0
        self.model_digest = ""
        self.bank_digest = ""

    # start and stop

    async def start(self, events: WorkerEvents) -> None:
        """Starts all workers. Returns when each has loaded its model. Raises ConfigError when one cannot."""
        self._events = events
        await asyncio.gather(*(self._spawn(index) for index in range(self._section.count)))
        self._tasks.keep(self._heartbeat)
        if self._section.spare:
            self._tasks.start(self._prepare_standby())

    async def stop(self) -> None:
        self._stopping = True
        shutdown = ipc_framing.frame(worker_pb2.ToWorker(shutdown=worker_pb2.Shutdown()))
        everyone = list(self._everyone())
        for worker in everyone:
            worker.write_frame(shutdown)
        await asyncio.gather(*(worker.end(_STOP_S) for worker in everyone))
        await self._tasks.aclose()

    def processes(self) -> tuple[int, ...]:
        """Returns the process ids of the live workers, without the standby."""
        return tuple(worker.process.pid for worker in self._workers.values())

    def every_process(self) -> tuple[int, ...]:
        """Returns the process ids of all live workers and of the standby."""
        return tuple(worker.process.pid for worker in self._everyone() if not worker.lost)

    def condemn(self, pid: int, why: str) -> None:
        """Kills a worker for what its media made it do. It is replaced."""
        for worker in self._everyone():
            if worker.process.pid == pid and not worker.lost:
                log.error(why, worker=worker.index, in_work=worker.current.read())
                worker.condemned = True
                worker.kill()

    async def replace_workers(self) -> None:
        """Replaces the standby, and then every worker, one after the other. Streams go on in others.

        Raises ModelError, and replaces none, where the model that they would load is damaged.
        """
        await asyncio.to_thread(read_pack, self._settings.model_dir)
        old, standby = list(self._workers.values()), self._standby
        if standby is not None:
            standby.kill()
            await self._until(lambda: self._standby is not standby)
        for worker in old:
            await self._replace(worker)

    async def _replace(self, worker: WorkerHandle) -> None:
        if self._section.spare:
            await self._until(lambda: self._standby is not None and self._standby.up)
        worker.retired = True
        worker.kill()
        await self._until(lambda: self._workers[worker.index] is not worker)
        await self._until(lambda: self._workers[worker.index].up)

    async def _until(self, happened: Callable[[], bool]) -> None:
        while not happened() and not self._stopping:  # noqa: ASYNC110 (a place has no event)
            await asyncio.sleep(_LOOK_S)

    def _everyone(self) -> Iterator[WorkerHandle]:
        yield from self._workers.values()
        if self._standby is not None:
            yield self._standby

    # streams

    def assign(self, stream_id: str, *, to_watch: bool = True) -> None:
        """Assigns a stream to the least loaded worker. Raises CapacityExceeded when no worker is up.

        Without ``to_watch`` the worker only writes its evidence, which takes no capacity.
        """
        heavy = self._heavy_up if stream_id in self._heavy_streams else None
        up = [worker for worker in self._ordinary if worker.up] if heavy is None else [heavy]
        if not up:
            raise CapacityExceeded("no worker is up")
        self._disown(stream_id)
        worker = min(up, key=lambda w: (round(w.estimate.load, 2), len(w.streams), w.index))
        worker.streams.add(stream_id)
        if to_watch:
            worker.estimate.opened(stream_id)
        self._owner[stream_id] = worker

    def shown(self, stream_id: str) -> None:
        """Notes the first verdict on a stream that was assigned."""
        if (worker := self._owner.get(stream_id)) is not None:
            worker.estimate.shown(stream_id)

    def rest(self, stream_id: str) -> None:
        """Watches a stream no more. Its worker keeps it for its evidence, and has room for another."""
        if (worker := self._owner.get(stream_id)) is not None:
            worker.estimate.closed(stream_id)

    def release(self, stream_id: str) -> None:
        self._disown(stream_id)
        self._deaths.pop(stream_id, None)
        self._heavy_streams.discard(stream_id)

    def is_heavy(self, stream_id: str) -> bool:
        """Returns whether the stream's worker is the one for heavy streams."""
        worker = self._owner.get(stream_id)
        return worker is not None and self._is_for_heavy(worker)

    def set_heavy(self, stream_id: str, heavy: bool) -> bool:
        """Says which kind of worker the stream belongs to from its next ``assign`` on.

        Returns whether a worker of that kind is up and has not got the stream. The worker for heavy streams
        starts when the first stream needs it.
        """
        worker = self._owner.get(stream_id)
        if worker is None or self._is_for_heavy(worker) is heavy:
            return False
        if heavy:
            if self._heavy_up is None:
                self._start_heavy()
                return False
            self._heavy_streams.add(stream_id)
            return True
        self._heavy_streams.discard(stream_id)
        return any(worker.up for worker in self._ordinary)

    @property
    def _ordinary(self) -> list[WorkerHandle]:
        return [worker for worker in self._workers.values() if not self._is_for_heavy(worker)]

    @property
    def _heavy_up(self) -> WorkerHandle | None:
        worker = self._workers.get(self._section.count)
        return worker if worker is not None and worker.up else None

    def _is_for_heavy(self, worker: WorkerHandle) -> bool:
        return worker.index >= self._section.count

    def _start_heavy(self) -> None:
        """Starts the worker for heavy streams: at once from the standby, where one waits."""
        index = self._section.count
        if not self._section.heavy or self._heavy_starting or index in self._workers or self._stopping:
            return
        self._heavy_starting = True
        self._tasks.start(self._launch_heavy(index))

    async def _launch_heavy(self, index: int) -> None:
        try:
            self._promote_standby(index)
            if index not in self._workers:
                await self._respawn(index)
        finally:
            self._heavy_starting = False
        self._tell(self._events.on_record, WorkerReady("heavy"))
        if self._section.spare and self._standby is None:
            await asyncio.sleep(_SPARE_PAUSE_S)
            await self._prepare_standby()

    def _disown(self, stream_id: str) -> None:
        worker = self._owner.pop(stream_id, None)
        if worker is not None:
            worker.streams.discard(stream_id)
            worker.estimate.closed(stream_id)

    def send(self, stream_id: str, command: worker_pb2.ToWorker) -> None:
        """Queues a command to the stream's worker. Raises WorkerLost when the stream has none."""
        self._owner_of(stream_id).write_frame(ipc_framing.frame(command))

    def send_unit(self, stream_id: str, unit: AccessUnit) -> None:
        """Queues an access unit to the stream's worker. Raises WorkerLost when the stream has none."""
        self._owner_of(stream_id).write_frame(ipc_framing.media_frame(stream_id, unit))

    def _owner_of(self, stream_id: str) -> WorkerHandle:
        worker = self._owner.get(stream_id)
        if worker is None or worker.lost:
            raise WorkerLost(f"no worker owns stream {stream_id}")
        return worker

    def is_slow(self, stream_id: str) -> bool:
        """Returns whether too many bytes wait for the stream's worker to read them."""
        worker = self._owner.get(stream_id)
        return worker is not None and worker.slow

    async def drained(self, stream_id: str) -> None:
        """Waits until the worker's socket takes more. This is the back-pressure on a caller."""
        worker = self._owner.get(stream_id)
        if worker is not None and not worker.lost:
            with contextlib.suppress(ConnectionError):
                await worker.writer.drain()

    def broadcast(self, command: worker_pb2.ToWorker) -> None:
        raw = ipc_framing.frame(command)
        for worker in self._everyone():
            if not worker.lost:
                worker.write_frame(raw)

    # models

    async def load_model(self, directory: Path, digest: str) -> None:
        """Loads a model in every worker beside the one that judges. One at a time.

        Raises ModelError when a worker cannot load it. All workers forget it then.
        """
        up = [worker for worker in self._everyone() if worker.up]
        swap = ModelRollout(next(self._swaps), str(directory), digest, (worker.process.pid for worker in up))
        self._swap = swap
        for worker in up:
            worker.write_frame(ipc_framing.frame(swap.command()))
        try:
            await swap.wait(_LOAD_S)
        except BaseException:
            self.forget_model()
            raise

    def use_model(self, directory: Path, digest: str) -> None:
        """Makes the loaded model judge from now on.

        Workers that start later use it too. A worker that was not ready at ``load_model`` loads it now.
        """
        self._settings = self._settings.model_copy(update={"model_dir": directory})
        self._chosen, self._swap, self.model_digest = self._swap, None, digest
        if self._chosen is None:
            return
        use = worker_pb2.ToWorker(use_model=worker_pb2.UseModel(swap=self._chosen.number))
        for worker in self._everyone():
            if worker.up:
                loaded = worker.process.pid in self._chosen.workers
                worker.write_frame(ipc_framing.frame(use if loaded else self._chosen.command(use=True)))

    def forget_model(self) -> None:
        """Discards the model that ``load_model`` has loaded or is loading."""
        swap, self._swap = self._swap, None
        if swap is not None:
            forget = worker_pb2.UseModel(swap=swap.number, forget=True)
            self.broadcast(worker_pb2.ToWorker(use_model=forget))

    def _note_ready(self, worker: WorkerHandle, ready: worker_pb2.Ready) -> None:
        if self._chosen is None:
            self.model_digest = ready.model_digest
        elif ready.model_digest != self.model_digest:
            # The worker was launched before the swap and loads the model now.
            worker.write_frame(ipc_framing.frame(self._chosen.command(use=True)))
        self.bank_digest = ready.bank_digest
        worker.ready.set()

    def _note_loaded(self, worker: WorkerHandle, answer: worker_pb2.ModelLoaded) -> None:
        if self._swap is not None:
            self._swap.loaded(worker.process.pid, answer)
        if answer.use and answer.error:
            worker.refusal = answer.error
        if worker.refusal and worker.ready.is_set():
            log.error("worker cannot load the model in force", worker=worker.index, error=answer.error)
            worker.kill()

    # processes

    async def _spawn(self, index: int) -> None:
        """Starts a worker in this place and waits until it can judge. Raises ConfigError when it does not
        get ready."""
        worker = await WorkerHandle.launch(self._settings)
        worker.index = index
        self._workers[index] = worker
        await self._await_ready(worker)
        self._set_priority(worker)

    def _set_priority(self, worker: WorkerHandle) -> None:
        """Lets ordinary workers, and the ingest server beside the gate, go before the one for heavy streams.

        It is started like the others: on a busy machine, which needs it, a start at low priority takes a
        minute. Linux has a priority for each thread.
        """
        if not self._is_for_heavy(worker):
            return
        ours = os.getpriority(os.PRIO_PROCESS, 0)
        with contextlib.suppress(OSError):
            for thread in os.listdir(f"/proc/{worker.process.pid}/task"):
                with contextlib.suppress(OSError):
                    os.setpriority(os.PRIO_PROCESS, int(thread), ours + _HEAVY_NICENESS)

    async def _await_ready(self, worker: WorkerHandle) -> None:
        listening = self._tasks.start(self._listen(worker))
        ready = self._tasks.start(worker.ready.wait(), awaited=True)
        ended = self._tasks.start(worker.process.wait(), awaited=True)
        await asyncio.wait(
            {ready, ended}, timeout=self._section.ready_ms / 1000, return_when=asyncio.FIRST_COMPLETED
        )
        ready.cancel()
        ended.cancel()
        if not worker.ready.is_set():
            worker.kill()
            code = await worker.process.wait()
            await asyncio.wait({listening}, timeout=_LAST_WORDS_S)
            if worker.refusal:
                raise ConfigError(f"worker {worker.index} cannot judge: {worker.refusal}")
            raise ConfigError(
                f"worker {worker.index} did not start (exit code {code}): see its message above on stderr"
            )

    async def _prepare_standby(self) -> None:
        """Launches a standby, and tries again until one is ready."""
        if self._standby is not None or self._preparing:
            return
        self._preparing = True
        try:
            await self._launch_standby()
        finally:
            self._preparing = False

    async def _launch_standby(self) -> None:
        for attempt in itertools.count(1):
            try:
                worker = await WorkerHandle.launch(self._settings)
                self._standby = worker
                await self._await_ready(worker)
                self._tell(self._events.on_record, WorkerReady("standby"))
                return
            except Exception as error:
                self._standby = None
                log.error("no standby", attempt=attempt, error=str(error))
                await self._pause(attempt)

    async def _pause(self, attempt: int) -> None:
        pause_ms = backoff_ms(attempt + 1, self._section.restart_backoff_ms, _RESTART_PAUSE_MS)
        await asyncio.sleep(pause_ms / 1000)

    async def _listen(self, worker: WorkerHandle) -> None:
        try:
            while (event := await ipc_framing.read_event(worker.reader)) is not None:
                worker.watchdog.heard()
                match event.WhichOneof("event"):
                    case "ready":
                        self._note_ready(worker, event.ready)
                    case "model_loaded":
                        self._note_loaded(worker, event.model_loaded)
                    case "pong":
                        now_ms = self._clock.monotonic_ms()
                        self._totals.update(worker.note_load(event.pong, now_ms, self._section.heartbeat_ms))
                        self._tell(self._events.on_worker_event, event)
                    case _:
                        self._tell(self._events.on_worker_event, event)
        except WorkerLost as error:
            log.error("worker sent an invalid message", worker=worker.index, error=str(error))
        except Exception as error:
            task_health().failed("WorkerPool.event", error)
        await self._bury(worker)

    async def _bury(self, worker: WorkerHandle) -> None:
        """Handles a worker whose socket is closed: it is dead, or is killed here."""
        worker.lost = True
        if self._swap is not None:
            self._swap.gone(worker.process.pid)
        worker.kill()
        code = await worker.process.wait()
        if self._stopping or not worker.ready.is_set():
            worker.close()
            return
        if worker is self._standby:
            log.error("the standby died", exit_code=code)
            worker.close()
            self._standby = None
            await self._pause(0)
            await self._prepare_standby()
            return
        # What a retired worker was at is not why it ended.
        culprit = "" if worker.retired else worker.current.culprit()
        in_matcher = worker.current.in_matcher and not worker.retired
        if in_matcher:
            self._totals["matching_crashes"] += 1
            self._tell(self._events.on_matching_failed)
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
            in_matcher=in_matcher,
            crash=worker.current.report,
        )
        worker.close()
        if suspect is None:
            self._promote_standby(worker.index)
        # A suspect stream must not end another worker and its streams. It waits for the new worker.
        others = any(other.up for other in self._workers.values())
        waiting = tuple(stream for stream in streams if stream == suspect or not others)
        if others:
            self._tell(
                self._events.on_streams_lost, tuple(s for s in streams if s not in waiting), quarantined
            )
        if suspect is not None:
            self._promote_standby(worker.index)
        if self._workers[worker.index] is worker:
            await self._respawn(worker.index)
        if waiting:
            self._tell(self._events.on_streams_lost, waiting, quarantined)
        if self._section.spare and self._standby is None:
            await asyncio.sleep(_SPARE_PAUSE_S)
            await self._prepare_standby()

    @staticmethod
    def _tell(event: Callable[..., None], *said: object) -> None:
        """Tells the owner what a worker says, or of its death. An error of the owner must not end a worker
        with all its streams, nor keep it from being replaced."""
        try:
            event(*said)
        except Exception as error:
            task_health().failed(event.__qualname__, error)

    def _promote_standby(self, index: int) -> None:
        """Puts the standby in this place, if one is ready."""
        standby = self._standby
        if standby is not None and standby.up:
            self._standby, standby.index = None, index
            self._workers[index] = standby
            self._set_priority(standby)

    async def _respawn(self, index: int) -> None:
        for attempt in itertools.count(1):
            try:
                await self._spawn(index)
                return
            except Exception as error:  # Whatever it is, the gate needs the worker.
                self._tell(self._events.on_record, WorkerNotRestarted(index, attempt, str(error)))
                self._tell(self._events.on_not_restarted)
                await self._pause(attempt)

    async def _heartbeat(self) -> None:
        before = self._clock.monotonic_ms()
        for sequence in itertools.count(1):
            await asyncio.sleep(self._section.heartbeat_ms / 1000)
            if self._stopping:
                return
            now = self._clock.monotonic_ms()
            passed_ms, before = now - before, now
            ping = ipc_framing.frame(worker_pb2.ToWorker(ping=worker_pb2.Ping(sequence=sequence)))
            for worker in self._everyone():
                if not worker.up:
                    continue
                if (why := worker.out_of_bounds(self._section, passed_ms, now)) is not None:
                    log.error(why, worker=worker.index, in_work=worker.current.read())
                    worker.condemned = True
                    worker.kill()
                    continue
                worker.write_frame(ping)

    # what they do

    @property
    def full(self) -> bool:
        """Whether no worker can take a stream: each is over its limit, or none is up."""
        return all(w.estimate.load > self._section.max_busy for w in self._ordinary if w.up)

    @property
    def places(self) -> tuple[int, int]:
        """How many workers are up, and how many there should be, without the one for heavy streams."""
        return sum(worker.up for worker in self._ordinary), self._section.count

    def loads(self) -> tuple[WorkerLoad, ...]:
        """Returns each worker's load as last measured."""
        return tuple(worker.load for worker in self._workers.values() if not worker.lost)

    @property
    def decoded(self) -> int:
        """Frames that all workers have decoded so far."""
        return self._totals["decoded"]

    @property
    def judged(self) -> int:
        """Samples that all workers have judged so far."""
        return self._totals["judged"]

    @property
    def preempted(self) -> int:
        """How often opportunistic work was preempted, in all workers so far."""
        return self._totals["gave_way"]

    @property
    def bank_searches_cut_short(self) -> int:
        """Bank searches of all workers so far that hit a bound."""
        return self._totals["bank_searches_cut_short"]

    @property
    def matching_failed(self) -> int:
        """Crashes of workers in the matcher and failed bank searches so far."""
        return self._totals["matching_crashes"] + self._totals["bank_searches_failed"]

    @property
    def bank_hashes(self) -> int:
        """Hashes of known footage in use, of the worker with the fewest."""
        return min((pong.bank_hashes for pong in self._pongs()), default=0)

    @property
    def banks_unreadable(self) -> int:
        """Unreadable banks, of the worker with the most."""
        return max((pong.banks_unreadable for pong in self._pongs()), default=0)

    def _pongs(self) -> list[worker_pb2.Pong]:
        """Returns the last pong of each worker that has sent one."""
        return [worker.pong for worker in self._workers.values() if not worker.lost and worker.pong.sequence]

    def streams_by_tier(self) -> dict[str, int]:
        """Returns the number of streams judged now, by ``calm``, ``alert`` and ``starting``."""
        pongs = self._pongs()
        return {
            "calm": sum(pong.calm_streams for pong in pongs),
            "alert": sum(pong.alert_streams for pong in pongs),
            "starting": sum(pong.starting_streams for pong in pongs),
        }
