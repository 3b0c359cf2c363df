"""How streams of a worker end, in simulated time: by themselves, without a keyframe, or by a fault."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

from edge.contract.gen import worker_pb2
from edge.detect.loaded_pack import LoadedPack
from edge.domain import AccessUnit
from edge.policy import MatchPolicy, Policy, TierPolicy
from edge.workers.ipc_framing import PushedUnit
from edge.workers.loop import WorkerLoop
from edge.workers.models import ModelArrived
from edge.workers.worker_stream import WorkerStream
from tests.workers.simulated import POLICY, START_MS, Message, SlowDetector, media, play

Events = list[tuple[float, worker_pb2.FromWorker]]
LIMIT_MS = POLICY.tiers.blind_limit_ms


def command(**fields: Any) -> worker_pb2.ToWorker:
    return worker_pb2.ToWorker(**fields)


def opened(ident: str = "st0", *, policy_json: str = POLICY.model_dump_json(), **fields: Any) -> Message:
    opening = worker_pb2.OpenPush(stream_id=ident, codec="h264", policy_json=policy_json, opening=1, **fields)
    return START_MS, command(open_push=opening)


def closing(*, drain: bool, ident: str = "st0") -> worker_pb2.ToWorker:
    return command(close=worker_pb2.Close(stream_id=ident, drain=drain))


def live(units: Iterable[AccessUnit], ident: str = "st0", *, late_ms: float = 0.0) -> list[Message]:
    """Each message at its time, or this much after its arrival stamp."""
    at_ms = [START_MS + 1 + unit.dts_ms for unit in units]
    return [
        (at + late_ms, PushedUnit(ident, replace(unit, arrival_ms=at)))
        for at, unit in zip(at_ms, units, strict=True)
    ]


def closed(events: Events, ident: str = "st0") -> tuple[float, worker_pb2.Closed]:
    return next((at, e.closed) for at, e in events if e.HasField("closed") and e.closed.stream_id == ident)


def judged(events: Events, ident: str = "st0") -> list[worker_pb2.Judged]:
    return [e.judged for _, e in events if e.HasField("judged") and e.judged.stream_id == ident]


def said(events: Events) -> Counter[str]:
    counted: Counter[str] = Counter()
    for _, event in events:
        if event.HasField("notice"):
            counted[event.notice.degraded.reason] += event.notice.degraded.count
    return counted


def endless(seconds: int) -> list[AccessUnit]:
    """One keyframe, and then none."""
    return [replace(unit, keyframe=unit.dts_ms == 0) for unit in media(seconds).units]


@pytest.mark.parametrize("alert", [False, True])
def test_a_gop_without_an_end_that_lost_media_is_closed_to_be_opened_again(alert: bool) -> None:
    """All media comes at once after a standstill, so that the rest cannot be decoded in time."""
    units = endless(10)
    burst = [u for u in units if 2000 <= u.dts_ms < 4000]
    rest = [u for u in units if u.dts_ms >= 4000]
    messages = [
        opened(alert=alert),
        *live([u for u in units if u.dts_ms < 2000]),
        *((START_MS + 4000, PushedUnit("st0", replace(u, arrival_ms=START_MS + 4000))) for u in burst),
        *live(rest),
    ]
    events, left = play(messages, max_queue_units=20)
    at_ms, end = closed(events)
    assert (end.reason, end.retryable, end.opening) == ("torn", True, 1)
    assert "keyframe" in end.detail
    assert said(events)["queue_full"] >= 20
    assert said(events)["blind"] == 1
    assert LIMIT_MS < at_ms - judged(events)[-1].judged_ms < LIMIT_MS + 2000
    assert not left


def test_a_stream_that_lost_media_goes_on_where_a_keyframe_comes() -> None:
    units = media(10).units
    burst = [u for u in units if 2000 <= u.dts_ms < 4000]
    messages = [
        opened(),
        *live([u for u in units if u.dts_ms < 2000]),
        *((START_MS + 4000, PushedUnit("st0", replace(u, arrival_ms=START_MS + 4000))) for u in burst),
        *live([u for u in units if u.dts_ms >= 4000]),
    ]
    events, left = play(messages, max_queue_units=20)
    assert said(events)["queue_full"] >= 20
    assert set(left) == {"st0"}
    assert judged(events)[-1].verdict.pts_ms > 8500


@pytest.mark.parametrize(
    "limit", [{"max_queue_units": 20}, {"max_queue_bytes": 2_000}], ids=["units", "bytes"]
)
def test_media_that_passes_the_bounds_before_a_stream_is_started_does_not_keep_it_from_starting(
    limit: dict[str, Any],
) -> None:
    """A new worker finds the opening, and more media than it may queue, all at once."""
    units = media(6).units
    early, rest = [u for u in units if u.dts_ms < 2000], [u for u in units if u.dts_ms >= 2000]
    at_once = [(START_MS, PushedUnit("st0", replace(unit, arrival_ms=START_MS))) for unit in early]
    events, left = play([opened(), *at_once, *live(rest)], **limit)
    assert said(events)["queue_full"] >= 15
    assert not said(events)["blind"]
    assert set(left) == {"st0"}
    assert len(judged(events)) >= 3


def test_a_stream_whose_end_has_come_ends_also_where_its_queue_is_full() -> None:
    """The publisher has sent more than may be queued and is gone. The end is not lost with the media."""
    units, over_ms = media(3).units, START_MS + 1_100
    at_once = [(over_ms, PushedUnit("st0", replace(u, arrival_ms=over_ms))) for u in units[15:]]
    messages = [opened(), *live(units[:15]), (over_ms, closing(drain=True)), *at_once]
    events, left = play([*messages, (START_MS + 5_000, lambda loop: None)], max_queue_units=20)
    assert said(events)["queue_full"] >= 20
    at_ms, end = closed(events)
    assert end.reason == "end"
    assert at_ms - over_ms <= 2 * POLICY.budget_ms
    assert not left


def test_a_line_that_is_down_for_long_is_not_torn() -> None:
    """Nothing came, decodable or not."""
    units = endless(4)
    messages = [opened(), *live(units), (START_MS + 60_000, closing(drain=True))]
    events, _ = play(messages)
    assert closed(events)[1].reason == "end"


def test_what_is_left_of_a_stream_that_was_too_short_is_judged_in_time_or_not_at_all() -> None:
    """The worker stands still for ten seconds outside of any job. Then it finds the whole stream."""
    units = media(1).units[:2]
    messages = [opened(), *live(units, late_ms=10_000), (START_MS + 10_200, closing(drain=True))]
    events, _ = play(messages)
    assert closed(events)[1].reason == "end"
    assert [one.verdict.latency_ms for one in judged(events)] == pytest.approx([6.0], abs=5.0)


def test_a_stream_that_has_ended_is_closed_soon_whatever_others_want() -> None:
    """Several times the worker's capacity, all the time."""
    policy = Policy(match=MatchPolicy(enabled=False), tiers=TierPolicy(bitrate_jump=0.0))
    streams = [f"st{number}" for number in range(30)]
    messages: list[Message] = []
    for number, ident in enumerate(streams):
        phase_ms = 1000 * number // len(streams)
        units = [
            replace(unit, pts_ms=unit.pts_ms + phase_ms, dts_ms=unit.dts_ms + phase_ms)
            for unit in media(12).units
            if number >= 3 or unit.dts_ms < 6000
        ]
        messages += [opened(ident, policy_json=policy.model_dump_json()), *live(units, ident)]
    ended_ms = START_MS + 6301
    messages += [(ended_ms, closing(drain=True, ident=ident)) for ident in streams[:3]]
    events, _ = play(messages, 15.0, plane_ms=20.0)
    for ident in streams[:3]:
        at_ms, end = closed(events, ident)
        assert end.reason == "end"
        assert at_ms - ended_ms <= 4 * policy.budget_ms
    assert said(events)["late"] > 100
    assert all(one.verdict.latency_ms <= 1.2 * policy.budget_ms for i in streams for one in judged(events, i))


@pytest.mark.parametrize("anew", [False, True], ids=["detached", "opened-anew"])
def test_samples_that_wait_when_a_stream_is_closed_are_counted(anew: bool) -> None:
    pipelines: list[Any] = []
    again = opened(alert=True)[1] if anew else closing(drain=False)

    def close(loop: WorkerLoop) -> None:
        stream = loop._streams.get("st0")
        if stream is not None and stream.samples and not pipelines:
            pipelines.append(stream.pipeline)
            assert isinstance(again, worker_pb2.ToWorker)
            loop._obey(again)

    looks: list[Message] = [(START_MS + at, close) for at in range(1000, 3000)]
    events, _ = play([opened(alert=True), *live(media(3).units), *looks])
    [pipeline] = pipelines
    counters = pipeline.counters
    assert counters.shed == {"closed": 1}
    assert counters.samples == counters.judged + 1
    assert said(events)["closed"] == 1


@pytest.mark.parametrize(
    ("policy_json", "reason", "retryable"),
    [("{", "invalid_input", False), (POLICY.model_dump_json(), "internal", True)],
    ids=["policy", "unforeseen"],
)
def test_a_command_that_fails_closes_the_stream_that_it_names_and_no_other(
    policy_json: str, reason: str, retryable: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(ident: str, *rest: Any) -> WorkerStream:
        if ident == "bad":
            raise RuntimeError("out of something")
        return WorkerStream(ident, *rest)

    monkeypatch.setattr("edge.workers.loop.WorkerStream", fail)
    bad = opened("bad", policy_json=policy_json)[1]
    messages = [opened(), *live(media(3).units), (START_MS + 1000, bad)]
    events, left = play(messages)
    _, end = closed(events, "bad")
    assert (end.reason, end.retryable, end.opening) == (reason, retryable, 1)
    assert set(left) == {"st0"}
    assert judged(events)[-1].verdict.pts_ms > 1500


def test_a_policy_that_is_none_ends_its_stream_alone() -> None:
    bad = command(set_policy=worker_pb2.SetPolicy(stream_id="st1", policy_json="{"))
    messages = [opened(), opened("st1"), *live(media(3).units), (START_MS + 1000, bad)]
    events, left = play(messages)
    assert closed(events, "st1")[1].reason == "invalid_input"
    assert set(left) == {"st0"}


def test_housekeeping_that_fails_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def at_the_limit(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", at_the_limit)
    load = command(load_model=worker_pb2.LoadModel(swap=1, directory="/nowhere"))
    reload = command(reload_banks=worker_pb2.ReloadBanks())
    messages = [opened(), *live(media(8).units), (START_MS + 500, load), (START_MS + 500, reload)]
    events, left = play(messages)
    answer = next(e.model_loaded for _, e in events if e.HasField("model_loaded"))
    assert "thread" in answer.error
    assert set(left) == {"st0"}
    assert judged(events)[-1].verdict.pts_ms > 6500


def test_the_model_of_the_newest_swap_judges_whichever_is_loaded_first() -> None:
    """A worker that is told of two models, one after the other, loads both at once."""
    in_use: list[Any] = []
    newer, older = SlowDetector(digest="newer"), SlowDetector(digest="older")
    messages: list[Message] = [
        (START_MS, ModelArrived(2, LoadedPack(newer), "", use=True)),  # type: ignore[arg-type]
        (START_MS, ModelArrived(1, LoadedPack(older), "", use=True)),  # type: ignore[arg-type]
        (START_MS, lambda loop: in_use.append(loop._detector)),
    ]
    events, _ = play(messages)
    assert in_use == [newer]
    assert [e.model_loaded.swap for _, e in events if e.HasField("model_loaded")] == [2, 1]
