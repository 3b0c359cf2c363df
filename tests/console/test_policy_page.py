"""The pages of the policy: a form from the definition, what a change does, versions, and who was faster."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path
from typing import Any

import pytest
from markupsafe import escape

from edge.console.words import languages
from edge.policy import Policy, parse_policy
from edge.policy_fields import fields
from tests.console.browser import Browser, console
from tests.supervise.gate_without_workers import Bench

PAGES = ("/policy", "/policy/edit", "/policy/edit?within=apps", "/policy/json", "/policy/history")


async def begin(bench: Bench, **changes: Any) -> Policy:
    """The ledger has the policy in force, as that of a gate that runs has."""
    policy = Policy().model_copy(update=changes)
    return await bench.gate.actions.set_policy(policy, "gate", "first start", 0)


def form_of(page: str) -> dict[str, str]:
    """The fields of the last form of a page, as a browser would send them untouched."""
    [*_, form] = re.findall(r"<form class=\"(?:policy|put)\".*?</form>", page, re.DOTALL)
    sent: dict[str, str] = {}
    for name, value in re.findall(r'<input(?! type="checkbox")[^>]*? name="([^"]+)" value="([^"]*)"', form):
        sent[html.unescape(name)] = html.unescape(value)
    for name, value in re.findall(r'<textarea[^>]*? name="([^"]+)"[^>]*>(.*?)</textarea>', form, re.DOTALL):
        sent[html.unescape(name)] = html.unescape(value)
    for name, options in re.findall(r'<select[^>]*? name="([^"]+)"[^>]*>(.*?)</select>', form, re.DOTALL):
        choices = re.findall(r'<option(?: value="([^"]*)")?( selected)?>([^<]*)', options)
        value, _, text = next((each for each in choices if each[1]), choices[0])
        sent[html.unescape(name)] = value if text.startswith("(") else text
    return sent


async def review(browser: Browser, page: str, **changes: str) -> Any:
    form = form_of((await browser.get(page)).text)
    return await browser.post("/policy/review", **{**form, **changes})


async def put(browser: Browser, reviewed: Any, **given: str) -> Any:
    form = {**form_of(reviewed.text), "reason": "too_much", **given}
    return await browser.post("/policy", **form)


async def test_the_form_has_every_field_with_its_meaning_and_changes_nothing_by_itself(
    tmp_path: Path,
) -> None:
    async with console(tmp_path, "admin") as (bench, browser):
        stored = await begin(bench)
        page = (await browser.get("/policy/edit")).text
        for field in fields(stored):
            assert f'name="{field.name}"' in page
            assert str(escape(field.meaning.partition("`")[0])) in page
        assert "≥ 0.0, ≤ 1.0" in page
        assert "= 365 d" in page
        untouched = await review(browser, "/policy/edit")
        assert untouched.status_code == 200
        assert "Nothing changes." in untouched.text
        assert 'name="json"' not in untouched.text


async def test_a_change_is_shown_with_its_warnings_before_it_is_made_with_a_reason(tmp_path: Path) -> None:
    async with console(tmp_path, "admin") as (bench, browser):
        await begin(bench)
        shown = await review(
            browser,
            "/policy/edit",
            **{
                "/categories/fight/cut_at": "1",
                "/match/action": "flag",
                "/ladder/link": "address\r\n\r\nstream_key",
            },
        )
        for text in (
            "categories.fight.cut_at",
            "0.85",
            "category fight: flag from 0.5, cut from 1",
            "nothing is ever cut",
        ):
            assert text in shown.text, text
        assert bench.gate.policy.version == 1
        refused = await put(browser, shown, reason="other")
        assert refused.status_code == 400
        done = await put(browser, shown, note="the numbers of May")
        assert done.headers["location"] == "/console/policy"
        assert bench.gate.policy.categories["fight"].cut_at == 1.0
        assert bench.gate.policy.ladder.link == ("address", "stream_key")
        [newest, *_] = bench.gate.ledger.policy_history()
        assert newest.created_by == "admin-name"
        assert newest.reason == "Too much is flagged or cut: the numbers of May"
        page = (await browser.get("/policy")).text
        assert "The policy is in force." in page
        assert "nothing is ever cut" in page


@pytest.mark.parametrize(
    ("field", "text", "problem"),
    [
        ("/categories/fight/cut_at", "1.5", "policy.categories.fight.cut_at"),
        ("/categories/fight/cut_at", "high", "valid number"),
        ("/tiers/burst_ms", "20.5", "policy.tiers.burst_ms"),
        ("/tiers/burst_ms", "", "policy.tiers.burst_ms"),
        ("/rules", "[", "policy.rules: is no JSON"),
        ("/ladder/steps_ms", "week", "policy.ladder.steps_ms.0"),
        ("/mode", "off", "policy.mode"),
    ],
)
async def test_a_wrong_field_is_named_and_what_was_typed_stays(
    field: str, text: str, problem: str, tmp_path: Path
) -> None:
    async with console(tmp_path, "admin") as (bench, browser):
        await begin(bench)
        refused = await review(browser, "/policy/edit", **{field: text, "/match/k": "5"})
        assert refused.status_code == 400
        assert problem in html.unescape(refused.text)
        again = form_of(refused.text)
        assert again["/match/k"] == "5"
        assert bench.gate.policy.version == 1


async def test_what_somebody_else_set_meanwhile_is_shown_and_not_overwritten(tmp_path: Path) -> None:
    async with console(tmp_path, "admin") as (bench, browser):
        first = await begin(bench)
        form = form_of((await browser.get("/policy/edit")).text)
        early = await browser.post("/policy/review", **{**form, "/match/k": "7"})
        other = first.model_copy(update={"budget_ms": 300})
        await bench.gate.actions.set_policy(other, "omar", "slow machines", 1)
        for answer in (
            await browser.post("/policy/review", **{**form, "/match/k": "7"}),
            await put(browser, early),
        ):
            assert answer.status_code == 409
            for text in ("Somebody else was faster", "omar", "slow machines", "budget_ms", "match.k"):
                assert text in answer.text, text
            assert bench.gate.policy.match.k == 3
        [patch] = re.findall(r'name="json" value="([^"]*)"', answer.text)
        again = await browser.post("/policy/review", json=html.unescape(patch), expected="2")
        assert "budget_ms" not in re.findall(r"<table.*?</table>", again.text, re.DOTALL)[0]
        await put(browser, again)
        assert (bench.gate.policy.match.k, bench.gate.policy.budget_ms) == (7, 300)


async def test_every_version_can_be_put_in_force_again(tmp_path: Path) -> None:
    async with console(tmp_path, "admin") as (bench, browser):
        first = await begin(bench)
        for number in range(30):
            await bench.gate.actions.set_policy(
                first.model_copy(update={"budget_ms": 300 + number}), "omar", "", 0
            )
        history = (await browser.get("/policy/history")).text
        assert history.count('<th scope="row">') == 25
        assert "/policy/history?before=7" in html.unescape(history).replace("?&", "?")
        assert '/policy/versions/1"' in (await browser.get("/policy/history?before=7")).text
        page = await browser.get("/policy/versions/1")
        assert "329" in page.text
        done = await put(browser, page, reason="mistake")
        assert done.status_code == 303
        assert bench.gate.policy.version == 32
        assert bench.gate.policy.budget_ms == 250
        assert "This version is in force." in (await browser.get("/policy/versions/32")).text
        assert (await browser.get("/policy/versions/99")).status_code == 404
        assert (await browser.get("/policy/versions/x")).status_code == 400


async def test_an_override_is_made_changed_and_removed(tmp_path: Path) -> None:
    async with console(tmp_path, "admin") as (bench, browser):
        await begin(bench)
        empty = await review(browser, "/policy/edit?within=apps", pattern="game*")
        await put(browser, empty)
        assert bench.gate.policy.apps == {"game*": {}}
        named = "/policy/edit?within=apps&pattern=game*"
        changed = await review(browser, named, **{"/games": "true", "/categories/fight/cut_at": "0.95"})
        await put(browser, changed)
        assert bench.gate.policy.apps == {"game*": {"games": True, "categories": {"fight": {"cut_at": 0.95}}}}
        assert "rule gunfire-and-firearm does not act" in (await browser.get("/policy")).text
        form = form_of((await browser.get(named)).text)
        assert form["/games"] == "true"
        assert form["/match/k"] == ""
        await put(browser, await review(browser, named, **{"/games": ""}))
        assert bench.gate.policy.apps == {"game*": {"categories": {"fight": {"cut_at": 0.95}}}}
        wrong = await review(browser, named, **{"/categories/fight/cut_at": "2"})
        assert wrong.status_code == 400
        assert "apps.game*.categories.fight.cut_at" in wrong.text
        await put(browser, await review(browser, named, remove="1"))
        assert bench.gate.policy.apps == {}


async def test_categories_come_and_go(tmp_path: Path) -> None:
    async with console(tmp_path, "admin") as (bench, browser):
        await begin(bench)
        shown = await review(browser, "/policy/edit", add_category="gunfire")
        await put(browser, shown)
        assert bench.gate.policy.categories["gunfire"].alone == "flag", "as the model suggests"
        twice = await review(browser, "/policy/edit", add_category="gunfire")
        assert twice.status_code == 400
        await put(browser, await review(browser, "/policy/edit", **{"drop/gunfire": "1"}))
        assert list(bench.gate.policy.categories) == ["fight"]


async def test_json_is_as_good_as_the_form(tmp_path: Path) -> None:
    async with console(tmp_path, "admin") as (bench, browser):
        await begin(bench)
        values = json.loads(form_of((await browser.get("/policy/json")).text)["json"])
        values["apps"] = {"\u202eevil<script>": {"games": True}}
        reviewed = await review(browser, "/policy/json", json=json.dumps(values, indent=8))
        assert "<script>" not in reviewed.text.partition("<main")[2]
        await put(browser, reviewed)
        assert list(bench.gate.policy.apps) == ["\u202eevil<script>"]
        assert "\u202e" not in (await browser.get("/policy")).text
        for text in ("{", "[]", '{"mode": "off"}'):
            refused = await review(browser, "/policy/json", json=text)
            assert refused.status_code == 400
            assert form_of(refused.text)["json"] == text
        large = parse_policy(json.dumps(values)).model_dump(mode="json")
        large["apps"] = {f"app{n}": {"match": {"k": 4, "span_ms": 500 + n}} for n in range(32)}
        assert (await review(browser, "/policy/json", json=json.dumps(large, indent=8))).status_code == 200


async def test_only_an_admin_changes_the_policy(tmp_path: Path) -> None:
    async with console(tmp_path, "reviewer") as (bench, browser):
        await begin(bench)
        shown = await browser.get("/policy")
        assert shown.status_code == 200
        assert "mode known_footage" in shown.text
        assert "/policy/edit" not in shown.text
        version = (await browser.get("/policy/versions/1")).text
        assert '<form class="put"' not in version
        for path in ("/policy/edit", "/policy/json"):
            assert (await browser.get(path)).status_code == 403
        for path in ("/policy", "/policy/review"):
            answer = await browser.post(path, json="{}", expected="1", reason="mistake")
            assert answer.status_code == 403
        assert bench.gate.policy.version == 1


@pytest.mark.parametrize("language", languages())
async def test_the_pages_are_shown_in_every_language_without_inline_code(
    language: str, tmp_path: Path
) -> None:
    async with console(tmp_path, "admin") as (bench, browser):
        await begin(bench, apps={"live": {"games": True}})
        await browser.get(f"/language/{language}")
        pages = [await browser.get(path) for path in (*PAGES, "/policy/versions/1")]
        pages.append(await review(browser, "/policy/edit", **{"/match/k": "7"}))
        for page in pages:
            assert page.status_code == 200, page.text
            assert f'<html lang="{language}"' in page.text
            assert not re.search(r"<script(?![^>]* src=)|\son\w+=|\sstyle=|<style|javascript:", page.text)
