"""A scripted gate, real publishers and generated footage."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeVar

import av
import grpc
import numpy as np
import pytest
from grpc import aio

from edge.contract.gen import gate_pb2, gate_pb2_grpc
from edge.ingest import Event, IngestSettings, ReferenceIngest

T = TypeVar("T")


class ScriptedGate(gate_pb2_grpc.GateServicer):
    """A scripted gate on loopback. It records everything that it gets, in order."""

    def __init__(self) -> None:
        self.admits: list[gate_pb2.AdmitRequest] = []
        self.opens: list[gate_pb2.WatchOpen] = []
        self.units: list[gate_pb2.AccessUnit] = []
        self.ends: list[str] = []
        self.confirmed: list[gate_pb2.ConfirmCutRequest] = []
        self.released: list[str] = []
        self.watching = 0
        self.refuse: gate_pb2.AdmitResponse | None = None
        self.one_place = False
        """Whether a second stream is refused while one is watched."""
        self.cut_at_pts_ms: int | None = None
        self.clears = True
        """Whether the watermark follows the media."""
        self.opening_tier = gate_pb2.TierChange(tier=gate_pb2.TIER_KIND_ALERT)
        self.tier_at: dict[int, gate_pb2.TierChange] = {}
        """Tier changes by the number of access units received."""
        self.fail_after: int | None = None
        self.fail_with = grpc.StatusCode.UNAVAILABLE
        self.fault: str | None = None
        """What the gate says of whose fault it is; None for one that says nothing."""
        self.reason: str | None = None
        """The gate's word for the failure; None for one that says nothing."""
        self.admit_fails = False
        self.answers = True
        """Whether a Watch call is answered at all."""
        self.reads = True
        """Whether the gate reads media at all."""
        self.stop_after: int | None = None
        """Closes the call cleanly after this many access units."""
        self.address = ""
        self._server: aio.Server | None = None

    async def start(self) -> None:
        self._server = aio.server(options=[("grpc.so_reuseport", 0)])
        gate_pb2_grpc.add_GateServicer_to_server(self, self._server)
        port = self._server.add_insecure_port(self.address or "127.0.0.1:0")
        self.address = f"127.0.0.1:{port}"
        await self._server.start()

    async def stop(self) -> None:
        if self._server is not None:
            await self._server.stop(grace=None)

    async def Admit(self, request: gate_pb2.AdmitRequest, context: Any) -> gate_pb2.AdmitResponse:
        self.admits.append(request)
        if self.admit_fails:
            await context.abort(self.fail_with, "as told", self._trailing())
        if self.one_place and self.watching:
            return gate_pb2.AdmitResponse(allowed=False, reason=gate_pb2.REASON_CODE_QUOTA)
        return self.refuse or gate_pb2.AdmitResponse(
            allowed=True,
            stream_id=f"st_{len(self.admits)}",
            reason=gate_pb2.REASON_CODE_ADMITTED,
            watch_mode=gate_pb2.WATCH_MODE_PUSH,
        )

    def _trailing(self) -> tuple[tuple[str, str], ...]:
        said = {"edge-fault": self.fault, "edge-reason": self.reason}
        return tuple((name, word) for name, word in said.items() if word is not None)

    async def ConfirmCut(
        self, request: gate_pb2.ConfirmCutRequest, context: Any
    ) -> gate_pb2.ConfirmCutResponse:
        self.confirmed.append(request)
        return gate_pb2.ConfirmCutResponse(time_to_cut_ms=7.0)

    def Attach(self, request: gate_pb2.AttachRequest, context: Any) -> Any:
        raise NotImplementedError("this ingest pushes")

    async def Detach(self, request: gate_pb2.DetachRequest, context: Any) -> gate_pb2.DetachResponse:
        raise NotImplementedError("this ingest pushes")

    async def ReleaseStream(
        self, request: gate_pb2.ReleaseStreamRequest, context: Any
    ) -> gate_pb2.ReleaseStreamResponse:
        self.released.append(request.stream_id)
        return gate_pb2.ReleaseStreamResponse()

    async def Watch(self, request_iterator: Any, context: Any) -> AsyncIterator[gate_pb2.WatchResponse]:
        self.watching += 1
        seen = 0
        cleared = -1
        try:
            async for request in request_iterator:
                kind = request.WhichOneof("request")
                if kind == "open":
                    self.opens.append(request.open)
                    if not self.answers:
                        await asyncio.Event().wait()
                    yield gate_pb2.WatchResponse(
                        cleared_pts_ms=-1, opened=gate_pb2.Opened(tier=self.opening_tier)
                    )
                    if not self.reads:
                        await asyncio.Event().wait()
                elif kind == "end":
                    self.ends.append(request.end.reason)
                    return
                else:
                    unit = request.access_unit
                    self.units.append(unit)
                    seen += 1
                    cleared = unit.pts_ms if self.clears else -1
                    if self.cut_at_pts_ms is not None and unit.pts_ms >= self.cut_at_pts_ms:
                        cleared = min(cleared, self.cut_at_pts_ms - 1)
                        yield _verdict(gate_pb2.ACTION_CUT, unit.pts_ms, cleared)
                        return
                    if self.fail_after is not None and seen > self.fail_after:
                        await context.abort(self.fail_with, "as told", self._trailing())
                    if self.stop_after is not None and seen > self.stop_after:
                        return
                    if seen in self.tier_at:
                        yield gate_pb2.WatchResponse(cleared_pts_ms=cleared, tier=self.tier_at[seen])
                    yield _verdict(gate_pb2.ACTION_PASS, unit.pts_ms, cleared)
        finally:
            self.watching -= 1


def _verdict(action: gate_pb2.Action.ValueType, pts_ms: int, cleared_pts_ms: int) -> gate_pb2.WatchResponse:
    verdict = gate_pb2.Verdict(action=action, pts_ms=pts_ms, category="fight", reason="detector", score=0.9)
    if action == gate_pb2.ACTION_CUT:
        verdict.message.en, verdict.message.ar = "Your stream was cut.", "تم قطع البث."
    return gate_pb2.WatchResponse(cleared_pts_ms=cleared_pts_ms, verdict=verdict)


@dataclass
class Running:
    """A reference ingest and all events that it reported."""

    ingest: ReferenceIngest
    events: list[Event] = field(default_factory=list)

    def url(self, name: str = "cam", query: str = "user=u42&key=sek") -> str:
        return f"rtmp://127.0.0.1:{self.ingest.port}/live/{name}?{query}"

    def of(self, kind: type[T]) -> list[T]:
        return [event for event in self.events if isinstance(event, kind)]

    async def until(self, condition: Callable[[], object], seconds: float = 90.0) -> None:
        """Waits for something that must come. The time only bounds a failing test."""
        async with asyncio.timeout(seconds):
            while not condition():  # noqa: ASYNC110 (there is nothing to be told by)
                await asyncio.sleep(0.01)


_PUBLISH = """
import sys, time, av
path, url, pace = sys.argv[1], sys.argv[2], float(sys.argv[3])
sent = 0
try:
    with av.open(path) as source, av.open(url, "w", format="flv") as out:
        streams = {s.index: out.add_stream_from_template(s, opaque=True) for s in source.streams}
        for packet in source.demux():
            if packet.dts is None:
                continue
            time.sleep(pace)
            packet.stream = streams[packet.stream_index]
            out.mux(packet)
            sent += 1
except (av.error.FFmpegError, OSError) as error:
    print(sent, error)
else:
    print(sent)
"""


class Publisher:
    """FFmpeg's own RTMP client, which publishes an FLV file unchanged.

    It runs in its own process, because FFmpeg holds the GIL while it connects.
    """

    def __init__(self, path: Path, url: str, pace: float) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _PUBLISH, str(path), url, str(pace)], stdout=subprocess.PIPE, text=True
        )
        self.sent = 0
        self.error = ""

    async def done(self) -> None:
        """Waits until the publisher has ended, for whatever reason."""
        output, _ = await asyncio.to_thread(self._process.communicate, timeout=120)
        if self._process.returncode == 0:
            sent, _, self.error = output.strip().partition(" ")
            self.sent = int(sent)

    def kill(self) -> None:
        """Kills the publisher without a goodbye, as when a camera loses power."""
        self._process.kill()
        self._process.wait()


StartIngest = Callable[..., Awaitable[Running]]
StartPublisher = Callable[..., Publisher]


@pytest.fixture
async def gate() -> AsyncIterator[ScriptedGate]:
    gate = ScriptedGate()
    await gate.start()
    yield gate
    await gate.stop()


@pytest.fixture
async def run_ingest(gate: ScriptedGate) -> AsyncIterator[StartIngest]:
    """Starts an ingest on a free port beside the scripted gate."""
    started: list[Running] = []

    async def start(**settings: Any) -> Running:
        values = {"port": 0, "gate": gate.address, "retry_first_s": 0.05, **settings}
        running = Running(ReferenceIngest(IngestSettings.model_validate(values)))
        running.ingest._observer = running.events.append
        await running.ingest.start()
        started.append(running)
        return running

    yield start
    for running in started:
        await running.ingest.stop()


@pytest.fixture
def publish() -> Iterator[StartPublisher]:
    started: list[Publisher] = []

    def start(path: Path, url: str, pace: float = 0.0) -> Publisher:
        started.append(Publisher(path, url, pace))
        return started[-1]

    yield start
    for publisher in started:
        publisher.kill()


@pytest.fixture(scope="session")
def footage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten seconds at 25 frames a second, with B-frames, a keyframe each second and a tone."""
    path = tmp_path_factory.mktemp("footage") / "footage.flv"
    with av.open(str(path), "w", format="flv") as out:
        video = out.add_stream("libx264", rate=25, options={"preset": "ultrafast", "bf": "2", "crf": "30"})
        video.width, video.height, video.pix_fmt = 160, 120, "yuv420p"
        video.codec_context.gop_size = 25
        video.codec_context.max_b_frames = 2
        audio = out.add_stream("aac", rate=44100)
        for index in range(250):
            plane = np.full((180, 160), (index * 5) % 200, np.uint8)
            plane[: 20 + index % 60, :40] = 250
            frame = av.VideoFrame.from_ndarray(plane, format="yuv420p")
            frame.pts, frame.time_base = index, Fraction(1, 25)
            for packet in video.encode(frame):
                out.mux(packet)
        for index in range(0, 44100 * 10 - 1024, 1024):
            tone = np.sin(np.arange(index, index + 1024) * 0.05, dtype=np.float32)[None, :]
            sound = av.AudioFrame.from_ndarray(tone, format="fltp", layout="mono")
            sound.sample_rate, sound.pts, sound.time_base = 44100, index, Fraction(1, 44100)
            for packet in audio.encode(sound):
                out.mux(packet)
        for stream in (video, audio):
            for packet in stream.encode(None):
                out.mux(packet)
    return path
