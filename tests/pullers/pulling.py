"""Pulls whose puller runs in a thread of the test, with everything else as in the gate."""

from __future__ import annotations

import asyncio
import socket
import threading
from contextlib import suppress

from edge.clock import SystemClock
from edge.contract.gen import gate_pb2, worker_pb2
from edge.domain import AccessUnit, Codec
from edge.errors import GateError
from edge.pullers.limits import PullLimits
from edge.pullers.pull import Pull, PullEvent
from edge.pullers.pull_url import PullUrl
from edge.pullers.puller import Puller
from edge.stream.synthetic import EncodedMedia

LIMITS = PullLimits(open_ms=15_000, stall_ms=15_000)


class PullerThread:
    """Takes the place of the process and of its launcher. It cannot be killed."""

    def __init__(self) -> None:
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.killed = False

    async def launch(self) -> tuple[PullerThread, socket.socket]:
        ours, self._theirs = socket.socketpair()
        self.exit_code: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.thread.start()
        return self, ours

    def kill(self) -> None:
        self.killed = True

    def release(self) -> None:
        pass

    def _run(self) -> None:
        with self._theirs, suppress(EOFError, SystemExit):
            Puller(self._theirs, SystemClock(), lambda request, url: worker_pb2.Contained()).run()


class PullInThread(Pull):
    def __init__(
        self,
        url: str,
        limits: PullLimits = LIMITS,
        networks: tuple[str, ...] = ("127.0.0.0/8", "::1/128"),
        *,
        audio_alone: bool = False,
        **options: str,
    ) -> None:
        target = PullUrl.parse(url)
        request = worker_pb2.OpenPull(
            url=target.url,
            options={**target.options("page"), **options},
            open_ms=limits.open_ms,
            stall_ms=limits.stall_ms,
            max_access_unit_bytes=limits.max_access_unit_bytes,
            networks=networks,
            audio_alone=audio_alone,
        )
        self.puller = PullerThread()
        super().__init__(target.shown, request, limits, self.puller)


async def until_end(pull: Pull) -> tuple[list[PullEvent], GateError | None]:
    """All events of a pull, and how it has ended."""
    events: list[PullEvent] = []
    try:
        while (event := await pull.next()) is not None:
            events.append(event)
    except GateError as error:
        return events, error
    return events, None


def pulled(url: str) -> tuple[EncodedMedia, int, GateError | None]:
    """The units of a whole pull, how often it reported that it was open, and how it ended."""
    pull = PullInThread(url)
    events, error = asyncio.run(until_end(pull))
    pull.puller.thread.join(10)
    assert not pull.puller.thread.is_alive()
    opened = [event for event in events if isinstance(event, worker_pb2.PullOpened)]
    units = tuple(event for event in events if isinstance(event, AccessUnit))
    assert not any(isinstance(event, gate_pb2.AudioUnits) for event in events)
    return EncodedMedia(Codec(opened[0].codec), opened[0].extradata, units), len(opened), error
