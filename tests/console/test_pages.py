"""Every page is shown, in every language, and says what the gate knows; every action does what it says."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from edge.console.words import languages
from edge.domain import Action, IncidentState
from edge.ledger import EvidenceRead, records
from edge.ledger.tables import incidents
from tests.console.browser import app_of, browsing, console, flagged

PAGES = ("/queue", "/live", "/incidents", "/blocks", "/strikes", "/appeals", "/audit", "/health", "/view")


@pytest.mark.parametrize("language", languages())
async def test_every_page_is_shown_in_every_language(language: str, tmp_path: Path) -> None:
    async with console(tmp_path) as (bench, browser):
        incident_id = await flagged(bench)
        await bench.block("bert")
        await browser.get(f"/language/{language}")
        decisions = [
            f"/incidents/{incident_id}/{done}" for done in ("confirm", "overturn", "escalate", "strike")
        ]
        stream_id = next(iter(bench.gate.registry)).id
        acts = [f"/live/{stream_id}/cut", f"/live/{stream_id}/block"]
        for path in (*PAGES, f"/incidents/{incident_id}", *decisions, *acts):
            shown = await browser.get(path)
            assert shown.status_code == 200, (path, shown.text)
            assert f'<html lang="{language}" dir="{languages()[language].direction}">' in shown.text


async def test_the_queue_has_what_waits_and_is_read_again_only_with_news(tmp_path: Path) -> None:
    async with console(tmp_path) as (bench, browser):
        first = await flagged(bench)
        shown = await browser.get("/queue", **{"x-console-part": "rows"})
        assert first in shown.text
        seen = {"x-console-part": "rows", "x-console-seen": shown.headers["x-console-seen"]}
        assert (await browser.get("/queue", **seen)).status_code == 204
        second = await flagged(bench, "other", "bert")
        again = await browser.get("/queue", **seen)
        assert again.status_code == 200
        assert first in again.text
        assert second in again.text
        assert second not in (await browser.get("/queue?category=gunfire")).text


async def test_a_queue_of_many_pages_has_every_incident_that_waits(tmp_path: Path) -> None:
    async with console(tmp_path) as (bench, browser):
        one = bench.gate.ledger.incident(await flagged(bench))
        with bench.gate.ledger._database.write_transaction("many") as connection:
            for number in range(250):
                many = dataclasses.replace(one, id=f"in_{number:032d}")
                row = {**records.incident_to_row(many), "gate": ""}
                connection.execute(incidents.insert().values(**row))
        bench.gate.ledger.record_access("anna", "console_sign_in", "", 1)
        shown = (await browser.get("/queue", **{"x-console-part": "rows"})).text
        assert "<bdi>251</bdi>" in shown
        assert shown.count('class="job') == 50


async def test_who_looks_at_frames_has_the_queue_read_no_more_often(tmp_path: Path) -> None:
    async with console(tmp_path) as (bench, browser):
        incident_id = await flagged(bench)
        await browser.get("/queue")
        reads = bench.ledger.fail("waiting_incidents")
        for number in range(3):
            bench.ledger.note_evidence_reads([EvidenceRead(incident_id, "posters", "rita")], number)
            assert incident_id in (await browser.get("/queue")).text
        bench.ledger.claim(incident_id, "rita", bench.gate.clock.wall_ms(), 60_000)
        assert "rita" in (await browser.get("/queue")).text
        assert reads == []


async def test_a_title_has_no_markup_of_a_category_that_is_an_operator_s_own(tmp_path: Path) -> None:
    async with console(tmp_path) as (bench, browser):
        known = bench.gate.ledger.incident(await flagged(bench))
        verdict = dataclasses.replace(known.verdict, category="own<i>")
        own = dataclasses.replace(known, id="in_own", verdict=verdict)
        bench.gate.ledger.record_incident(own, own.created_ms)
        assert "<title>own&lt;i&gt; · " in (await browser.get("/incidents/in_own")).text


async def test_a_claim_a_decision_and_its_reason_are_on_record(tmp_path: Path) -> None:
    async with console(tmp_path) as (bench, browser):
        incident_id = await flagged(bench)
        claimed = await browser.post(f"/incidents/{incident_id}/claim", back="queue")
        assert claimed.headers["location"] == "/console/queue"
        assert bench.gate.ledger.incident(incident_id).review.claimed_by == "reviewer-name"
        done = await browser.post(
            f"/incidents/{incident_id}/overturn", reason="sport", note="a boxing club", back="incident"
        )
        assert done.status_code == 303
        incident = bench.gate.ledger.incident(incident_id)
        assert incident.state is IncidentState.OVERTURNED
        assert incident.review.reviewed_by == "reviewer-name"
        assert incident.review.review_reason == "Sport or play: a boxing club"
        shown = (await browser.get(f"/incidents/{incident_id}")).text
        assert "Overturned." in shown
        assert "Overturned." not in (await browser.get(f"/incidents/{incident_id}")).text
        audited = (await browser.get("/audit")).text
        assert "console_sign_in" in audited
        assert "reviewer-name" in audited


async def test_cut_now_gives_the_strike_before_the_stream_is_cut(tmp_path: Path) -> None:
    async with console(tmp_path) as (bench, browser):
        incident_id = await flagged(bench)
        asked = (await browser.get(f"/incidents/{incident_id}/strike")).text
        assert "gets a strike" in asked
        await browser.post(f"/incidents/{incident_id}/strike", reason="violence")
        await bench.until(lambda: bench.server.asked)
        assert not (await bench.admit("8", "show")).allowed
        await browser.post(f"/incidents/{incident_id}/overturn", reason="nothing")
        assert (await bench.admit("9", "show")).allowed


async def test_the_live_page_cuts_for_a_short_time_and_blocks_for_a_chosen_one(tmp_path: Path) -> None:
    async with console(tmp_path) as (bench, browser):
        stream_id = await bench.watched()
        assert stream_id in (await browser.get("/live")).text
        await browser.post(f"/live/{stream_id}/cut", reason="harm")
        await bench.until(lambda: bench.server.asked)
        [cut] = bench.gate.ledger.blocks(wall_ms=bench.gate.clock.wall_ms())
        assert cut.until_ms - cut.created_ms == 15 * 60_000
        other = await bench.watched("8", "other", "bert")
        await browser.post(f"/live/{other}/block", reason="harm", length="3600000")
        [blocked] = bench.gate.ledger.blocks(wall_ms=bench.gate.clock.wall_ms(), subject="bert")
        assert blocked.until_ms - blocked.created_ms == 3_600_000
        refused = await browser.post(f"/live/{other}/block", reason="harm", length="1")
        assert refused.status_code in (400, 404)


async def test_a_cut_is_confirmed_and_what_follows_is_said_before(tmp_path: Path) -> None:
    async with console(tmp_path) as (bench, browser):
        stream_id = await bench.watched()
        bench.judged(stream_id, Action.CUT)
        await bench.until(lambda: bench.gate.ledger.incidents(broadcaster="anna"))
        [incident] = bench.gate.ledger.incidents(broadcaster="anna")
        asked = (await browser.get(f"/incidents/{incident.id}/confirm")).text
        assert "and no longer only until" in asked
        assert "there is no clip" in asked
        await browser.post(f"/incidents/{incident.id}/confirm", reason="violence")
        [block, *_] = bench.gate.ledger.blocks(wall_ms=bench.gate.clock.wall_ms(), subject="anna")
        assert not block.provisional


async def test_appeals_blocks_and_strikes_are_decided(tmp_path: Path) -> None:
    async with console(tmp_path) as (bench, browser):
        await browser.post("/blocks", kind="broadcaster", subject="bert", length="0", reason="evasion")
        [block] = bench.gate.ledger.blocks(wall_ms=bench.gate.clock.wall_ms(), subject="bert")
        appeal = await bench.gate.reviews.file_appeal(
            "It was a <b>match</b>", "platform-name", incident_id=None, block_id=block.id
        )
        shown = (await browser.get("/appeals")).text
        assert "It was a &lt;b&gt;match&lt;/b&gt;" in shown
        await browser.post(f"/appeals/{appeal.id}/grant", reason="mistake")
        assert bench.gate.ledger.block(block.id).lifted_by == "reviewer-name"
        await browser.post("/blocks", kind="broadcaster", subject="carl", length="3600000", reason="harm")
        [other] = bench.gate.ledger.blocks(wall_ms=bench.gate.clock.wall_ms(), subject="carl")
        await browser.post(f"/blocks/{other.id}/lift", reason="served")
        assert bench.gate.ledger.block(other.id).lift_reason == "It has held for long enough"


async def test_a_note_is_needed_where_no_reason_fits(tmp_path: Path) -> None:
    async with console(tmp_path) as (bench, browser):
        incident_id = await flagged(bench)
        refused = await browser.post(f"/incidents/{incident_id}/confirm", reason="other")
        assert refused.status_code == 400
        assert "note" in refused.text
        assert (await browser.post(f"/incidents/{incident_id}/confirm", reason="no")).status_code == 400
        assert bench.gate.ledger.incident(incident_id).state is IncidentState.OPEN


async def test_evidence_is_blurred_grey_silent_and_small_unless_a_person_chooses(tmp_path: Path) -> None:
    async with console(tmp_path) as (_, browser):
        assert '<body class="blur greyscale small" data-muted>' in (await browser.get("/queue")).text
        await browser.post("/view", greyscale="1")
        assert '<body class="greyscale ">' in (await browser.get("/queue")).text


async def test_before_the_sign_in_the_language_is_the_browser_s(tmp_path: Path) -> None:
    async with console(tmp_path) as (bench, _), browsing(app_of(bench, tmp_path)) as stranger:
        shown = await stranger.get("/sign-in", **{"accept-language": "fr, ar-EG;q=0.8, en;q=0.5"})
        assert 'lang="ar" dir="rtl"' in shown.text
