"""A double of the pullers without processes. Records the pulls; the test supplies their events."""

from __future__ import annotations

import asyncio

from edge.clock import Clock
from edge.contract.gen import gate_pb2, worker_pb2
from edge.domain import AccessUnit, StreamId
from edge.errors import GateError
from edge.pullers.pull import Pull, PullEvent
from edge.pullers.pullers import Pullers, PullSettings


class ScriptedPull(Pull):
    """A pull that gives what the test says."""

    def __init__(self, stream_id: StreamId, url: str, *, audio_alone: bool = False) -> None:
        self.stopped = False
        self.audio_alone = audio_alone
        self.stream_id = stream_id
        self.url = url
        self.wants_audio = False
        self._events: asyncio.Queue[PullEvent | GateError | None] = asyncio.Queue()

    async def next(self) -> PullEvent | None:
        event = await self._events.get()
        if self.stopped:
            return None
        if isinstance(event, GateError):
            raise event
        return event

    def stop(self) -> None:
        self.stopped = True
        self._events.put_nowait(None)

    def want_audio(self, wanted: bool) -> None:
        self.wants_audio = wanted

    def opens(self, codec: str = "h264", extradata: bytes = b"") -> None:
        self._events.put_nowait(worker_pb2.PullOpened(codec=codec, extradata=extradata))

    def brings(self, unit: AccessUnit) -> None:
        self._events.put_nowait(unit)

    def hears(self, audio: gate_pb2.AudioUnits) -> None:
        self._events.put_nowait(audio)

    def ends(self, error: GateError | None = None) -> None:
        self._events.put_nowait(error)


class RecordingPullers(Pullers):
    """Accepts every URL that the settings allow. ``open_at_once`` lets each source open by itself."""

    def __init__(self, settings: PullSettings, clock: Clock) -> None:
        super().__init__(settings, clock)
        self.pulls: list[ScriptedPull] = []
        self.open_at_once = True

    def pull(self, stream_id: StreamId, url: str, *, audio_alone: bool = False) -> ScriptedPull:
        self.check(url)
        pull = ScriptedPull(stream_id, url, audio_alone=audio_alone)
        self.pulls.append(pull)
        if self.open_at_once:
            pull.opens()
        return pull

    async def prepare(self) -> None:
        pass

    async def stop(self) -> None:
        pass

    def pulls_of(self, stream_id: str) -> list[ScriptedPull]:
        return [pull for pull in self.pulls if pull.stream_id == stream_id]
