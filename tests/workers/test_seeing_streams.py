"""A worker sees a firearm in single frames, in simulated time: soon, only where it is asked to, and never
at the samples' cost."""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.contract.gate import audio_to_proto
from edge.contract.gen import gate_pb2, worker_pb2
from edge.detect.audio.audio_model import AudioModel
from edge.detect.sight.frame_model import FrameModel
from edge.detect.sight.frame_scaler import FrameScaler, Rgb
from edge.domain import Action
from edge.policy import CategoryPolicy, Mode, Policy, TierPolicy, attack_rules
from edge.stream import resampler
from edge.stream.synthetic import EncodedMedia, encode, moving_square
from edge.workers.loop import WorkerLoop
from tests.conftest import require
from tests.detect.audio.tiny_audio_model import tiny_audio_onnx, tiny_spec
from tests.detect.sight.tiny_frame_model import tiny_frame_onnx, tiny_frame_spec
from tests.evidence.sounds import bursts, encoded_audio
from tests.workers.simulated import POLICY, START_MS, Message, media, play, pushed

SECONDS = 16
SHOWN = (6.0, 11.0)
"""When the firearm is in the frame, seconds."""
FIREARM = CategoryPolicy(alone=Action.FLAG, raise_at=0.4, flag_at=0.7, cut_at=1.0, release_at=0.3)
GUNFIRE = FIREARM.model_copy(update={"raise_at": 0.3, "flag_at": 0.6, "release_at": 0.2})


@cache
def model() -> FrameModel:
    return FrameModel.load(tiny_frame_spec(), tiny_frame_onnx(), Path("tiny.onnx"))


@cache
def armed(begin_s: float = SHOWN[0], end_s: float = SHOWN[1]) -> EncodedMedia:
    """At 15 fps, GOP 1 s. Bright frames show what the tiny model takes for a firearm."""

    def picture(index: int, height: int, width: int) -> Any:
        bright = begin_s <= index / 15 < end_s
        return np.full((height, width), 230, np.uint8) if bright else moving_square(index, height, width)

    return encode(
        frames=15 * SECONDS,
        fps=15,
        gop=15,
        size=(48, 64),
        in_band=True,
        picture=picture,
        options={"tune": "zerolatency"},
    )


def policy(
    on: Collection[str] = ("firearm",), mode: Mode = Mode.ENFORCE, **categories: CategoryPolicy
) -> Policy:
    found = {"fight": CategoryPolicy(), **dict.fromkeys(on, FIREARM), **categories}
    tiers = TierPolicy(start_alert_ms=0, bitrate_jump=0.0)
    return Policy.model_validate(POLICY.model_dump() | {"mode": mode, "categories": found, "tiers": tiers})


def looking(loop: WorkerLoop) -> None:
    loop._pictures.model = model()


def opened(chosen: Policy) -> worker_pb2.ToWorker:
    opening = worker_pb2.OpenPush(stream_id="st", codec="h264", policy_json=chosen.model_dump_json())
    return worker_pb2.ToWorker(open_push=opening)


def watched(
    shown: EncodedMedia,
    chosen: Policy | None = None,
    *more: Message,
    looks: Callable[[WorkerLoop], None] = looking,
    **costs: Any,
) -> list[tuple[float, worker_pb2.FromWorker]]:
    """A stream with these frames. Returns events by time."""
    messages: list[Message] = [
        (START_MS, looks),
        (START_MS, opened(chosen or policy())),
        *((START_MS + 1 + unit.dts_ms, pushed("st", unit, 0.0)) for unit in shown.units),
        *more,
    ]
    events, _ = play(messages, **costs)
    return [(time_ms - START_MS, event) for time_ms, event in events]


def judged(events: list[tuple[float, worker_pb2.FromWorker]]) -> list[tuple[float, Any]]:
    return [(time_ms, event.judged) for time_ms, event in events if event.WhichOneof("event") == "judged"]


def acted(events: list[tuple[float, worker_pb2.FromWorker]], action: int) -> list[tuple[float, Any]]:
    return [(time_ms, one) for time_ms, one in judged(events) if one.verdict.action == action]


def samples(events: list[tuple[float, worker_pb2.FromWorker]]) -> list[int]:
    return [one.verdict.pts_ms for _, one in judged(events) if not one.by_witness]


def counted(events: list[tuple[float, worker_pb2.FromWorker]], reason: str) -> int:
    return sum(
        event.notice.degraded.count
        for _, event in events
        if event.WhichOneof("event") == "notice" and event.notice.degraded.reason == reason
    )


def test_a_firearm_is_flagged_after_its_second_frame_and_once() -> None:
    events = watched(armed())
    ((time_ms, flag),) = acted(events, gate_pb2.ACTION_FLAG)
    assert 1000 * SHOWN[0] < time_ms < 1000 * SHOWN[0] + 3_500
    assert flag.by_witness
    verdict = flag.verdict
    assert (verdict.category, verdict.reason) == ("firearm", "detector")
    assert verdict.begin_pts_ms >= 1000 * SHOWN[0] - 1
    signal = verdict.signals[0]
    assert (signal.kind, signal.detail) == ("frame", "2 of 3 frames")
    assert signal.score > 0.7
    assert verdict.begin_pts_ms <= signal.pts_ms == verdict.pts_ms
    assert not acted(events, gate_pb2.ACTION_CUT)


def test_it_goes_on_while_it_is_seen_and_the_watermark_goes_on_after_it() -> None:
    events = watched(armed())
    signs = [time_ms for time_ms, one in judged(events) if one.going_on]
    assert signs
    assert max(signs) < 1000 * SHOWN[1] + 2_500
    assert max(one.cleared_pts_ms for _, one in judged(events)) > 1000 * (SECONDS - 2)


def test_a_first_frame_asks_to_look_closer() -> None:
    with_sight, blind = watched(armed()), watched(armed(), looks=lambda loop: None)
    before = [at for at in samples(blind) if at < 1000 * SHOWN[0]]
    assert samples(with_sight)[: len(before)] == before
    closer = [at for at in samples(with_sight) if 1000 * SHOWN[0] < at < 1000 * SHOWN[1]]
    assert len(closer) > 2 * len([at for at in samples(blind) if 1000 * SHOWN[0] < at < 1000 * SHOWN[1]])


def test_calm_streams_lose_nothing_and_are_looked_at_every_two_seconds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    times = count_pictures(monkeypatch)
    assert samples(watched(media(SECONDS))) == samples(watched(media(SECONDS), looks=lambda loop: None))
    assert len(times) == SECONDS / 2


def count_pictures(monkeypatch: pytest.MonkeyPatch) -> list[Rgb]:
    found: list[Rgb] = []
    scale = FrameScaler.picture

    def picture(scaler: FrameScaler, frame: Any) -> Rgb:
        found.append(scale(scaler, frame))
        return found[-1]

    monkeypatch.setattr(FrameScaler, "picture", picture)
    return found


@pytest.mark.parametrize(
    "chosen",
    [
        policy(()),
        policy(("gunfire",)),
        policy((), firearm=FIREARM.model_copy(update={"enabled": False})),
    ],
    ids=["none", "others", "switched off"],
)
def test_what_policy_has_off_costs_nothing(chosen: Policy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FrameScaler, "picture", lambda *_: pytest.fail("nobody wants it scaled"))
    monkeypatch.setattr(FrameModel, "infer", lambda *_: pytest.fail("nobody wants it judged"))
    events = watched(armed(), chosen)
    assert not [one for _, one in judged(events) if one.by_witness]


def test_a_policy_that_switches_it_off_ends_what_was_seen() -> None:
    off = worker_pb2.SetPolicy(stream_id="st", policy_json=policy(()).model_dump_json())
    events = watched(armed(), policy(), (START_MS + 9_000, worker_pb2.ToWorker(set_policy=off)))
    ((time_ms, _),) = acted(events, gate_pb2.ACTION_FLAG)
    assert time_ms < 9_000
    assert max(one.cleared_pts_ms for at, one in judged(events) if at < 1000 * SHOWN[1]) > 9_500


def test_a_policy_that_switches_it_on_is_followed_at_once() -> None:
    on = worker_pb2.SetPolicy(stream_id="st", policy_json=policy().model_dump_json())
    events = watched(armed(), policy(()), (START_MS + 4_000, worker_pb2.ToWorker(set_policy=on)))
    assert len(acted(events, gate_pb2.ACTION_FLAG)) == 1


def test_a_model_that_comes_later_looks_at_running_streams() -> None:
    def swapped(loop: WorkerLoop) -> None:
        looking(loop)
        for stream in loop._streams.values():
            loop._pictures.follow(stream)

    events = watched(armed(), policy(), (START_MS + 4_000, swapped), looks=lambda loop: None)
    assert len(acted(events, gate_pb2.ACTION_FLAG)) == 1


def test_frames_that_there_is_no_time_for_are_shed_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker stands still after a frame was taken."""
    scale = FrameScaler.picture
    loops: list[WorkerLoop] = []

    def stalled(scaler: FrameScaler, frame: Any) -> Rgb:
        loops[0]._clock.advance_ms(600)  # type: ignore[attr-defined]
        return scale(scaler, frame)

    def looks(loop: WorkerLoop) -> None:
        looking(loop)
        loops.append(loop)

    monkeypatch.setattr(FrameScaler, "picture", stalled)
    monkeypatch.setattr(FrameModel, "infer", lambda *_: pytest.fail("it is too late"))
    events = watched(media(SECONDS), looks=looks)
    assert counted(events, "picture_late") > 0
    assert not any(event.WhichOneof("event") == "closed" for _, event in events)


def test_frames_cost_no_sample_where_time_is_short(monkeypatch: pytest.MonkeyPatch) -> None:
    loops: list[WorkerLoop] = []
    infer = FrameModel.infer

    def usual(seen: FrameModel, picture: Rgb) -> Any:
        loops[0]._clock.advance_ms(10)  # type: ignore[attr-defined]
        return infer(seen, picture)

    def looks(loop: WorkerLoop) -> None:
        looking(loop)
        loops.append(loop)

    monkeypatch.setattr(FrameModel, "infer", usual)
    with_sight = watched(media(SECONDS), infer_ms=400, frame_ms={"st": 5}, looks=looks)
    without = watched(media(SECONDS), infer_ms=400, frame_ms={"st": 5}, looks=lambda loop: None)
    assert samples(with_sight) == samples(without)


def test_shadow_is_said_and_changes_nothing() -> None:
    events = watched(armed(), policy(mode=Mode.SHADOW))
    said = [one for _, one in judged(events) if one.verdict.shadow_action == gate_pb2.ACTION_FLAG]
    assert [(one.by_witness, one.verdict.category) for one in said] == [(True, "firearm")]
    assert not acted(events, gate_pb2.ACTION_FLAG)


def test_gunfire_and_a_firearm_cut_together_and_alone_only_flag() -> None:
    """The default rules, with both models: shots a few seconds before the weapon is shown."""
    require(resampler() is not None, "soxr")
    rules = attack_rules((0.6, 0.3), (0.7, 0.4), 0.5)
    chosen = policy(("firearm",), gunfire=GUNFIRE).model_copy(update={"rules": rules})
    ears = AudioModel.load(tiny_spec(), tiny_audio_onnx(), Path("tiny.onnx"))

    def both(loop: WorkerLoop) -> None:
        looking(loop)
        loop._audio.model = ears

    shots = tuple(4.0 + step / 10 for step in range(10))
    sound: list[Message] = [
        (
            START_MS + each.units[-1][0] + 22.0,
            worker_pb2.ToWorker(
                pushed_audio=worker_pb2.PushedAudio(
                    stream_id="st",
                    audio=audio_to_proto(each),
                    arrival_ms=START_MS + each.units[-1][0] + 22.0,
                )
            ),
        )
        for each in encoded_audio(bursts(SECONDS, shots), a_message=22)
    ]
    heard = watched(media(SECONDS), chosen, *sound, looks=both)
    assert [one.verdict.category for _, one in acted(heard, gate_pb2.ACTION_FLAG)] == ["gunfire"]
    assert not acted(heard, gate_pb2.ACTION_CUT)
    seen = watched(armed(), chosen, looks=both)
    assert [one.verdict.category for _, one in acted(seen, gate_pb2.ACTION_FLAG)] == ["firearm"]
    assert not acted(seen, gate_pb2.ACTION_CUT)

    together = watched(armed(), chosen, *sound, looks=both)
    ((time_ms, cut),) = acted(together, gate_pb2.ACTION_CUT)
    assert 1000 * SHOWN[0] < time_ms < 1000 * SHOWN[0] + 5_000
    assert cut.verdict.rule
    assert {(one.category, one.kind) for one in cut.verdict.signals} >= {
        ("gunfire", "audio"),
        ("firearm", "frame"),
    }
    in_game = watched(armed(), chosen.model_copy(update={"games": True}), *sound, looks=both)
    assert not acted(in_game, gate_pb2.ACTION_CUT)
