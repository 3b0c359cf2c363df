"""The gate's feed is always decodable: of each GOP a prefix that begins with its keyframe."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edge.domain import AccessUnit, Tier
from edge.ingest.gate_feed import GateFeed
from edge.ingest.settings import ITEM_BYTES

UNIT_BYTES = 10 + ITEM_BYTES
"""Counted size of one of these units."""


def unit(index: int, keyframe: bool) -> AccessUnit:
    return AccessUnit(index * 40, index * 40, keyframe, bytes(10), 0.0)


STEPS = st.lists(
    st.one_of(
        st.sampled_from([("unit", False), ("unit", False), ("unit", False), ("unit", True)]),
        st.tuples(st.just("calm"), st.integers(0, 200)),
        st.tuples(st.just("alert"), st.just(0)),
        st.tuples(st.just("restart"), st.just(0)),
    ),
    max_size=80,
)


@given(STEPS, st.integers(0, 12 * UNIT_BYTES))
def test_each_call_sees_prefixes_of_gops(steps: list[tuple[str, int]], max_gop_bytes: int) -> None:
    feed = GateFeed(max_gop_bytes)
    arrived: list[AccessUnit] = []
    seen: list[AccessUnit] = []
    for kind, value in steps:
        if kind == "unit":
            arrived.append(unit(len(arrived), bool(value)))
            seen += feed.push(arrived[-1])
        elif kind == "restart":
            seen = list(feed.restart())
        else:
            seen += feed.change(Tier(kind), value)
        expected: list[AccessUnit] = []
        for shown in seen:
            previous = expected[-1] if expected else None
            follows = previous is not None and shown.dts_ms == previous.dts_ms + 40
            assert shown.keyframe or follows, "a frame without the frames that it refers to"
            expected.append(shown)


@given(st.lists(st.booleans(), min_size=1, max_size=60), st.integers(0, 12 * UNIT_BYTES), st.integers(0, 200))
def test_whatever_a_calm_gate_has_not_been_given_it_gets_when_it_turns_alert(
    keyframes: list[bool], max_gop_bytes: int, needed_ms: int
) -> None:
    """A GOP without an end must not outgrow what is kept, and then be seen by viewers alone."""
    feed = GateFeed(max_gop_bytes)
    feed.change(Tier.CALM, needed_ms)
    units = [unit(index, keyframe or index == 0) for index, keyframe in enumerate(keyframes)]
    seen = [shown for each in units for shown in feed.push(each)]
    seen += feed.change(Tier.ALERT, 0)
    newest = max(index for index, each in enumerate(units) if each.keyframe)
    assert [each for each in seen if each.dts_ms >= units[newest].dts_ms] == units[newest:]
    assert feed.following
    assert feed.skipped == 0


@given(st.lists(st.booleans(), max_size=60))
def test_alert_misses_nothing_from_the_first_keyframe_on(keyframes: list[bool]) -> None:
    feed = GateFeed(10**6)
    units = [unit(index, keyframe) for index, keyframe in enumerate(keyframes)]
    seen = [shown for each in units for shown in feed.push(each)]
    first = keyframes.index(True) if True in keyframes else len(units)
    assert seen == units[first:]
    assert feed.skipped == first


def test_calm_shows_the_beginning_of_each_gop_and_alert_the_rest() -> None:
    feed = GateFeed(10**6)
    feed.change(Tier.CALM, 80)
    units = [unit(index, index % 10 == 0) for index in range(15)]
    seen = [[shown.dts_ms for shown in feed.push(each)] for each in units]
    assert [dts for each in seen for dts in each] == [0, 40, 80, 400, 440, 480]
    assert [each.dts_ms for each in feed.change(Tier.ALERT, 0)] == [520, 560]
    assert feed.push(unit(15, False)) != ()


def test_a_new_call_is_shown_the_current_gop() -> None:
    feed = GateFeed(10**6)
    for index in range(13):
        feed.push(unit(index, index % 10 == 0))
    assert [each.dts_ms for each in feed.restart()] == [400, 440, 480]


def test_a_gop_that_is_too_long_is_seen_again_from_the_next_keyframe() -> None:
    feed = GateFeed(5 * UNIT_BYTES // 2)
    for index in range(5):
        assert len(feed.push(unit(index, index == 0))) == 1
    assert feed.restart() == ()
    assert feed.push(unit(5, False)) == ()
    assert feed.skipped == 1
    assert len(feed.push(unit(6, True))) == 1
