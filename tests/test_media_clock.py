"""The gate's media time: the stamps' own while they are honest, and good time whatever they are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.media_clock import BYTES_A_MS, DRIFT, JUMP_MS, UNTIMED_STEP_MS, MediaClock
from edge.timestamps import REORDER_MS, WRAP_MS

LEAD_MS = 2_000
anything = st.one_of(st.integers(-(2**63), 2**63 - 1), st.integers(0, WRAP_MS - 1), st.integers(0, 3000))
Lie = Callable[[int], int]


def play(stamps: Iterable[tuple[int, int, float]], clock: MediaClock | None = None) -> list[tuple[int, int]]:
    """Media times of units with these pts, dts and arrivals."""
    clock = clock or MediaClock()
    return [clock.advance(*unit) for unit in stamps]


def live(times: Sequence[int], jitter: Sequence[float] = ()) -> list[float]:
    """Arrivals in order, each at most its jitter late."""
    arrivals: list[float] = []
    for number, time in enumerate(times):
        late = jitter[number % len(jitter)] if jitter else 0.0
        arrivals.append(max([time + late, *arrivals[-1:]]))
    return arrivals


fps = st.sampled_from([5, 10, 15, 24, 25, 30, 50, 60, 120])


@given(fps, st.integers(0, WRAP_MS - 1), st.integers(0, 3), st.booleans())
def test_honest_stamps_stay_as_they_are(fps: int, start: int, b_frames: int, cached: bool) -> None:
    """From any start, over a wrap, with reordered frames, and with a GOP from a server's cache in front."""
    times = [round(1000 * n / fps) for n in range(10 * fps)]
    pts = [time + round(1000 / fps) * (b_frames if n % (b_frames + 1) else 0) for n, time in enumerate(times)]
    arrivals = [max(time, 4000.0 + n / 100) if cached else float(time) for n, time in enumerate(times)]
    clock = MediaClock()
    out = play(
        [
            ((start + p) % WRAP_MS, (start + d) % WRAP_MS, a)
            for p, d, a in zip(pts, times, arrivals, strict=True)
        ],
        clock,
    )
    assert [(p - start, d - start) for p, d in out] == list(zip(pts, times, strict=True))
    assert (clock.fault, clock.ahead_ms) == (None, 0.0)


@given(fps, st.lists(st.floats(0, 150), min_size=1, max_size=50))
def test_honest_jitter_moves_no_frame_far_and_is_no_lie(fps: int, jitter: list[float]) -> None:
    times = [round(1000 * n / fps) for n in range(10 * fps)]
    clock = MediaClock()
    for time, arrival in zip(times, live(times, jitter), strict=True):
        _, dts = clock.advance(time, time, arrival)
        assert abs(dts - time) <= 100
        assert not clock.fault
        assert not clock.ahead_ms


@pytest.mark.parametrize(
    ("name", "arrival"),
    [
        ("a pause", lambda n: 33 * n + (30_000 if n >= 300 else 0)),
        ("a stall, and all of it at once", lambda n: max(33 * n, 15_000 + n / 10) if n >= 300 else 33 * n),
        ("an upload of half the speed", lambda n: 33 * n if n < 300 else 9_900 + 66 * (n - 300)),
    ],
)
def test_what_happens_to_honest_streams_is_no_lie(name: str, arrival: Callable[[int], float]) -> None:
    clock = MediaClock()
    for n in range(400):
        _, dts = clock.advance(33 * n, 33 * n, arrival(n))
        assert abs(dts - 33 * n) <= 1500, name
        assert not clock.fault, name
        assert not clock.ahead_ms, name


def test_a_pause_that_stamps_show_and_a_restart_are_no_lies() -> None:
    clock = MediaClock()
    shown = play([(t, t, t) for t in (*range(0, 3300, 33), *range(60_000, 63_300, 33))], clock)
    assert shown[100] == (60_000, 60_000)
    again = play([(t, t, 63_300.0 + t) for t in range(0, 3300, 33)], clock)
    assert [b[1] - a[1] for a, b in pairwise(again)] == [33] * 99
    assert 0 < again[0][1] - shown[-1][1] <= 40
    assert not clock.fault


LIES: dict[str, Lie] = {
    "stand still": lambda n: 7,
    "crawl a millisecond": lambda n: n,
    "crawl": lambda n: 8 * n,
    "half as fast": lambda n: 16 * n,
    "bunch up": lambda n: n // 30 * 900 + n % 30,
    "jump an hour": lambda n: 3_600_000 * n,
    "jump ten seconds": lambda n: (JUMP_MS - 1) * n,
    "go back and forth": lambda n: -2000 * (n % 2),
    "go back": lambda n: 10**6 - 1500 * n,
    "run six times as fast": lambda n: 200 * n,
}


@pytest.mark.parametrize("interval_ms", [30, 33, 40])
@pytest.mark.parametrize("lie", LIES)
def test_lies_change_neither_the_speed_of_media_time_nor_hide_frames(lie: str, interval_ms: int) -> None:
    """After its lead, media time is from 0.6 to 1.6 times as fast as arrival, in any second. So footage
    matches: the vote allows half to double speed. A frame is no closer to the last than a third of its
    interval."""
    units = [(LIES[lie](n), LIES[lie](n), float(interval_ms * n)) for n in range(1500)]
    clock = MediaClock(LEAD_MS)
    out = [dts for _, dts in play(units, clock)]
    settled = 64
    second = 1000 // interval_ms
    for first, last in zip(out[settled:], out[settled + second :], strict=False):
        assert 0.6 * second * interval_ms <= last - first <= 1.6 * second * interval_ms
    assert min(b - a for a, b in pairwise(out[settled:])) >= interval_ms / 3
    assert clock.ahead_ms == 0


@pytest.mark.parametrize(
    ("lie", "fault"),
    [
        ("stand still", "stand_still"),
        ("crawl", "crawl"),
        ("jump an hour", "jump"),
        ("go back", "jump"),
        ("run six times as fast", "run_fast"),
    ],
)
def test_a_lie_is_said(lie: str, fault: str) -> None:
    clock = MediaClock(LEAD_MS)
    faults: set[str | None] = {None}
    for n in range(900):
        clock.advance(LIES[lie](n), LIES[lie](n), 33.0 * n)
        faults.add(clock.fault)
    assert fault in faults


@given(st.lists(st.tuples(anything, anything, st.floats(0, 20_000)), min_size=1, max_size=80))
def test_media_time_only_goes_forward_whatever_comes(units: list[tuple[int, int, float]]) -> None:
    out = play(units)
    assert all(before[1] < after[1] for before, after in pairwise(out))
    assert all(abs(pts - dts) <= REORDER_MS + 1000 for pts, dts in out)


def test_a_slide_show_behind_a_large_cache_goes_on_at_its_pace() -> None:
    """One frame a second, of which 20 come at once: they are no lie of what follows."""
    clock, times = MediaClock(), [1000 * n for n in range(120)]
    out = [clock.advance(time, time, max(float(time), 20_000.0 + n))[1] for n, time in enumerate(times)]
    assert all(after - before == 1000 for before, after in pairwise(out[22:]))
    assert not clock.fault


def test_an_encoder_that_starts_again_after_a_pause_was_away_for_so_long() -> None:
    clock = MediaClock()
    before = play([(t, t, float(t)) for t in range(0, 3300, 33)], clock)[-1][1]
    assert clock.advance(0, 0, 8267.0)[1] - before == 5000
    assert not clock.fault


@given(st.lists(st.tuples(anything, anything, st.floats(0, 500)), min_size=1, max_size=200))
def test_no_stamps_make_a_reader_wait_for_long(units: list[tuple[int, int, float]]) -> None:
    clock, now_ms = MediaClock(LEAD_MS), 0.0
    for pts, dts, later_ms in units:
        now_ms += later_ms
        clock.advance(pts, dts, now_ms)
        assert clock.ahead_ms <= JUMP_MS + 1  # dts is strictly increasing: a unit takes at least this
        now_ms += clock.ahead_ms


def read_at_most(lie: Lie, seconds: int) -> int:
    """Units that a reader takes within this time from a publisher that sends as fast as it can."""
    clock = MediaClock(LEAD_MS)
    now_ms, count = 0.0, 0
    while now_ms < 1000 * seconds:
        clock.advance(lie(count), lie(count), now_ms)
        count += 1
        now_ms += max(clock.ahead_ms, 0.17)
    return count


@pytest.mark.parametrize("lie", [*LIES, "honest"])
def test_a_publisher_that_sends_at_once_is_read_at_the_pace_of_its_media(lie: str) -> None:
    """30 s of wall time. Honest stamps: 30 s of media and the lead. Others: frames of a fast camera, at
    most."""
    count = read_at_most(LIES.get(lie, lambda n: 33 * n), 30)
    if lie == "honest":
        assert 30_000 <= 33 * count <= DRIFT * 30_000 + LEAD_MS + 100
    else:
        assert count <= (DRIFT * 30_000 + LEAD_MS) / 8 + 64


@pytest.mark.parametrize("step_ms", [0, 33])
def test_bytes_are_bounded_too(step_ms: int) -> None:
    """Units of a megabyte, of which each has its time: 100 Mbit/s are read, and a lead of two seconds."""
    clock, now_ms, count = MediaClock(LEAD_MS), 0.0, 0
    while now_ms < 30_000:
        clock.advance(step_ms * count, step_ms * count, now_ms, 10**6)
        count += 1
        now_ms += max(clock.ahead_ms, 0.17)
    assert 30_000 <= count * 10**6 / BYTES_A_MS <= DRIFT * 30_000 + LEAD_MS + 100


def test_a_large_keyframe_is_no_flood() -> None:
    clock = MediaClock(LEAD_MS)
    for n in range(600):
        clock.advance(33 * n, 33 * n, 33.0 * n, 4 * 2**20 if n % 60 == 0 else 100_000)
        assert not clock.ahead_ms


def test_stamps_that_stand_still_are_read_at_sixty_frames_a_second() -> None:
    assert read_at_most(lambda n: 0, 30) <= (DRIFT * 30_000 + LEAD_MS) / UNTIMED_STEP_MS + 64


def test_a_new_call_gives_no_new_lead() -> None:
    clock = MediaClock(LEAD_MS)
    while not clock.ahead_ms:
        clock.advance(dts := round(clock.lead_ms) + 33, dts, 0.0)
    again = MediaClock(LEAD_MS, clock)
    again.advance(0, 0, 100.0)
    again.advance(330, 330, 100.0)
    assert again.ahead_ms > 0
    later = MediaClock(LEAD_MS, clock)
    later.advance(0, 0, 10_000.0)
    assert later.lead_ms == 0
