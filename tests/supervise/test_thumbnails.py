"""Frames are made of what somebody looks at, the risky first, and of nothing while nobody looks."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.domain import AccessUnit, Action, Tier
from edge.supervise import thumbnails
from edge.supervise.thumbnails import CALM_MS, RISKY_MS, Thumbnail, next_due
from tests.supervise.gate_without_workers import gate_without_workers
from tests.supervise.test_live_media import brings, live


def stream(name: str, *, flagged: bool = False) -> Any:
    return SimpleNamespace(id=name, tier=Tier.CALM, action=Action.FLAG if flagged else Action.PASS)


def unit(dts_ms: int) -> AccessUnit:
    return AccessUnit(dts_ms, dts_ms, True, b"", 0.0)


def made(ms: float, *, jpeg: bytes = b"jpeg") -> Thumbnail:
    return Thumbnail(jpeg, 1, 0, ms)


def test_one_without_a_frame_comes_first_and_then_the_one_that_is_most_overdue() -> None:
    new, calm, risky = stream("new"), stream("calm"), stream("risky", flagged=True)
    live = [(each, unit(40)) for each in (calm, risky, new)]
    both = {"calm": made(0), "risky": made(CALM_MS - RISKY_MS - 1)}
    assert next_due(live, both, CALM_MS) == (new, unit(40))
    both["new"] = made(CALM_MS)
    assert next_due(live, both, CALM_MS - 1) == (risky, unit(40))
    assert next_due(live, both, CALM_MS + RISKY_MS) == (risky, unit(40))
    both["risky"] = made(CALM_MS + RISKY_MS)
    assert next_due(live, both, CALM_MS + RISKY_MS) == (calm, unit(40))


def test_a_stream_without_a_new_keyframe_or_a_frame_waits() -> None:
    one = stream("one", flagged=True)
    assert next_due([(one, unit(0))], {"one": made(0)}, 10**9) is None
    broken = {"one": made(0, jpeg=b"")}
    assert next_due([(one, unit(40))], broken, thumbnails.BROKEN_MS - 1) is None
    assert next_due([(one, unit(40))], broken, thumbnails.BROKEN_MS) is not None


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 10**5)), min_size=1, max_size=9), st.floats(0, 10**5))
def test_none_comes_before_its_time(streams: list[tuple[bool, float]], now: float) -> None:
    live = [(stream(str(n), flagged=flagged), unit(40)) for n, (flagged, _) in enumerate(streams)]
    pictures = {str(n): made(at) for n, (_, at) in enumerate(streams)}
    due = next_due(live, pictures, now)
    waits = [
        (now - pictures[each.id].made_ms) / (RISKY_MS if each.action is Action.FLAG else CALM_MS)
        for each, _ in live
    ]
    assert (due is None) == (max(waits) < 1)
    assert due is None or waits[int(due[0].id)] == max(waits)


async def test_nothing_is_decoded_while_nobody_looks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thumbnails, "LOOKED_MS", 1_000.0)
    monkeypatch.setattr(thumbnails, "KEPT_MS", 2_000.0)
    async with gate_without_workers(tmp_path) as bench:
        bench.pullers.open_at_once = False
        pictures = bench.gate.thumbnails
        stream_id, pull = await live(bench)
        assert pictures._process.pid is None
        assert pictures.jpeg(stream_id) == b""
        pictures.look([stream_id, "st_none"])
        await bench.until(lambda: pictures.number(stream_id))
        assert pictures.jpeg(stream_id).startswith(b"\xff\xd8\xff")
        brings(pull, 30, 60)
        await bench.until(lambda: pictures._process.pid is None)
        assert pictures.jpeg(stream_id) == b"", "it is forgotten with the process"
        count = pictures.made_so_far
        pictures.look([stream_id])
        await bench.until(lambda: pictures.made_so_far > count)
