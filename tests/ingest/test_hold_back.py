"""Hold-back: nothing beyond the watermark leaves, order is kept, nothing is lost, nothing follows a cut."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edge.ingest.hold_back import HoldBack
from edge.policy import FailureMode

# Events of the queue: media of a presentation time, a watermark, or the passage of time.
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("push"), st.integers(0, 500)),
        st.tuples(st.just("clear"), st.integers(-1, 600)),
        st.tuples(st.just("wait"), st.integers(0, 50)),
        st.tuples(st.just("release"), st.just(0)),
    ),
    max_size=80,
)


@given(STEPS)
def test_nothing_over_the_watermark_leaves_and_order_is_kept(steps: list[tuple[str, int]]) -> None:
    hold: HoldBack[tuple[int, int]] = HoldBack(10**9, 10**9, FailureMode.DENY)
    pushed: list[tuple[int, int]] = []
    out: list[tuple[int, int]] = []
    watermark, known, now = -1, 0, 0.0
    for kind, value in steps:
        if kind == "push":
            pushed.append((len(pushed), value))
            hold.push(pushed[-1], value, 10, now)
        elif kind == "clear":
            hold.clear(value)
            watermark, known = max(watermark, value), len(pushed)
        elif kind == "wait":
            now += value
        released = hold.release(now)
        assert all(pts <= watermark for _, pts in released)
        assert all(index < known for index, _ in released), "came after the last watermark"
        out += released
    assert out == pushed[: len(out)], "a prefix: in order, nothing lost in between"
    assert len(hold) == len(pushed) - len(out)
    assert hold.held_bytes == 10 * len(hold)
    hold.clear(500)
    assert out + hold.release(now) == pushed, "a watermark over everything lets everything go"


@given(STEPS, st.integers(0, 80))
def test_after_a_cut_nothing_leaves(steps: list[tuple[str, int]], cut_at: int) -> None:
    hold: HoldBack[int] = HoldBack(20, 100, FailureMode.ALLOW)
    now = 0.0
    for index, (kind, value) in enumerate(steps):
        if index == cut_at:
            held = len(hold)
            assert hold.drop_all() == held
        if kind == "push":
            hold.push(value, value, 10, now)
        elif kind == "clear":
            hold.clear(value)
        elif kind == "wait":
            now += value
        released = hold.release(now)
        if index >= cut_at:
            assert released == []
            assert len(hold) == 0
            hold.clear_all()


@given(STEPS)
def test_deny_never_lets_go_of_what_was_not_cleared(steps: list[tuple[str, int]]) -> None:
    hold: HoldBack[int] = HoldBack(20, 100, FailureMode.DENY)
    watermark, now = -1, 0.0
    for kind, value in steps:
        if kind == "push":
            hold.push(value, value, 10, now)
        elif kind == "clear":
            hold.clear(value)
            watermark = max(watermark, value)
        elif kind == "wait":
            now += value
        assert all(pts <= watermark for pts in hold.release(now))
    assert hold.overruns == 0


@given(STEPS)
def test_allow_is_bounded_in_time_and_bytes_and_counts(steps: list[tuple[str, int]]) -> None:
    hold: HoldBack[tuple[int, float]] = HoldBack(20, 100, FailureMode.ALLOW)
    watermark, now, overruns = -1, 0.0, 0
    for kind, value in steps:
        if kind == "push":
            hold.push((value, now), value, 10, now)
        elif kind == "clear":
            hold.clear(value)
            watermark = max(watermark, value)
        elif kind == "wait":
            now += value
        overruns += sum(pts > watermark for pts, _ in hold.release(now))
        assert hold.held_bytes <= 100
    assert hold.overruns >= overruns
    assert not hold.overrun
    hold.release(now + 20)
    assert len(hold) == 0


def test_deny_reports_an_overrun_of_either_bound() -> None:
    late: HoldBack[str] = HoldBack(100, 10**6, FailureMode.DENY)
    late.push("a", 5, 1, now_ms=0)
    assert late.release(99) == []
    assert not late.overrun
    assert late.release(100) == []
    assert late.overrun

    full: HoldBack[str] = HoldBack(10**6, 10, FailureMode.DENY)
    full.push("a", 5, 11, now_ms=0)
    assert full.release(0) == []
    assert full.overrun


def test_a_gate_that_needs_no_more_lets_everything_go() -> None:
    hold: HoldBack[str] = HoldBack(100, 100, FailureMode.DENY)
    hold.push("a", 5, 1, 0)
    hold.clear_all()
    hold.push("b", 9, 1, 0)
    assert hold.release(0) == ["a", "b"]
