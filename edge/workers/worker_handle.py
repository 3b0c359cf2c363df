"""One worker process as the supervisor sees it: how it is started, what it said last, what it may not do."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections import Counter
from dataclasses import dataclass, field

from edge.contract.gen import worker_pb2
from edge.telemetry.records import WorkerLoad
from edge.workers.crash_attribution import CurrentStreamPage
from edge.workers.load import LoadEstimate
from edge.workers.memory import resident_bytes
from edge.workers.settings import WorkerSettings, WorkersSection
from edge.workers.watchdog import Watchdog

_SOCKET_BUFFER_BYTES = 4 * 1024 * 1024
SLOW_BYTES = 8 * 1024 * 1024
"""What may wait for a worker that is at a long job, and does not read meanwhile, before callers wait."""


@dataclass(slots=True, eq=False)
class WorkerHandle:
    process: asyncio.subprocess.Process
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    current: CurrentStreamPage
    handle: int
    """Of the process (pidfd): its number may be another one's by the time that it is to be killed. -1 where
    there is none: an older kernel, or the process has ended."""
    watchdog: Watchdog = field(default_factory=Watchdog)
    index: int = -1
    """Its place; -1 while it is the spare one."""
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    streams: set[str] = field(default_factory=set)
    lost: bool = False
    condemned: bool = False
    """It was killed for what it did with its media."""
    estimate: LoadEstimate = field(default_factory=LoadEstimate)
    busy_share: float = 0.0
    """Share of the time between two pongs of late that was spent in jobs which had to be done."""
    voluntary_share: float = 0.0
    """The same of jobs that are given up when there is no time for them."""
    pong: worker_pb2.Pong = field(default_factory=worker_pb2.Pong)
    """The last."""
    _measured: tuple[worker_pb2.Pong | None, float] = (None, 0.0)
    """The pong since which its load is measured next, and when it came."""

    @classmethod
    async def launch(cls, settings: WorkerSettings) -> WorkerHandle:
        """Starts the process; it is ready once it says so. Raises OSError."""
        ours, theirs = socket.socketpair()
        page = CurrentStreamPage.create()
        try:
            for end in (ours, theirs):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SOCKET_BUFFER_BYTES)
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "edge.workers.process",
                str(theirs.fileno()),
                str(page),
                settings.model_dump_json(),
                pass_fds=(theirs.fileno(), page),
                stdin=asyncio.subprocess.DEVNULL,
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
        """Whether what was sent to it waits for it to read."""
        return self.writer.transport.get_write_buffer_size() > SLOW_BYTES

    def write_frame(self, raw: bytes) -> None:
        if not self.writer.is_closing():
            self.writer.write(raw)

    def kill(self) -> None:
        """At once, and without a word."""
        # Popen.kill would look whether it has ended first, and take its exit code from who waits for it.
        with contextlib.suppress(ProcessLookupError):
            if self.handle >= 0:
                signal.pidfd_send_signal(self.handle, signal.SIGKILL)
            elif self.process.returncode is None:
                os.kill(self.process.pid, signal.SIGKILL)

    def close(self) -> None:
        """Give back what is held for a process that has ended."""
        self.writer.close()
        self.current.close()
        if self.handle >= 0:
            os.close(self.handle)
            self.handle = -1

    async def end(self, within_s: float) -> None:
        """Wait until it has ended, and kill it when it takes longer."""
        try:
            await asyncio.wait_for(self.process.wait(), within_s)
        except TimeoutError:
            self.kill()
            await self.process.wait()
        self.close()

    def note_load(self, pong: worker_pb2.Pong, now_ms: float, every_ms: float) -> Counter[str]:
        """Takes its answer to a ping, of which there is one in ``every_ms``; what it has done since the last
        one."""
        before, self.pong = self.pong, pong
        since, since_ms = self._measured
        passed_ms = now_ms - since_ms
        # Answers that waited come together: there is no telling what share of a moment it was busy.
        if since is None or passed_ms >= every_ms / 2:
            if since is not None:
                voluntary_ms = pong.voluntary_ms - since.voluntary_ms
                self.voluntary_share = min(1.0, voluntary_ms / passed_ms)
                self.busy_share = min(1.0, (pong.busy_ms - since.busy_ms - voluntary_ms) / passed_ms)
                self.estimate.measured(self.busy_share, len(self.streams))
            self._measured = (pong, now_ms)
        return Counter(
            decoded=pong.decoded - before.decoded,
            judged=pong.judged - before.judged,
            bank_searches_cut_short=pong.bank_searches_cut_short - before.bank_searches_cut_short,
            gave_way=pong.gave_way - before.gave_way,
        )

    @property
    def load(self) -> WorkerLoad:
        return WorkerLoad(
            self.index,
            len(self.streams),
            self.busy_share,
            self.pong.resident_bytes,
            self.voluntary_share,
            self.pong.jobs,
        )

    def out_of_bounds(self, section: WorkersSection, passed_ms: float, now_ms: float) -> str | None:
        """Why it cannot go on; looked at from outside, as it may not answer. ``passed_ms``: since it was
        last looked at."""
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
