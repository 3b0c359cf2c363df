"""The queue in pages: parts of it, what one begins with, the next job, comments, undoing a decision."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

from edge.clock import ManualClock
from edge.domain import IncidentState
from edge.errors import LedgerUnavailable
from tests.console.browser import app_of, browsing, console, flagged
from tests.supervise.gate_without_workers import Bench


def other(bench: Bench, known: str, **changed: str) -> str:
    """Another incident like a known one, of another category or app."""
    one = bench.gate.ledger.incident(known)
    verdict = dataclasses.replace(one.verdict, category=changed.get("category", "fight"))
    publish = dataclasses.replace(
        one.publish,
        app=changed.get("app", "live"),
        attributes={"tenant": changed["tenant"]} if "tenant" in changed else {},
    )
    ident = f"in_{changed['id']:0>32}"
    bench.gate.ledger.record_incident(
        dataclasses.replace(one, id=ident, stream_id=ident, verdict=verdict, publish=publish), one.created_ms
    )
    return ident


async def test_a_part_of_the_queue_is_in_its_address_with_counts(tmp_path: Path) -> None:
    async with console(tmp_path) as (bench, browser):
        first = await flagged(bench)
        gunfire = other(bench, first, id="1", category="gunfire", tenant="<script>")
        film = other(bench, first, id="2", app="films", tenant="acme")
        shown = (await browser.get("/queue?category=gunfire")).text
        assert gunfire in shown
        assert first not in shown
        assert "Shown: <bdi>1</bdi> of <bdi>3</bdi> that wait" in shown
        assert re.search(r'<option value="gunfire" selected>\s*Gunfire \(1\)</option>', shown)
        assert '<option value="films">films (1)</option>' in shown
        assert '<option value="&lt;script&gt;">&lt;script&gt; (1)</option>' in shown
        assert film in (await browser.get("/queue?tenant=acme&app=films&state=open&severity=normal")).text
        assert first in (await browser.get("/queue?only=live")).text
        for wrong in ("severity=dire", "state=confirmed", "only=his", "app=" + 200 * "a"):
            assert (await browser.get(f"/queue?{wrong}")).status_code == 400, wrong
        done = await browser.post(f"/incidents/{first}/overturn", reason="sport", back="queue")
        assert done.headers["location"] == "/console/queue?only=live", "where one was"


async def test_a_person_begins_with_the_part_that_they_saved(tmp_path: Path) -> None:
    async with console(tmp_path) as (bench, browser):
        first = await flagged(bench)
        other(bench, first, id="1", category="gunfire")
        assert (await browser.get("/queue")).status_code == 200
        await browser.get("/queue?category=gunfire&only=free")
        saved = await browser.post("/queue/saved")
        assert saved.headers["location"] == "/console/queue?category=gunfire&only=free"
        assert "httponly" in saved.headers["set-cookie"].lower()
        begun = await browser.get("/queue")
        assert begun.status_code == 303
        assert begun.headers["location"] == "/console/queue?category=gunfire&only=free"
        assert (await browser.get("/queue", **{"x-console-part": "rows"})).status_code == 200
        assert (await browser.get("/queue?only=")).status_code == 200, "everything is one click away"
        cookie = browser.client.cookies["edge-console-queue"]
        async with browsing(app_of(bench, tmp_path)) as shared:
            await shared.sign_in("viewer")
            shared.client.cookies.set("edge-console-queue", cookie, domain="127.0.0.1", path="/console/")
            assert (await shared.get("/queue")).status_code == 200, "it is another person's"
        await browser.get("/queue?category=gunfire")
        await browser.post("/queue/saved", forget="1")
        assert (await browser.get("/queue")).status_code == 200


async def test_the_next_job_is_claimed_and_opened(tmp_path: Path) -> None:
    async with console(tmp_path) as (bench, browser):
        first = await flagged(bench)
        second = other(bench, first, id="1", category="gunfire")
        await browser.get("/queue?category=gunfire")
        taken = await browser.post("/queue/next")
        assert taken.headers["location"] == f"/console/incidents/{second}"
        assert bench.gate.ledger.incident(second).review.claimed_by == "reviewer-name"
        assert (await browser.post("/queue/next")).status_code == 404
        await browser.get("/queue?only=")
        assert (await browser.post("/queue/next")).headers["location"].endswith(first)


async def test_a_decision_is_undone_from_the_page_after_it(tmp_path: Path) -> None:
    clock = ManualClock()
    async with console(tmp_path, clock=clock) as (bench, browser):
        incident_id = await flagged(bench)
        asked = (await browser.get(f"/incidents/{incident_id}/overturn")).text
        assert "You can undo it for <bdi>60</bdi> seconds." in asked
        await browser.post(f"/incidents/{incident_id}/overturn", reason="sport", back="queue")
        after = (await browser.get("/queue")).text
        assert f'action="/console/incidents/{incident_id}/undo"' in after
        assert f"{incident_id}/undo" not in (await browser.get("/queue")).text
        shown = (await browser.get(f"/incidents/{incident_id}")).text
        assert f"{incident_id}/undo" in shown
        undone = await browser.post(f"/incidents/{incident_id}/undo", back="queue")
        assert undone.status_code == 303
        assert bench.gate.ledger.incident(incident_id).state is IncidentState.OPEN
        assert "The decision is undone." in (await browser.get("/queue")).text
        await browser.post(f"/incidents/{incident_id}/escalate", reason="unsure")
        await browser.get(f"/incidents/{incident_id}")
        clock.advance_ms(60_000)
        assert f"{incident_id}/undo" not in (await browser.get(f"/incidents/{incident_id}")).text
        late = await browser.post(f"/incidents/{incident_id}/undo")
        assert late.status_code == 409
        assert "decide anew" in late.text


async def test_comments_are_text_and_for_reviewers(tmp_path: Path) -> None:
    async with console(tmp_path) as (bench, browser):
        incident_id = await flagged(bench)
        path = f"/incidents/{incident_id}/comment"
        assert (await browser.post(path, text="<script>alert(1)</script>\r\nسؤال")).status_code == 303
        assert (await browser.post(path, text="  ")).status_code == 400
        assert (await browser.post(path, text="a" * 2001)).status_code == 400
        shown = (await browser.get(f"/incidents/{incident_id}")).text
        assert "&lt;script&gt;alert(1)&lt;/script&gt;\nسؤال" in shown
        assert "<script>alert" not in shown
        async with browsing(app_of(bench, tmp_path)) as viewer:
            await viewer.sign_in("viewer")
            looked = (await viewer.get(f"/incidents/{incident_id}")).text
            assert "alert(1)" in looked
            assert "<textarea" not in looked
            assert (await viewer.post(path, text="me too")).status_code == 403


async def test_a_viewer_s_look_is_no_look_of_a_reviewer(tmp_path: Path) -> None:
    async with console(tmp_path, "viewer") as (bench, browser):
        incident_id = await flagged(bench)
        assert (await browser.get(f"/incidents/{incident_id}")).status_code == 200
        assert bench.gate.ledger.incident(incident_id).review.looked_by is None
        await browser.sign_in("reviewer")
        await browser.get(f"/incidents/{incident_id}")
        assert bench.gate.ledger.incident(incident_id).review.looked_by == "reviewer-name"


async def test_without_the_ledger_streams_are_shown_and_health_says_so(tmp_path: Path) -> None:
    async with console(tmp_path) as (bench, browser):
        await flagged(bench)
        away = LedgerUnavailable("ledger: the disk is gone")
        for method in ("incidents", "incident_changes", "head", "waiting_by_state", "standings"):
            bench.ledger.fail(method, *[away] * 99)
        live = await browser.get("/live")
        assert live.status_code == 200
        assert "anna" in live.text
        assert 'data-act="cut"' in live.text
        health = await browser.get("/health")
        assert health.status_code == 200
        assert "ledger" in health.text
        assert (await browser.get("/queue?only=")).status_code == 503
