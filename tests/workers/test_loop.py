"""The worker's loop under a test clock: nothing late is judged, nothing vanishes."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from edge.clock import ManualClock
from edge.contract.gate import tier_from_proto
from edge.contract.gen import worker_pb2
from edge.detect import Detector, default_model_directory
from edge.domain import AccessUnit
from edge.ingest.gate_feed import GateFeed
from edge.match import Matcher
from edge.policy import Policy, TierPolicy
from edge.stream import open_media_file
from edge.workers.crash_attribution import CurrentStreamPage
from edge.workers.ipc_framing import PushedUnit
from edge.workers.loop import WorkerLoop
from edge.workers.settings import WorkerSettings
from tests.integration.calls import write_footage

Event = worker_pb2.FromWorker


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, list[AccessUnit]]:
    path = tmp_path_factory.mktemp("media") / "moving.mp4"
    write_footage(path, seconds=6)
    with open_media_file(path) as file:
        return file.extradata, list(file.units())


class Bench:
    """A loop in a thread, its events, and a manual clock."""

    def __init__(self, **settings: float) -> None:
        self.clock = ManualClock()
        self.events: list[Event] = []
        self._pings = 0
        self._news = threading.Condition()
        values = {
            "max_access_unit_bytes": 1_000_000,
            "max_extradata_bytes": 65_536,
            "max_queue_units": 400,
            "max_queue_bytes": 50_000_000,
            **settings,
        }
        directory = default_model_directory()
        self.loop = WorkerLoop(
            WorkerSettings(
                model_dir=directory,
                bank_dir=Path("/nonexistent"),
                **values,
            ),
            Detector.load(directory),
            Matcher.open(None),
            self._told,
            CurrentStreamPage(CurrentStreamPage.create()),
            self.clock,
        )
        self._thread = threading.Thread(target=self.loop.run, daemon=True)
        self._thread.start()

    def _told(self, event: Event) -> None:
        with self._news:
            self.events.append(event)
            self._news.notify_all()

    def open(self, extradata: bytes, policy: Policy) -> None:
        self.send(
            open_push=worker_pb2.OpenPush(
                stream_id="st", codec="h264", extradata=extradata, policy_json=policy.model_dump_json()
            )
        )

    def send(self, **command: object) -> None:
        self.loop.inbox.put(worker_pb2.ToWorker(**command))  # type: ignore[arg-type]

    def push(self, unit: AccessUnit, arrival_ms: float) -> None:
        self.loop.inbox.put(PushedUnit("st", replace(unit, arrival_ms=arrival_ms)))

    def wait_for(self, kind: str) -> Event:
        return self.wait_until(lambda event: event.WhichOneof("event") == kind)

    def wait_until(self, is_it: Callable[[Event], bool]) -> Event:
        with self._news:
            assert self._news.wait_for(lambda: any(map(is_it, self.events)), 30)
            return next(filter(is_it, self.events))

    def counted(self) -> Counter[str]:
        found: Counter[str] = Counter()
        for event in self.events:
            if event.WhichOneof("event") == "notice":
                found[event.notice.degraded.reason] += event.notice.degraded.count
        return found

    def judged(self) -> list[worker_pb2.Judged]:
        return [event.judged for event in self.events if event.WhichOneof("event") == "judged"]

    def live(self, units: Iterable[AccessUnit]) -> None:
        """Pushes units at their own pace. The loop gets as much time between them as it needs."""
        for unit in units:
            self.clock.advance_ms(max(unit.pts_ms - self.clock.monotonic_ms(), 0.0))
            self.push(unit, arrival_ms=self.clock.monotonic_ms())
            self.settle()

    def settle(self) -> None:
        """Waits until the loop has nothing more to do."""
        while True:
            self._pings += 1
            self.send(ping=worker_pb2.Ping(sequence=self._pings))
            pong = self.pong(self._pings)
            if pong.jobs == 0:
                return

    def pong(self, sequence: int) -> worker_pb2.Pong:
        return self.wait_until(lambda e: e.WhichOneof("event") == "pong" and e.pong.sequence == sequence).pong

    def stop(self) -> None:
        self.send(shutdown=worker_pb2.Shutdown())
        self._thread.join(30)
        assert not self._thread.is_alive()


def test_media_in_time_is_judged_and_nothing_is_shed(media: tuple[bytes, list[AccessUnit]]) -> None:
    extradata, units = media
    bench = Bench()
    bench.open(extradata, Policy())
    bench.live(units)
    bench.send(close=worker_pb2.Close(stream_id="st", drain=True))
    assert bench.wait_for("closed").closed.reason == "end"
    bench.stop()
    assert len(bench.judged()) >= 15
    assert bench.counted() == Counter()
    cleared = [judged.cleared_pts_ms for judged in bench.judged()]
    assert cleared == sorted(cleared)


@pytest.mark.parametrize("start_alert_ms", [0, 60_000])
def test_late_media_is_counted_and_never_judged(
    start_alert_ms: int, media: tuple[bytes, list[AccessUnit]]
) -> None:
    extradata, units = media
    bench = Bench()
    bench.open(extradata, Policy(tiers=TierPolicy(start_alert_ms=start_alert_ms)))
    bench.wait_for("tier_changed")
    bench.clock.advance_ms(10_000)
    for unit in units:
        bench.push(unit, arrival_ms=0.0)
    bench.send(close=worker_pb2.Close(stream_id="st", drain=True))
    bench.wait_for("closed")
    bench.stop()
    # Frames that the decoder still held at the end are judged, since they delay nothing after them.
    assert len(bench.judged()) <= 1
    counted = bench.counted()
    assert counted["late"] + counted["undecoded"] + counted["superseded"] > 0


@pytest.mark.parametrize("delay_ms", [0, 200])
def test_a_dense_start_gives_way_before_anything_is_lost(
    delay_ms: int, media: tuple[bytes, list[AccessUnit]]
) -> None:
    """Units come late, but within the budget. The first sample of each GOP is judged.

    Voluntary samples are skipped, and none is shed.
    """
    extradata, units = media
    bench = Bench(spare_load=0.0)
    bench.open(extradata, Policy(tiers=TierPolicy(start_alert_ms=60_000)))
    bench.clock.advance_ms(1000)
    for unit in units:
        bench.clock.advance_ms(max(1000 + unit.pts_ms - bench.clock.monotonic_ms(), 0.0))
        bench.push(unit, arrival_ms=bench.clock.monotonic_ms() - delay_ms)
        bench.settle()
    bench.settle()
    gave_way = max(event.pong.gave_way for event in bench.events if event.WhichOneof("event") == "pong")
    bench.stop()
    assert bench.counted() == Counter()
    judged = [judged.verdict.pts_ms for judged in bench.judged()]
    firsts = [unit.pts_ms + 200 for unit in units if unit.keyframe]
    assert set(firsts) <= set(judged)
    assert (gave_way == 0) == (delay_ms == 0)
    assert (len(judged) == len(firsts)) == (delay_ms > 0)


def test_a_blind_stream_is_said_once_an_episode(media: tuple[bytes, list[AccessUnit]]) -> None:
    extradata, units = media
    bench = Bench()
    policy = Policy(tiers=TierPolicy(start_alert_ms=0))
    bench.open(extradata, policy)
    bench.wait_for("tier_changed")
    for unit in units:
        bench.clock.advance_ms(max(unit.pts_ms + 2.0 * policy.budget_ms - bench.clock.monotonic_ms(), 0.0))
        bench.push(unit, arrival_ms=float(unit.pts_ms))
        bench.settle()
    bench.send(close=worker_pb2.Close(stream_id="st"))
    bench.wait_for("closed")
    bench.stop()
    assert bench.judged() == []
    assert bench.counted()["blind"] == 1


@pytest.mark.parametrize("lost", [True, False])
def test_a_lost_sample_is_blindness_where_the_caller_leaves_out_what_is_not_needed(
    lost: bool, media: tuple[bytes, list[AccessUnit]]
) -> None:
    """Reported even if the next sample is judged as soon as it comes."""
    extradata, units = media
    policy = Policy(tiers=TierPolicy(start_alert_ms=0))
    bench = Bench(spare_load=0.0)
    bench.open(extradata, policy)
    bench.wait_for("tier_changed")
    for keyframe in (0, 2000, 4000):
        late_ms = 2.0 * policy.budget_ms if lost and keyframe == 2000 else 0.0
        for unit in units:
            if keyframe <= unit.pts_ms <= keyframe + 200:
                bench.clock.advance_ms(max(unit.pts_ms + late_ms - bench.clock.monotonic_ms(), 0.0))
                bench.push(unit, arrival_ms=bench.clock.monotonic_ms() - late_ms)
                bench.settle()
    bench.send(close=worker_pb2.Close(stream_id="st"))
    bench.wait_for("closed")
    bench.stop()
    assert len(bench.judged()) == (2 if lost else 3)
    assert bench.counted()["blind"] == lost


def test_a_full_queue_is_counted_and_the_stream_goes_on_at_a_keyframe(
    media: tuple[bytes, list[AccessUnit]],
) -> None:
    extradata, units = media
    bench = Bench(max_queue_units=20)
    bench.open(extradata, Policy())
    for unit in units:
        bench.push(unit, arrival_ms=0.0)
    bench.send(close=worker_pb2.Close(stream_id="st", drain=True))
    bench.wait_for("closed")
    bench.stop()
    assert bench.counted()["queue_full"] >= 20


def test_a_unit_over_the_limit_and_an_unknown_codec_have_reasons() -> None:
    bench = Bench(max_access_unit_bytes=1000)
    bench.send(
        open_push=worker_pb2.OpenPush(
            stream_id="st", codec="vp6", policy_json=Policy().model_dump_json(), extradata=b""
        )
    )
    closed = bench.wait_for("closed").closed
    assert (closed.reason, closed.retryable) == ("unsupported_codec", False)
    bench.open(b"", Policy())
    bench.wait_for("tier_changed")
    large = AccessUnit(0, 0, True, np.zeros(1001, np.uint8).tobytes(), 0.0)
    bench.push(large, arrival_ms=0.0)
    bench.wait_for("notice")
    closed = bench.wait_until(lambda event: event.closed.reason == "limit_exceeded").closed
    bench.stop()
    assert bench.counted()["access_unit_too_large"] == 1
    assert (closed.retryable, closed.fault) == (False, "publisher")


def test_what_a_decoder_does_that_nobody_has_foreseen_is_put_down_to_the_media(
    media: tuple[bytes, list[AccessUnit]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def decode(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("edge.stream.pipeline.StreamPipeline.decode", decode)
    extradata, units = media
    bench = Bench()
    bench.open(extradata, Policy())
    bench.push(units[0], arrival_ms=0.0)
    closed = bench.wait_for("closed").closed
    bench.stop()
    assert (closed.reason, closed.fault) == ("broken_media", "publisher")


def test_what_judging_does_is_the_gates_own_fault(
    media: tuple[bytes, list[AccessUnit]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def judge(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("edge.stream.pipeline.StreamPipeline.judge", judge)
    extradata, units = media
    bench = Bench()
    bench.open(extradata, Policy(budget_ms=5_000))
    for unit in units:
        bench.push(unit, arrival_ms=bench.clock.monotonic_ms())
    closed = bench.wait_for("closed").closed
    bench.stop()
    assert (closed.reason, closed.fault) == ("internal", "gate")


def test_a_gop_without_an_end_does_not_blind_where_the_caller_leaves_out_what_is_not_needed(
    tmp_path: Path,
) -> None:
    """The reference ingest's own feed: keyframes each second, then none. The broadcaster decides that."""
    path = tmp_path / "moving.mp4"
    write_footage(path, seconds=16)
    with open_media_file(path) as file:
        extradata, units = file.extradata, list(file.units())
    start = next(unit.pts_ms for unit in units if unit.keyframe and unit.pts_ms >= 6000)
    policy = Policy(tiers=TierPolicy(start_alert_ms=0), budget_ms=5_000)
    bench, feed, heard, sent = Bench(spare_load=0.0), GateFeed(50_000_000), 0, 0
    bench.open(extradata, policy)
    for unit in units:
        bench.clock.advance_ms(max(unit.pts_ms - bench.clock.monotonic_ms(), 0.0))
        due = list(feed.push(replace(unit, keyframe=unit.keyframe and unit.pts_ms <= start)))
        while True:
            for each in due:
                bench.push(each, arrival_ms=bench.clock.monotonic_ms())
            sent += len(due)
            bench.settle()
            news, heard = bench.events[heard:], len(bench.events)
            changes = [event.tier_changed.tier for event in news if event.HasField("tier_changed")]
            if not changes:
                break
            due = [
                u for c in changes for u in feed.change(tier_from_proto(c.tier), c.needed_after_keyframe_ms)
            ]
    bench.stop()
    judged = [entry.verdict.pts_ms for entry in bench.judged()]
    gaps = [after - before for before, after in pairwise(judged) if after > start]
    assert max(gaps) <= policy.tiers.blind_limit_ms + 500
    assert judged[-1] > units[-1].pts_ms - policy.tiers.blind_limit_ms
    assert sum(unit.pts_ms < start for unit in units) * 0.8 > sum(pts < start for pts in judged)
