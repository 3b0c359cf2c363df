"""Stream time is counted once, whenever it is written and whatever fails."""

from __future__ import annotations

import itertools
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from edge.clock import ManualClock
from edge.supervise.usage_counter import MAX_APPS, OTHER, UsageCounter


def test_streams_time_and_refusals_by_app() -> None:
    clock = ManualClock()
    tally = UsageCounter(clock)
    assert tally.take() is None
    begin = clock.wall_ms()
    tally.started("a", "live", begin)
    tally.started("carried", "live", begin - 60_000)
    tally.refused("live", "blocked")
    clock.advance_ms(1_000)
    tally.ended("a")
    tally.ended("a")
    tally.ended("never")
    clock.advance_ms(500)
    assert tally.take() == {
        "from_ms": begin,
        "to_ms": begin + 1_500,
        "apps": {"live": {"streams": 1, "stream_ms": 2_500, "refused": {"blocked": 1}}},
    }
    tally.ended("carried")
    assert tally.take() == {
        "from_ms": begin + 1_500,
        "to_ms": begin + 1_500,
        "apps": {"live": {"streams": 0, "stream_ms": 0, "refused": {}}},
    }
    assert tally.take() is None


@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["start", "end", "take", "fail", "wait"]), st.integers(0, 3)), max_size=60
    )
)
def test_what_cannot_be_written_is_part_of_the_next(steps: list[tuple[str, int]]) -> None:
    clock = ManualClock()
    tally = UsageCounter(clock)
    begin: dict[str, int] = {}
    names = iter(range(1000))
    expected = {"streams": 0, "stream_ms": 0}
    written: list[dict[str, Any]] = []
    for what, number in steps:
        now = clock.wall_ms()
        if what == "wait":
            clock.advance_ms(700)
        elif what == "start":
            stream = f"s{next(names)}"
            begin[stream] = now
            tally.started(stream, f"app{number}", now)
            expected["streams"] += 1
        elif what == "end" and begin:
            stream = sorted(begin)[number % len(begin)]
            expected["stream_ms"] += now - begin.pop(stream)
            tally.ended(stream)
        elif what in {"take", "fail"} and (taken := tally.take()) is not None:
            if what == "fail":
                tally.put_back(taken)
            else:
                written.append(taken)
    expected["stream_ms"] += sum(clock.wall_ms() - since for since in begin.values())
    if (last := tally.take()) is not None:
        written.append(last)
    for key, value in expected.items():
        assert sum(app[key] for taken in written for app in taken["apps"].values()) == value
    assert all(one["to_ms"] <= other["from_ms"] for one, other in itertools.pairwise(written))


def test_apps_are_bounded() -> None:
    tally = UsageCounter(ManualClock())
    for number in range(MAX_APPS + 10):
        tally.refused(f"app{number}", "blocked")
    taken = tally.take()
    assert taken is not None
    assert len(taken["apps"]) == MAX_APPS + 1
    assert taken["apps"][OTHER]["refused"] == {"blocked": 10}
