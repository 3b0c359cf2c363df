"""A worker's loop in simulated time: real code, but each job takes the time that the test sets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

from edge.clock import ManualClock
from edge.contract.gen import worker_pb2
from edge.detect.double import ScriptedDetector
from edge.domain import AccessUnit, Sample
from edge.match import Matcher
from edge.policy import DecodingPolicy, MatchPolicy, Policy, TierPolicy
from edge.stream import StreamPipeline
from edge.stream.ports import Luma
from edge.stream.synthetic import EncodedMedia, encode
from edge.workers import video_jobs
from edge.workers.crash_attribution import CurrentStreamPage
from edge.workers.inbox import Command, Inbox
from edge.workers.ipc_framing import PushedUnit
from edge.workers.loop import WorkerLoop
from edge.workers.settings import WorkerSettings

START_MS = 10_000.0
POLICY = Policy(
    match=MatchPolicy(enabled=False),
    tiers=TierPolicy(start_alert_ms=0, alert_hold_ms=600_000, bitrate_jump=0.0),
    decoding=DecodingPolicy(share=1.0, window_ms=60_000),
)
"""Streams may cost what they want, so that only the worker's load decides."""


@cache
def media(seconds: int) -> EncodedMedia:
    """At 15 fps, GOP 1 s."""
    return encode(
        frames=15 * seconds, fps=15, gop=15, size=(48, 64), in_band=True, options={"tune": "zerolatency"}
    )


@dataclass
class SlowDetector(ScriptedDetector):
    """Takes its time on the simulated clock."""

    clock: ManualClock = field(default_factory=ManualClock)
    plane_ms: float = 1.0
    infer_ms: float = 5.0

    def plane(self, frame: Any) -> Luma:
        self.clock.advance_ms(self.plane_ms)
        return super().plane(frame)

    def infer(self, planes: Luma) -> Luma:
        self.clock.advance_ms(self.infer_ms)
        return planes


Message = tuple[float, Command | Callable[[WorkerLoop], None]]
"""A command at its time. A function in its place inspects the loop."""


class _Arrivals(Inbox):
    """Delivers each message at its time, and advances the clock while the loop is idle."""

    def __init__(self, clock: ManualClock, messages: Sequence[Message]) -> None:
        super().__init__(1)
        # Messages of the same time keep their order.
        self._clock, self._messages = clock, sorted(messages, key=lambda m: m[0])[::-1]
        self.loop: WorkerLoop
        self.at_the_end: dict[str, Any] = {}

    def get(self, wait_ms: float = 0.0) -> Command | None:
        if not self._messages:
            if not wait_ms:
                return None
            self.at_the_end = dict(self.loop._streams)
            return worker_pb2.ToWorker(shutdown=worker_pb2.Shutdown())
        time_ms, message = self._messages[-1]
        if time_ms > self._clock.monotonic_ms():
            if not wait_ms:
                return None
            self._clock.advance_ms(time_ms - self._clock.monotonic_ms())
        self._messages.pop()
        if callable(message):
            message(self.loop)
            return self.get(wait_ms)
        return message


@dataclass
class Outcome:
    """The outcome of each stream."""

    judged: dict[str, list[worker_pb2.Judged]]
    pipelines: dict[str, Any]
    pending: dict[str, int]
    said: Counter[str]
    """Notices by reason, including unsent ones."""


@dataclass(frozen=True)
class Stream:
    phase_ms: int
    alert: bool = False
    at_once: bool = False
    """All of it arrives at its beginning."""

    def late_ms(self, unit: AccessUnit) -> float:
        """How much later than its own time a unit arrives."""
        return self.phase_ms - (0.999 * unit.dts_ms if self.at_once else 0.0)


def simulate(
    streams: Sequence[Stream],
    infer_ms: float,
    *,
    seconds: int = 6,
    plane_ms: float = 1.0,
    frame_ms: Mapping[str, float] | None = None,
) -> Outcome:
    """Live streams of ``seconds`` at one worker. ``plane_ms`` is the cost of each of a sample's three
    frames, ``frame_ms`` that of decoding a frame, by stream."""
    messages: list[Message] = []
    for number, stream in enumerate(streams):
        ident = f"st{number}"
        opening = worker_pb2.OpenPush(
            stream_id=ident, codec="h264", policy_json=POLICY.model_dump_json(), alert=stream.alert
        )
        messages.append((START_MS, worker_pb2.ToWorker(open_push=opening)))
        messages += [
            (START_MS + 1 + unit.dts_ms + stream.late_ms(unit), pushed(ident, unit, stream.late_ms(unit)))
            for unit in media(seconds).units
        ]
    # At equal times the last stream's message comes first.
    events, found = play(messages[::-1], infer_ms, plane_ms=plane_ms, frame_ms=frame_ms)
    judged: dict[str, list[worker_pb2.Judged]] = {f"st{number}": [] for number in range(len(streams))}
    said: Counter[str] = Counter()
    for _, event in events:
        if event.WhichOneof("event") == "judged":
            judged[event.judged.stream_id].append(event.judged)
        elif event.WhichOneof("event") == "notice":
            said[event.notice.degraded.reason] += event.notice.degraded.count
    for owned in found.values():
        said.update(owned.unsaid)
    return Outcome(
        judged,
        {ident: owned.pipeline for ident, owned in found.items()},
        {ident: len(owned.samples) for ident, owned in found.items()},
        said,
    )


def play(
    messages: Sequence[Message],
    infer_ms: float = 5.0,
    *,
    plane_ms: float = 1.0,
    frame_ms: Mapping[str, float] | None = None,
    **settings: Any,
) -> tuple[list[tuple[float, worker_pb2.FromWorker]], dict[str, Any]]:
    """Runs one worker with these messages. Returns its events with their times, and its remaining streams.

    ``frame_ms`` is the cost of decoding a frame, by stream. It is 0 for all others.
    """
    clock = ManualClock(now_monotonic_ms=START_MS)
    detector = SlowDetector(clock=clock, infer_ms=infer_ms, plane_ms=plane_ms)
    events: list[tuple[float, worker_pb2.FromWorker]] = []
    values = {
        "max_queue_units": 1000,
        "max_queue_bytes": 50_000_000,
        "spare_load": 0.0,
        **settings,
    }
    loop = WorkerLoop(
        WorkerSettings(
            model_dir=Path(),
            bank_dir=Path(),
            max_access_unit_bytes=1_000_000,
            max_extradata_bytes=65_536,
            **values,
        ),
        detector,  # type: ignore[arg-type]
        Matcher.open(None),
        lambda event: events.append((clock.monotonic_ms(), event)),
        CurrentStreamPage(CurrentStreamPage.create()),
        clock,
    )
    arrivals = _Arrivals(clock, messages)
    arrivals.loop, loop.inbox = loop, arrivals
    costs_ms = frame_ms or {}

    def decoded(pipeline: StreamPipeline, unit: AccessUnit) -> tuple[Sample, ...]:
        before = pipeline._decoder.decoded
        samples = pipeline.decode(unit)
        clock.advance_ms(costs_ms.get(pipeline.stream_id, 0.0) * (pipeline._decoder.decoded - before))
        return samples

    with patch.object(video_jobs, "_decoded", decoded):
        loop.run()
    return events, arrivals.at_the_end


def pushed(ident: str, unit: AccessUnit, phase_ms: float) -> PushedUnit:
    """A unit that arrives ``phase_ms`` after its time."""
    return PushedUnit(ident, replace(unit, arrival_ms=START_MS + 1 + unit.dts_ms + phase_ms))
