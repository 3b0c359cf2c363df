"""The pullers, supervisor side: keeps their template running and starts and ends one process a pull."""

from __future__ import annotations

import asyncio
import itertools
import os
import socket
import sys
import weakref
from dataclasses import dataclass, field
from typing import Final

import structlog

from edge.background import BackgroundTasks
from edge.clock import Clock
from edge.containment import ContainmentMode, contained_environment
from edge.contract.gen import worker_pb2
from edge.domain import StreamId, pull_token
from edge.errors import SourceStalled
from edge.pull_sources import LOOPBACK, PullSources
from edge.pullers.limits import PullLimits
from edge.pullers.protocol import ENDED, FORK, KILL, REQUEST
from edge.pullers.pull import Pull
from edge.pullers.pull_url import PullUrl

_SOCKET_BYTES: Final = 1024 * 1024
_RELEASE_S: Final = 1.0
"""How long a puller whose socket is closed may take to end. One that waits for its source does not notice."""
_LATE: Final = 2.0
"""Most beats that one late beat of the watchdog counts for: the supervisor itself may stand still."""
_GONE: Final = -9
"""Exit code of the pullers of a template that has died: the kernel kills them."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class PullSettings:
    """Which places may be pulled, and the limits of each pull."""

    sources: PullSources = field(default_factory=lambda: PullSources.of(LOOPBACK))
    limits: PullLimits = field(default_factory=PullLimits)
    containment: ContainmentMode = ContainmentMode.TRY
    options: dict[str, str] = field(default_factory=dict)
    """Further options for FFmpeg's ``avformat_open_input``."""


class Pullers:
    """Starts pulls. Belongs to one event loop."""

    def __init__(self, settings: PullSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._template: _Template | None = None
        self._launching = asyncio.Lock()
        self._tasks = BackgroundTasks()
        self._pulls: weakref.WeakSet[Pull] = weakref.WeakSet()
        self._watchdog: asyncio.Task[None] | None = None

    def set_settings(self, settings: PullSettings) -> None:
        """For the pulls that begin from now on."""
        self._settings = settings

    def check(self, url: str) -> None:
        """Raises InvalidInput for a URL that must not be pulled."""
        self._allowed(url)

    def pull(self, stream_id: StreamId, url: str, *, audio_alone: bool = False) -> Pull:
        """Returns a pull, not yet started. ``audio_alone``: it goes on where no video comes, and brings audio
        as far as it is wanted. Raises as ``check``."""
        settings = self._settings
        target = self._allowed(url)
        request = worker_pb2.OpenPull(
            url=target.url,
            options={**target.options(pull_token(stream_id)), **settings.options},
            open_ms=settings.limits.open_ms,
            stall_ms=settings.limits.stall_ms,
            max_access_unit_bytes=settings.limits.max_access_unit_bytes,
            containment=settings.containment,
            networks=settings.sources.networks(target.scheme, target.port),
            audio_alone=audio_alone,
        )
        pull = Pull(target.shown, request, settings.limits, self)
        self._pulls.add(pull)
        if self._watchdog is None:
            self._watchdog = self._tasks.keep(self._watch)
        return pull

    def _allowed(self, url: str) -> PullUrl:
        target = PullUrl.parse(url)
        self._settings.sources.check(target.scheme, target.host, target.port)
        return target

    async def prepare(self) -> None:
        """Starts the template, so that the first pull need not wait for it."""
        async with self._launching:
            if self._template is None or self._template.ended:
                self._template = await _Template.start()

    async def launch(self) -> tuple[_Puller, socket.socket]:
        """Starts a puller, for ``Pull``. Raises SourceStalled where that is not possible now."""
        try:
            await self.prepare()
            assert self._template is not None
            return self._template.fork()
        except OSError as error:
            raise SourceStalled(f"no puller can be started: {error.strerror or error}") from None

    async def stop(self) -> None:
        """Ends all pulls and their processes."""
        await self._tasks.aclose()
        for pull in list(self._pulls):
            pull.stop()
        if self._template is not None:
            await self._template.stop()

    async def _watch(self) -> None:
        limits = self._settings.limits
        every_ms = min(limits.open_ms, limits.stall_ms, 1000) / 4
        before = self._clock.monotonic_ms()
        while True:
            await asyncio.sleep(every_ms / 1000)
            now = self._clock.monotonic_ms()
            passed_ms, before = min(now - before, _LATE * every_ms), now
            for pull in list(self._pulls):
                pull.beat(passed_ms)


class _Puller:
    """One puller, reached through its template."""

    def __init__(self, template: _Template, number: int) -> None:
        self._template = template
        self._number = number
        self._released = False
        self.exit_code: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def kill(self) -> None:
        if not self.exit_code.done():
            self._template.ask(self._number, KILL)

    def release(self) -> None:
        if not self._released and not self.exit_code.done():
            self._released = True
            asyncio.get_running_loop().call_later(_RELEASE_S, self.kill)


class _Template:
    """The running template and its pullers."""

    def __init__(self, process: asyncio.subprocess.Process, control: socket.socket) -> None:
        self.ended = False
        self._process = process
        self._control = control
        self._pullers: dict[int, _Puller] = {}
        self._numbers = itertools.count(1)
        control.setblocking(False)
        asyncio.get_running_loop().add_reader(control.fileno(), self._hear)

    @classmethod
    async def start(cls) -> _Template:
        """Starts it. Requests may be sent at once. Raises OSError."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            try:
                process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    "-m",
                    "edge.pullers.template",
                    str(theirs.fileno()),
                    str(os.getpid()),
                    pass_fds=(theirs.fileno(),),
                    stdin=asyncio.subprocess.DEVNULL,
                    env=contained_environment(),
                )
            except BaseException:
                ours.close()
                raise
        return cls(process, ours)

    def fork(self) -> tuple[_Puller, socket.socket]:
        """Asks for a puller. Raises OSError."""
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SOCKET_BYTES)
                number = next(self._numbers)
                socket.send_fds(self._control, [REQUEST.pack(number, FORK)], [theirs.fileno()])
        except OSError:
            ours.close()
            raise
        puller = self._pullers[number] = _Puller(self, number)
        return puller, ours

    def ask(self, number: int, what: int) -> None:
        """Sends a request about a puller. A template that does not take it is killed with all its
        pullers."""
        if self.ended:
            return
        try:
            self._control.send(REQUEST.pack(number, what))
        except OSError as error:
            log.error("the template of the pullers does not answer", error=str(error))
            self._kill()

    async def stop(self) -> None:
        self._close()
        self._kill()
        await self._process.wait()

    def _hear(self) -> None:
        while not self.ended:
            try:
                raw = self._control.recv(ENDED.size)
            except BlockingIOError:
                return
            except OSError:
                raw = b""
            if len(raw) != ENDED.size:
                log.error("the template of the pullers has died", pullers=len(self._pullers))
                self._close()
                self._kill()
                return
            number, code = ENDED.unpack(raw)
            puller = self._pullers.pop(number, None)
            if puller is not None and not puller.exit_code.done():
                puller.exit_code.set_result(code)

    def _close(self) -> None:
        if self.ended:
            return
        self.ended = True
        asyncio.get_running_loop().remove_reader(self._control.fileno())
        self._control.close()
        for puller in self._pullers.values():
            puller.exit_code.set_result(_GONE)
        self._pullers.clear()

    def _kill(self) -> None:
        if self._process.returncode is None:
            self._process.kill()
