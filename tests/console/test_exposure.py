"""What people watch is counted, a break is due now and then, and a day has an end."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from edge.clock import ManualClock
from edge.config import ConsoleSection
from edge.console.exposure import MOST_AT_ONCE_MS, Exposure
from edge.policy import DAY_MS
from tests.console.browser import console, flagged


@given(st.lists(st.integers(-1, 40_000), max_size=60))
def test_one_break_is_due_for_each_stretch_watched(reports: list[int]) -> None:
    exposure = Exposure(60_000, 300_000)
    due = sum(exposure.watched("anna", "x", ms, 0) for ms in reports)
    watched = sum(min(max(ms, 0), MOST_AT_ONCE_MS) for ms in reports)
    assert exposure.today("anna", 0).ms == watched
    assert due == watched // 60_000
    assert exposure.spent("anna", 0) == (watched >= 300_000)
    assert not exposure.spent("anna", DAY_MS)
    assert not exposure.spent("bert", 0)


def test_ids_that_a_browser_makes_up_take_bounded_memory() -> None:
    exposure = Exposure(60_000, 300_000)
    for number in range(10_100):
        exposure.watched("anna", f"in_{number}", 0, 0)
    assert len(exposure.today("anna", 0).clips) == 10_000


async def test_at_the_limit_no_clip_is_shown_and_the_claim_is_given_back(tmp_path: Path) -> None:
    section = ConsoleSection(break_ms=60_000, limit_ms=75_000)
    clock = ManualClock()
    async with console(tmp_path, section=section, clock=clock) as (bench, browser):
        incident_id = await flagged(bench)
        await browser.post(f"/incidents/{incident_id}/claim")
        path = f"/incidents/{incident_id}/watched"
        answers = [await browser.post(path, ms="15000") for _ in range(5)]
        assert [answer.status_code for answer in answers] == [204, 204, 204, 200, 200]
        assert "Take a break" in answers[3].text
        assert "x-console-spent" in answers[4].headers
        assert bench.gate.ledger.incident(incident_id).review.claimed_by is None
        assert (await browser.get(f"/incidents/{incident_id}/clip.mp4")).status_code == 403
        assert "<video" not in (await browser.get(f"/incidents/{incident_id}")).text
        assert "1 min" in (await browser.get("/view")).text.replace("<bdi>1</bdi>", "1")
        clock.now_wall_ms += DAY_MS
        assert (await browser.get(f"/incidents/{incident_id}/clip.mp4")).status_code == 404
        assert (await browser.post(path, ms="-1")).status_code == 400
