"""A worker hears gunfire in simulated time: soon, only where it is asked to, and never at the video's
cost."""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from edge.contract.gate import audio_to_proto
from edge.contract.gen import gate_pb2, worker_pb2
from edge.detect.audio.audio_model import AudioModel
from edge.domain import Audio
from edge.policy import CategoryPolicy, Mode, Policy
from edge.stream import resampler
from edge.workers.loop import WorkerLoop
from tests.conftest import require
from tests.detect.audio.tiny_audio_model import tiny_audio_onnx, tiny_spec
from tests.evidence.sounds import bursts, encoded_audio
from tests.workers.simulated import POLICY, START_MS, Message, media, play, pushed

SECONDS = 10
SHOTS = (4.0, 4.1, 4.2, 4.3, 4.4, 4.5, 4.6, 4.7, 4.8, 4.9, 5.0)
CATEGORY = CategoryPolicy(raise_at=0.3, flag_at=0.6, cut_at=1.0, release_at=0.2)


@pytest.fixture(autouse=True)
def library() -> None:
    require(resampler() is not None, "soxr")


@cache
def model() -> AudioModel:
    return AudioModel.load(tiny_spec(), tiny_audio_onnx(), Path("tiny.onnx"))


def policy(on: Collection[str] = ("gunfire", "scream"), mode: Mode = Mode.ENFORCE) -> Policy:
    categories = {"fight": CategoryPolicy(), **dict.fromkeys(on, CATEGORY)}
    return Policy.model_validate(POLICY.model_dump() | {"mode": mode, "categories": categories})


@cache
def shots() -> tuple[Audio, ...]:
    return tuple(encoded_audio(bursts(SECONDS, SHOTS), a_message=22))


def listening(loop: WorkerLoop) -> None:
    loop._audio.model = model()


def sent(audio: Audio, at_ms: float) -> Message:
    command = worker_pb2.PushedAudio(stream_id="st", audio=audio_to_proto(audio), arrival_ms=START_MS + at_ms)
    return START_MS + at_ms, worker_pb2.ToWorker(pushed_audio=command)


def end_ms(audio: Audio) -> float:
    return audio.units[-1][0] + 22.0


def watched(
    audio: Collection[Audio],
    chosen: Policy | None = None,
    *more: Message,
    listens: Callable[[WorkerLoop], None] = listening,
    **costs: Any,
) -> list[tuple[float, worker_pb2.FromWorker]]:
    """A stream with this sound, which comes as soon as it is over. Returns events by time."""
    opening = worker_pb2.OpenPush(
        stream_id="st", codec="h264", policy_json=(chosen or policy()).model_dump_json()
    )
    messages: list[Message] = [
        (START_MS, listens),
        (START_MS, worker_pb2.ToWorker(open_push=opening)),
        *((START_MS + 1 + unit.dts_ms, pushed("st", unit, 0.0)) for unit in media(SECONDS).units),
        *(sent(each, end_ms(each)) for each in audio),
        *more,
    ]
    events, _ = play(messages, **costs)
    return [(time_ms - START_MS, event) for time_ms, event in events]


def flags(events: list[tuple[float, worker_pb2.FromWorker]]) -> list[tuple[float, Any]]:
    return [
        (time_ms, event.judged)
        for time_ms, event in events
        if event.WhichOneof("event") == "judged" and event.judged.verdict.action == gate_pb2.ACTION_FLAG
    ]


def counted(events: list[tuple[float, worker_pb2.FromWorker]], reason: str) -> int:
    return sum(
        event.notice.degraded.count
        for _, event in events
        if event.WhichOneof("event") == "notice" and event.notice.degraded.reason == reason
    )


def wishes(events: list[tuple[float, worker_pb2.FromWorker]]) -> list[bool]:
    return [
        event.tier_changed.tier.audio_wanted
        for _, event in events
        if event.WhichOneof("event") == "tier_changed"
    ]


def pictures(events: list[tuple[float, worker_pb2.FromWorker]]) -> list[int]:
    judged = [event.judged for _, event in events if event.WhichOneof("event") == "judged"]
    return [one.verdict.pts_ms for one in judged if not one.by_witness]


def test_gunfire_is_flagged_within_two_and_a_half_seconds() -> None:
    events = watched(shots())
    ((time_ms, judged), *_) = flags(events)
    assert time_ms - 1000 * SHOTS[0] < 2_500
    assert judged.by_witness
    verdict = judged.verdict
    assert (verdict.category, verdict.reason) == ("gunfire", "detector")
    assert 3_000 < verdict.begin_pts_ms < 1000 * SHOTS[0] < verdict.pts_ms < 6_500
    assert verdict.signals[0].source == "detect"
    assert verdict.latency_ms < 1_000
    assert judged.trace.arrival_ms == judged.arrival_ms
    assert len(flags(events)) == 1, "one episode is one FLAG"
    assert wishes(events)[0]


def test_audio_without_any_frame_is_judged() -> None:
    opening = worker_pb2.OpenPush(stream_id="st", codec="h264", policy_json=policy().model_dump_json())
    messages: list[Message] = [
        (START_MS, listening),
        (START_MS, worker_pb2.ToWorker(open_push=opening)),
        *(sent(each, end_ms(each)) for each in shots()),
    ]
    events, _ = play(messages)
    ((time_ms, judged),) = flags([(time_ms - START_MS, event) for time_ms, event in events])
    assert time_ms - 1000 * SHOTS[0] < 2_500
    assert judged.verdict.category == "gunfire"
    assert judged.cleared_pts_ms == -1, "no frame was passed"


def test_what_goes_on_is_said_to_go_on_and_then_over() -> None:
    roar = tuple(encoded_audio(bursts(SECONDS, [t / 10 for t in range(20, 98)]), a_message=22))
    events = watched(roar)
    signs = [(t, e.judged) for t, e in events if e.WhichOneof("event") == "judged" and e.judged.going_on]
    assert len(signs) > 8
    assert {sign.going_on[0].category for _, sign in signs} == {"gunfire"}


def test_audio_clears_no_frame_and_asks_to_look_closer() -> None:
    with_audio, silent = watched(shots()), watched(())
    assert pictures(with_audio)[:5] == pictures(silent)[:5]
    assert len(pictures(with_audio)) > len(pictures(silent)) + 5
    judged = [e.judged for _, e in with_audio if e.WhichOneof("event") == "judged"]
    by_witness = [one for one in judged if one.by_witness]
    last_cleared = max(e.judged.cleared_pts_ms for _, e in with_audio if e.WhichOneof("event") == "judged")
    assert by_witness[0].cleared_pts_ms < 1000 * SHOTS[-1]
    assert last_cleared > 9_000, "and the watermark goes on once it is over"


def test_a_stream_without_audio_loses_nothing() -> None:
    deaf = watched((), listens=lambda loop: None)
    assert pictures(watched(())) == pictures(deaf)
    assert (wishes(deaf)[0], wishes(watched(()))[0]) == (False, True)


def switched_off() -> Policy:
    off = CATEGORY.model_copy(update={"enabled": False})
    categories = {name: off for name in ("gunfire", "explosion", "scream")}
    return policy(()).model_copy(update={"categories": categories})


@pytest.mark.parametrize(
    "chosen", [policy(()), policy(("firearm",)), switched_off()], ids=["none", "others", "switched off"]
)
def test_what_policy_has_off_costs_nothing(chosen: Policy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AudioModel, "infer", lambda *_: pytest.fail("nobody wants it"))
    monkeypatch.setattr("edge.stream.audio._open", lambda *_: pytest.fail("nobody wants it decoded"))
    events = watched(shots(), chosen)
    assert not any(wishes(events))
    assert flags(events) == []


def test_a_policy_that_switches_it_off_ends_what_was_heard() -> None:
    off = worker_pb2.SetPolicy(stream_id="st", policy_json=policy(()).model_dump_json())
    events = watched(shots(), policy(), (START_MS + 5_200, worker_pb2.ToWorker(set_policy=off)))
    assert wishes(events)[-1] is False
    judged = [e.judged for _, e in events if e.WhichOneof("event") == "judged" and not e.judged.by_witness]
    assert judged[-1].cleared_pts_ms > 9_000


def test_audio_that_stops_holds_nothing_back() -> None:
    until = tuple(each for each in shots() if each.units[0][0] < 4_900)
    events = watched(until)
    assert len(flags(events)) == 1
    cleared = [e.judged.cleared_pts_ms for _, e in events if e.WhichOneof("event") == "judged"]
    assert cleared[-1] > 9_000, "the watermark is not frozen by the last thing that was heard"


def test_audio_that_is_late_is_shed_and_counted() -> None:
    """The worker stands still for five seconds."""

    def stands_still(loop: WorkerLoop) -> None:
        loop._clock.advance_ms(5_000)  # type: ignore[attr-defined]

    events = watched(shots(), policy(), (START_MS + 3_900, stands_still))
    assert counted(events, "audio_late") > 0
    assert not any(event.WhichOneof("event") == "closed" for _, event in events)


def test_more_audio_than_can_wait_is_counted() -> None:
    flood = [sent(each, 4_000) for each in shots()]
    events = watched((), policy(), *flood)
    assert counted(events, "audio_too_much") > 0


def test_audio_of_another_time_base_is_heard_as_well() -> None:
    moved = [Audio(a.codec, a.extradata, tuple((7, data) for _, data in a.units)) for a in shots()]
    came = [sent(late, end_ms(each)) for each, late in zip(shots(), moved, strict=True)]
    assert len(flags(watched((), policy(), *came))) == 1


def test_a_model_that_comes_later_is_used_at_once() -> None:
    events = watched(shots(), policy(), (START_MS + 2_000, listening), listens=lambda loop: None)
    assert wishes(events)[0] is False
    assert wishes(events)[-1] is True
    assert len(flags(events)) == 1
