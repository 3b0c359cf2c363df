"""One pull as the supervisor sees it: its puller's messages, its watchdog and its end."""

from __future__ import annotations

import asyncio
import signal
import socket
from typing import Final, Protocol

from edge.contract.gen import gate_pb2, worker_pb2
from edge.domain import MAX_AUDIO_BYTES, MAX_AUDIO_UNITS, AccessUnit
from edge.errors import BrokenSource, GateError, SourceStalled, WorkerLost
from edge.pullers.limits import PullLimits
from edge.pullers.protocol import NO_AUDIO, NOT_FORKED, WANTS_AUDIO
from edge.reasons import CloseReason
from edge.workers import ipc_framing
from edge.workers.closing import error_of

CRASHES: Final = frozenset(
    -number
    for number in (signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGABRT, signal.SIGSYS)
)
"""Exit codes of a process that ends by what it does itself: here by what the source's bytes make it do."""
_STATUS_S: Final = 2.0
"""How long a puller's exit code may take after the end of its socket."""
_READ_BYTES: Final = 256 * 1024
_AROUND_BYTES: Final = (MAX_AUDIO_UNITS + 2) * MAX_AUDIO_BYTES
"""What a message may hold beside an access unit of the largest size."""
_DETAIL_CHARS: Final = 1024

PullEvent = worker_pb2.PullOpened | AccessUnit | gate_pb2.AudioUnits


class PullerProcess(Protocol):
    """The process of one pull."""

    exit_code: asyncio.Future[int]

    def kill(self) -> None:
        """Kills it at once."""

    def release(self) -> None:
        """Gives it a moment to end by itself, now that its socket is closed, and kills it after that."""


class Launcher(Protocol):
    async def launch(self) -> tuple[PullerProcess, socket.socket]:
        """Starts a puller. Raises SourceStalled where that is not possible now."""
        ...


class Pull:
    """One pull, from its start to its end. The first ``next`` starts its puller.

    The puller is not trusted: what it says is bounded, and the watchdog is here. The time that the caller
    takes between two calls of ``next`` does not count for it.
    """

    def __init__(
        self, shown: str, request: worker_pb2.OpenPull, limits: PullLimits, launcher: Launcher
    ) -> None:
        """``shown`` is the URL without secrets, for errors."""
        self.stopped = False
        """``stop`` was called."""
        self._shown = shown
        self._request = request
        self._limits = limits
        self._launcher = launcher
        self._process: PullerProcess | None = None
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._wants_audio = False
        self._opened = self._alone = False
        self._waits = False
        self._waited_ms = 0.0
        self._stalled: SourceStalled | None = None

    async def next(self) -> PullEvent | None:
        """Returns the next event: ``PullOpened`` once, then access units and audio.

        Returns None when the stream has ended in order, or after ``stop``. Raises SourceStalled, BrokenSource
        or an error about the media when it has ended otherwise. The puller ends then. The arrival of a unit
        is not set.
        """
        self._waits = True
        event: PullEvent | None = None
        try:
            event = await self._next()
        except GateError:
            if not self.stopped:
                raise
        finally:
            self._waits = False
            if event is None:
                self._end(kill=True)
        if self.stopped:
            return None
        if self._alone or not isinstance(event, gate_pb2.AudioUnits):  # the watchdog waits for video
            self._waited_ms = 0.0
        return event

    def stop(self) -> None:
        """Ends the pull. A ``next`` that waits returns None. The connection closes within a second."""
        self.stopped = True
        self._end(kill=False)

    def want_audio(self, wanted: bool) -> None:
        """Says whether audio is of use. At first it is not."""
        if wanted != self._wants_audio:
            self._wants_audio = wanted
            if self._writer is not None:
                self._writer.write(WANTS_AUDIO if wanted else NO_AUDIO)

    def beat(self, passed_ms: float) -> None:
        """Counts time of the watchdog. Ends the pull where no video has come for too long."""
        if not self._waits or self._stalled is not None:
            return
        self._waited_ms += passed_ms
        if self._waited_ms > self._limits.wait_ms(opened=self._opened):
            stalled = self._limits.stalled(opened=self._opened)
            self._stalled = SourceStalled(f"{self._shown}: {stalled}")
            self._end(kill=True)

    async def _next(self) -> PullEvent | None:
        if self._reader is None:
            self._reader = await self._start()
        limit = self._limits.max_access_unit_bytes + _AROUND_BYTES
        try:
            message = await ipc_framing.read_pulled(self._reader, limit)
        except WorkerLost as error:
            raise BrokenSource(f"{self._shown}: {error}") from None
        if isinstance(message, AccessUnit):
            if self._opened and not self._alone:
                return message
            raise BrokenSource(f"{self._shown}: its puller sent an access unit that nothing announced")
        if message is None:
            raise await self._lost()
        match message.WhichOneof("event"):
            case "opened" if not self._opened:
                self._opened = True
                self._alone = self._request.audio_alone and not message.opened.codec
                return message.opened
            case "audio":
                return message.audio
            case "ended":
                self._raise_unless_clean(message.ended)
                return None
        raise BrokenSource(f"{self._shown}: its puller sent what is not expected now")

    async def _start(self) -> asyncio.StreamReader:
        self._process, connection = await self._launcher.launch()
        connection.setblocking(False)
        reader, self._writer = await asyncio.open_connection(sock=connection, limit=_READ_BYTES)
        if self.stopped or self._stalled is not None:
            self._end(kill=True)
        self._writer.write(ipc_framing.frame(self._request))
        if self._wants_audio:
            self._writer.write(WANTS_AUDIO)
        return reader

    def _raise_unless_clean(self, ended: worker_pb2.Closed) -> None:
        """Raises the error by which the stream has ended, if it has not ended in order."""
        if CloseReason(ended.reason).is_clean:
            return
        detail = ended.detail[:_DETAIL_CHARS]
        ended.detail = detail if ended.HasField("wrong") else f"{self._shown}: {detail}"
        raise error_of(ended)

    async def _lost(self) -> GateError:
        """Returns why the puller is gone without a word."""
        if self.stopped or self._stalled is not None:
            return self._stalled or SourceStalled(f"{self._shown}: stopped")
        assert self._process is not None
        try:
            code = await asyncio.wait_for(asyncio.shield(self._process.exit_code), _STATUS_S)
        except TimeoutError:
            return SourceStalled(f"{self._shown}: its puller has closed its socket")
        if code == NOT_FORKED:
            return SourceStalled(f"{self._shown}: no process for its puller")
        kind = BrokenSource if code in CRASHES else SourceStalled
        return kind(f"{self._shown}: its puller ended with exit code {code}")

    def _end(self, *, kill: bool) -> None:
        if self._writer is not None:
            self._writer.transport.abort()
        if self._process is not None:
            self._process.kill() if kill else self._process.release()
