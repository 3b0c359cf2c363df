"""The pages of crises: declared by one person, confirmed by another, fed by reviewers, seen on every page."""

from __future__ import annotations

from pathlib import Path

from edge.crisis import CrisisState
from tests.console.browser import ORIGIN, console
from tests.crisis.crises import crisis
from tests.supervise.gate_without_workers import Bench

SCRIPT = "<script>alert(1)</script>"


async def in_force(bench: Bench) -> None:
    now = bench.gate.clock.wall_ms()
    bench.ledger.declare_crisis(crisis(reason=SCRIPT, declared_ms=now, begun_ms=now))
    await bench.gate.crises.start()


async def test_a_crisis_is_declared_and_every_page_says_so(tmp_path: Path) -> None:
    async with console(tmp_path, "admin") as (bench, browser):
        assert "There was no crisis" in (await browser.get("/crises")).text
        form = {"name": "attack", "hours": "6", "reason": "attack", "apps": "live* games", "share": "1"}
        answer = await browser.post("/crises", **form, patch='{"match": {"k": 2}}')
        assert answer.headers["location"] == "/console/crises/attack"
        (made,) = bench.ledger.crises()
        assert (made.apps, made.share, made.declared_by) == (("live*", "games"), True, "admin-name")
        assert made.patch["match"] == {"k": 2}
        for page in ("/crises/attack", "/queue", "/banks"):
            assert "is in force" in (await browser.get(page)).text
        await browser.post("/crises/attack/end", reason="over")
        assert bench.ledger.crisis("attack").state is CrisisState.ENDED
        assert 'class="crisis"' not in (await browser.get("/queue")).text


async def test_a_wrong_patch_is_a_problem_that_names_the_field(tmp_path: Path) -> None:
    async with console(tmp_path, "admin") as (bench, browser):
        form = {"name": "attack", "hours": "6", "reason": "attack"}
        answer = await browser.post("/crises", **form, patch='{"match": {"k": 9}}')
        assert answer.status_code == 400
        assert "patch.match.k" in answer.text
        assert bench.ledger.crises() == ()


async def test_a_reviewer_gives_footage_and_declares_nothing(tmp_path: Path) -> None:
    async with console(tmp_path, "reviewer") as (bench, browser):
        await in_force(bench)
        page = (await browser.get("/crises/attack")).text
        assert SCRIPT not in page
        assert "Add footage" in page
        assert "End the crisis" not in page
        for path in ("/crises", "/crises/attack/end", "/crises/attack/confirm"):
            assert (await browser.post(path)).status_code == 403
        refused = await browser.post("/crises/attack/url", url="http://169.254.169.254/latest")
        assert refused.status_code == 400
        assert "may not be pulled" in refused.text


async def test_a_file_is_a_body_that_needs_the_token_of_the_session(tmp_path: Path) -> None:
    async with console(tmp_path, "reviewer") as (bench, browser):
        await in_force(bench)
        headers = {"origin": ORIGIN, "x-console-file": "a%20clip.mp4"}
        place = "/console/crises/attack/file"
        assert (await browser.client.post(place, content=b"x", headers=headers)).status_code == 400
        headers["x-console-csrf"] = await browser.csrf()
        evil = {**headers, "origin": "http://evil.example"}
        assert (await browser.client.post(place, content=b"x", headers=evil)).status_code == 403
        empty = await browser.client.post(place, content=b"", headers=headers)
        assert "is empty" in empty.text
        text = await browser.client.post(place, content=b"no clip at all", headers=headers)
        assert text.status_code == 400
        assert "footage:" in text.text
        given = [row for row in bench.ledger.crisis_log("attack") if row.what == "crisis_given"]
        assert [row.who for row in given] == ["reviewer-name"]
        assert '"file":"a clip.mp4"' in given[0].detail
        assert not list((tmp_path / "crisis-incoming").iterdir())


async def test_the_report_as_a_file_is_in_the_language_of_the_page(tmp_path: Path) -> None:
    async with console(tmp_path, "viewer") as (bench, browser):
        await in_force(bench)
        await browser.get("/language/ar")
        page = (await browser.get("/crises/attack/report.html")).text
        assert "الأزمة attack" in page
        assert SCRIPT not in page
        assert (await browser.get("/crises/attack/report.json")).json()["name"] == "attack"
