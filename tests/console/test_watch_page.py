"""The page of one live stream: who may watch it, what they are sent, and when that ends."""

from __future__ import annotations

import asyncio
import html
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.clock import ManualClock
from edge.config import ConsoleSection
from edge.console.sparkline import HEIGHT, WIDTH, sparklines
from edge.console.words import languages
from edge.contract.gen import operator_pb2
from edge.domain import Action
from edge.reasons import EndReason
from tests.console.browser import Browser, console, flagged
from tests.supervise.gate_without_workers import Bench
from tests.supervise.test_live_media import brings, live, pictures

NOBODY = "st_00000000000000000000000000000000"


async def watching(bench: Bench, browser: Browser, path: str) -> asyncio.Task[object]:
    """Somebody watches, and has got the first bytes."""
    task: asyncio.Task[object] = asyncio.create_task(browser.get(path))
    await bench.until(lambda: bench.gate.live_media.watchers)
    await asyncio.sleep(0.3)
    return task


async def test_a_reviewer_watches_and_a_viewer_does_not(tmp_path: Path) -> None:
    async with console(tmp_path) as (bench, browser):
        bench.pullers.open_at_once = False
        stream_id, _ = await live(bench)
        path = f"/live/{stream_id}"
        for language in languages():
            await browser.get(f"/language/{language}")
            shown = await browser.get(path)
            assert shown.status_code == 200
            assert html.escape(languages()[language].texts["watch.warning.any"]) in shown.text
        task = await watching(bench, browser, f"{path}/media.mp4")
        bench.gate.router.ends.forget(bench.gate.registry.get(stream_id), EndReason.UNWATCHED)
        sent = await task
        assert sent.headers["content-type"].startswith('video/mp4; codecs="avc1.')  # type: ignore[attr-defined]
        assert "sandbox" in sent.headers["content-security-policy"]  # type: ignore[attr-defined]
        assert pictures(sent.content) == 29  # type: ignore[attr-defined]
        who = [row.who for row in bench.gate.ledger.audit_rows() if row.what == "stream_watched"]
        assert who == ["reviewer-name"]
        assert (await browser.get(f"{path}/media.mp4")).status_code == 204, "it is over"
        assert 'id="over"' in (await browser.get(path, **{"x-console-part": "rows"})).text
        await browser.sign_in("viewer")
        for part in ("", "/media.mp4", "/picture.jpg"):
            assert (await browser.get(f"{path}{part}")).status_code == 403
        assert "/watch" not in (await browser.get("/live")).text


async def test_what_is_watched_ends_with_the_session_and_with_the_day(tmp_path: Path) -> None:
    section = ConsoleSection(break_ms=60_000, limit_ms=75_000)
    clock = ManualClock()
    async with console(tmp_path, section=section, clock=clock) as (bench, browser):
        bench.pullers.open_at_once = False
        stream_id, pull = await live(bench)
        path = f"/live/{stream_id}"
        task = await watching(bench, browser, f"{path}/media.mp4")
        csrf = await browser.csrf()
        await browser.post("/sign-out", csrf=csrf)
        clock.advance_ms(2_000)
        brings(pull, 30, 40)
        await asyncio.wait_for(task, 60)
        await bench.until(lambda: bench.gate.live_media.watchers == 0)

        await browser.sign_in("reviewer")
        answers = [await browser.post(f"{path}/watched", ms="15000") for _ in range(5)]
        assert [answer.status_code for answer in answers] == [204, 204, 204, 200, 200]
        assert (await browser.get(f"{path}/media.mp4")).status_code == 403
        assert (await browser.get(f"{path}/picture.jpg")).status_code == 204
        assert "<video" not in (await browser.get(path)).text


async def test_frames_are_made_for_an_open_page_alone(tmp_path: Path) -> None:
    async with console(tmp_path) as (bench, browser):
        bench.pullers.open_at_once = False
        stream_id, _ = await live(bench)
        picture = f"/live/{stream_id}/picture.jpg"
        assert (await browser.get(picture)).status_code == 204
        assert f"{picture}?number=" not in (await browser.get("/live")).text
        await bench.until(lambda: bench.gate.thumbnails.number(stream_id))
        assert f"/console{picture}?number=1" in (await browser.get("/live")).text
        shown = await browser.get(picture)
        assert shown.headers["content-type"] == "image/jpeg"
        assert "no-store" in shown.headers["cache-control"]


async def test_a_flagged_stream_is_one_key_away(tmp_path: Path) -> None:
    async with console(tmp_path) as (bench, browser):
        incident_id = await flagged(bench)
        stream_id = bench.gate.ledger.incident(incident_id).stream_id
        link = f'href="/console/live/{stream_id}" data-act="watch"'
        for path in ("/queue", f"/incidents/{incident_id}", "/live"):
            assert link in (await browser.get(path)).text, path
        back = f'href="/console/incidents/{incident_id}" data-act="incident"'
        for path in (f"/live/{stream_id}", "/live"):
            assert back in (await browser.get(path)).text, path
        assert "Was flagged" not in (await browser.get("/live")).text
        bench.judged(stream_id, Action.PASS)
        assert "Was flagged" in (await browser.get("/live")).text
        bench.gate.router.ends.forget(bench.gate.registry.get(stream_id), EndReason.UNWATCHED)
        for path in ("/queue", f"/incidents/{incident_id}"):
            assert link not in (await browser.get(path)).text, path


@pytest.mark.parametrize("path", ["", "/cut", "/block"])
async def test_no_such_stream(path: str, tmp_path: Path) -> None:
    async with console(tmp_path) as (_, browser):
        assert (await browser.get(f"/live/{NOBODY}{path}")).status_code == 404
        assert (await browser.get(f"/live/{NOBODY}/media.mp4")).status_code == 204


@given(st.lists(st.lists(st.just(-1.0) | st.floats(0, 1, width=32), max_size=60), max_size=5))
def test_a_sparkline_stays_in_its_drawing(lines: list[list[float]]) -> None:
    scores = [
        operator_pb2.CategoryScores(category=f"kind {number}", scores=line)
        for number, line in enumerate(lines)
    ]
    for drawn in sparklines(operator_pb2.Stream(scores=scores)):
        points = [point.split(",") for line in drawn.lines for point in line.split()]
        assert all(0 <= float(x) <= WIDTH + 0.1 and 0 <= float(y) <= HEIGHT for x, y in points)
        assert drawn.lines
        assert 0 <= drawn.peak <= 1
