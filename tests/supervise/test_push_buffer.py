"""The worker's share of a pushed stream: nothing twice, all in order, and all of it once it is needed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edge.domain import AccessUnit
from edge.policy import EvidencePolicy, TierPolicy
from edge.supervise.push_buffer import BLIND_SHARE, MAX_DEFERRED_UNITS, PushBuffer

STEP_MS = 40
NEEDED_MS = 220


def unit(number: int, keyframe: bool, size: int = 1000) -> AccessUnit:
    return AccessUnit(number * STEP_MS, number * STEP_MS, keyframe, bytes(size), 0.0)


def media(**tiers: float) -> PushBuffer:
    return PushBuffer(TierPolicy(**tiers), EvidencePolicy(), 10_000)


@given(
    st.lists(
        st.tuples(st.booleans(), st.integers(0, 60), st.sampled_from([None, None, 0, NEEDED_MS, "stay"])),
        max_size=120,
    )
)
def test_each_gop_reaches_the_worker_as_a_prefix_in_order(
    steps: list[tuple[bool, int, int | str | None]],
) -> None:
    pushed = media()
    sent: list[AccessUnit] = []
    gop: list[int] = []
    for number, (keyframe, size, needed) in enumerate(steps):
        if needed != "stay":
            sent.extend(pushed.change(needed))  # type: ignore[arg-type]
        due = pushed.add_unit(unit(number, keyframe, size))
        if keyframe:
            gop = []
        gop.append(number)
        sent.extend(due.deferred)
        sent.extend(() if due.unit is None else (due.unit,))
        of_this_gop = [u.pts_ms // STEP_MS for u in sent if u.pts_ms // STEP_MS in gop]
        assert of_this_gop == gop[: len(of_this_gop)]
        assert all(u.deferred for u in due.deferred)
    stamps = [u.pts_ms for u in sent]
    assert stamps == sorted(set(stamps))
    assert sum(1 for u in sent if u.keyframe) == sum(1 for keyframe, *_ in steps if keyframe)


def test_calm_only_the_beginning_of_each_gop_goes_out() -> None:
    pushed = media(bitrate_jump=0)
    pushed.change(NEEDED_MS)
    out = [
        number for number in range(150) if pushed.add_unit(unit(number, number % 50 == 0)).unit is not None
    ]
    assert out == [start + offset for start in (0, 50, 100) for offset in range(6)]
    assert len(pushed.units()) == 150


def test_alert_brings_what_was_deferred_first() -> None:
    pushed = media(bitrate_jump=0)
    pushed.change(NEEDED_MS)
    for number in range(20):
        pushed.add_unit(unit(number, number == 0))
    assert [u.pts_ms // STEP_MS for u in pushed.change(None)] == list(range(6, 20))
    due = pushed.add_unit(unit(20, False))
    assert (due.deferred, due.unit) == ((), unit(20, False))


def test_larger_units_go_out_at_once_and_say_why() -> None:
    pushed = media(bitrate_jump=2.5)
    pushed.change(NEEDED_MS)
    for number in range(80):
        pushed.add_unit(unit(number, number % 50 == 0))
    dues = [pushed.add_unit(unit(number, False, 5000)) for number in range(80, 99)]
    jumps = [index for index, due in enumerate(dues) if due.jump]
    assert len(jumps) == 1
    assert dues[jumps[0]].deferred
    assert all(due.unit is not None for due in dues[jumps[0] :])


def test_a_gop_without_end_goes_out_before_the_gate_is_blind() -> None:
    pushed = media(bitrate_jump=0)
    pushed.change(NEEDED_MS)
    dues = [pushed.add_unit(unit(number, number == 0)) for number in range(200)]
    first = next(number for number, due in enumerate(dues) if due.deferred)
    assert first * STEP_MS < TierPolicy().blind_limit_ms
    assert first * STEP_MS > BLIND_SHARE * TierPolicy().blind_limit_ms
    assert all(due.unit is not None for due in dues[first + 1 :])


def test_deferred_units_are_bounded_however_long_blind_is_allowed() -> None:
    pushed = media(bitrate_jump=0, blind_limit_ms=60_000)
    pushed.change(NEEDED_MS)
    dues = [pushed.add_unit(unit(number, number == 0)) for number in range(400)]
    assert max(len(due.deferred) for due in dues) == MAX_DEFERRED_UNITS


def test_a_new_worker_gets_the_running_gop_or_waits() -> None:
    pushed = media(bitrate_jump=0)
    pushed.change(NEEDED_MS)
    for number in range(70):
        pushed.add_unit(unit(number, number % 50 == 0))
    again = pushed.begin_again(max_units=100, max_bytes=10**6)
    assert [u.pts_ms // STEP_MS for u in again] == list(range(50, 70))
    assert not any(u.deferred for u in again)
    due = pushed.add_unit(unit(70, False))
    assert due.unit is not None
    assert due.deferred == ()
    assert pushed.begin_again(max_units=5, max_bytes=10**6) == ()


def test_media_is_kept_as_it_came_and_within_the_policy_of_now() -> None:
    kept = media()
    units = [unit(number, number % 25 == 0) for number in range(100)]
    for one in units:
        kept.add_unit(one)
    assert kept.units() == tuple(units)
    assert kept.units()[3].data is units[3].data
    kept.set_policy(TierPolicy(), EvidencePolicy(ring_ms=1000))
    kept.add_unit(unit(100, keyframe=True))
    assert kept.units()[0].dts_ms == 75 * STEP_MS
