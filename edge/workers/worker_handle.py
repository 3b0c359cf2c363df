"""One worker process as the supervisor sees it: its launch, its last report and its bounds."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections import Counter
from dataclasses import dataclass, field

from edge.containment import contained_environment
from edge.contract.gen import worker_pb2
from edge.telemetry.records import WorkerLoad
from edge.workers.crash_attribution import CurrentStreamPage
from edge.workers.load import LoadEstimate
from edge.workers.memory import resident_bytes
from edge.workers.settings import WorkerSettings, WorkersSection
from edge.workers.watchdog import Watchdog

_SOCKET_BUFFER_BYTES = 4 * 1024 * 1024
SLOW_BYTES = 8 * 1024 * 1024
"""Bytes that may wait for a worker in a long job before callers are held back."""


@dataclass(slots=True, eq=False)
class WorkerHandle:
    process: asyncio.subprocess.Process
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    current: CurrentStreamPage
    handle: int
    """The process as a pidfd, because its process id may be reused before it is killed. -1 without a pidfd:
    on an older kernel, or once the process has ended."""
    watchdog: Watchdog = field(default_factory=Watchdog)
    index: int = -1
    """Place in the pool; -1 for the standby."""
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    refusal: str = ""
    """Why it cannot judge at all."""
    streams: set[str] = field(default_factory=set)
    lost: bool = False
    condemned: bool = False
    """The supervisor killed it for what it did with its media."""
    retired: bool = False
    """The supervisor ended it for no fault of its own or of its streams."""
    estimate: LoadEstimate = field(default_factory=LoadEstimate)
    busy_share: float = 0.0
    """Share of the time between the last two measured pongs that went into due jobs."""
    opportunistic_share: float = 0.0
    """The same for opportunistic jobs, which are preempted when there is no time for them."""
    pong: worker_pb2.Pong = field(default_factory=worker_pb2.Pong)
    """The last pong."""
    _measured: tuple[worker_pb2.Pong | None, float] = (None, 0.0)
    """The pong from which the next load is measured, and when it came."""

    @classmethod
    async def launch(cls, settings: WorkerSettings) -> WorkerHandle:
        """Starts the process. It is ready once it says so. Raises OSError."""
        ours, theirs = socket.socketpair()
        page = CurrentStreamPage.create()
        try:
            for end in (ours, theirs):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SOCKET_BUFFER_BYTES)
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "edge.workers",
                str(theirs.fileno()),
                str(page),
                settings.model_dump_json(),
                pass_fds=(theirs.fileno(), page),
                stdin=asyncio.subprocess.DEVNULL,
                env=contained_environment(),
            )
            handle = _handle_of(process.pid)
            current = CurrentStreamPage(page)
        finally:
            theirs.close()
            os.close(page)
        ours.setblocking(False)
        reader, writer = await asyncio.open_connection(sock=ours, limit=_SOCKET_BUFFER_BYTES)
        writer.transport.set_write_buffer_limits(high=SLOW_BYTES)
        return cls(process, reader, writer, current, handle)

    @property
    def up(self) -> bool:
        return self.ready.is_set() and not self.lost

    @property
    def slow(self) -> bool:
        """Whether too many bytes wait for the worker to read them."""
        return self.writer.transport.get_write_buffer_size() > SLOW_BYTES

    def write_frame(self, raw: bytes) -> None:
        if not self.writer.is_closing():
            self.writer.write(raw)

    def kill(self) -> None:
        """Kills the process at once."""
        # Popen.kill would poll first and so take the exit code from whoever waits for it.
        with contextlib.suppress(ProcessLookupError):
            if self.handle >= 0:
                signal.pidfd_send_signal(self.handle, signal.SIGKILL)
            elif self.process.returncode is None:
                os.kill(self.process.pid, signal.SIGKILL)

    def close(self) -> None:
        """Releases the resources of a process that has ended."""
        self.writer.close()
        self.current.close()
        if self.handle >= 0:
            os.close(self.handle)
            self.handle = -1

    async def end(self, within_s: float) -> None:
        """Waits for the process to end, and kills it after ``within_s``."""
        try:
            await asyncio.wait_for(self.process.wait(), within_s)
        except TimeoutError:
            self.kill()
            await self.process.wait()
        self.close()

    def note_load(self, pong: worker_pb2.Pong, now_ms: float, every_ms: float) -> Counter[str]:
        """Takes the answer to a ping, sent every ``every_ms``. Returns what the worker has done since the
        last one."""
        before, self.pong = self.pong, pong
        since, since_ms = self._measured
        passed_ms = now_ms - since_ms
        # Delayed answers arrive together, and the busy share of a moment says nothing.
        if since is None or passed_ms >= every_ms / 2:
            if since is not None:
                voluntary_ms = pong.voluntary_ms - since.voluntary_ms
                self.opportunistic_share = min(1.0, voluntary_ms / passed_ms)
                self.busy_share = min(1.0, (pong.busy_ms - since.busy_ms - voluntary_ms) / passed_ms)
                self.estimate.measured(self.busy_share)
            self._measured = (pong, now_ms)
        return Counter(
            decoded=pong.decoded - before.decoded,
            judged=pong.judged - before.judged,
            bank_searches_cut_short=pong.bank_searches_cut_short - before.bank_searches_cut_short,
            bank_searches_failed=pong.bank_searches_failed - before.bank_searches_failed,
            gave_way=pong.gave_way - before.gave_way,
        )

    @property
    def load(self) -> WorkerLoad:
        return WorkerLoad(
            self.index,
            len(self.streams),
            self.busy_share,
            self.pong.resident_bytes,
            self.opportunistic_share,
            self.pong.jobs,
        )

    def out_of_bounds(self, section: WorkersSection, passed_ms: float, now_ms: float) -> str | None:
        """Returns why the worker must be killed, or None.

        Looks from outside, because the worker may not answer. ``passed_ms`` is the time since the last
        look.
        """
        self.watchdog.beat(passed_ms, section.heartbeat_ms, self.current.since_ms(), now_ms)
        if self.watchdog.silent_ms > section.hang_ms:
            return f"worker hangs: no answer for {section.hang_ms} ms"
        if self.watchdog.job_ms > section.job_ms:
            return f"worker hangs in one job for more than {section.job_ms} ms"
        if (resident := resident_bytes(self.process.pid)) > section.max_resident_mb * 2**20:
            return f"worker holds {resident // 2**20} MB, the limit is {section.max_resident_mb} MB"
        return None


def _handle_of(pid: int) -> int:
    try:
        return os.pidfd_open(pid)
    except OSError:
        return -1
