"""Who may see and do what; what a browser is told; and what strangers cannot do."""

from __future__ import annotations

import re
from pathlib import Path

import httpx
import pytest

from edge.clock import ManualClock
from edge.config import ConsoleSection, Settings
from edge.console.console import served
from edge.domain import beginning_of
from edge.evidence.double import BucketDouble
from edge.supervise.evidence_reading import EvidenceReading
from tests.console.browser import ORIGIN, TOKENS, Browser, app_of, browsing, console, flagged
from tests.supervise.gate_without_workers import gate_without_workers

SCRIPT = "<script>alert(1)</script>"
TURNED = "abc\u202efdc"


async def test_nobody_sees_a_page_without_a_session(tmp_path: Path) -> None:
    async with gate_without_workers(tmp_path) as bench, browsing(app_of(bench, tmp_path)) as stranger:
        mount = app_of(bench, tmp_path).routes[0]
        open_to_all = {"/sign-in", "/language/{language}"}
        for route in mount.routes or ():  # type: ignore[attr-defined]
            if route.path in open_to_all or route.path == "/static":
                continue
            path = re.sub(r"\{\w+\}", "x", route.path)
            for method in route.methods - {"HEAD"}:
                answer = await stranger.client.request(method, f"/console{path}", headers={"origin": ORIGIN})
                assert answer.status_code in (303, 401), (method, path)
                assert "/console/sign-in" in answer.headers.get("location", "/console/sign-in")


async def test_signing_in_and_out(tmp_path: Path) -> None:
    async with gate_without_workers(tmp_path) as bench, browsing(app_of(bench, tmp_path)) as browser:
        assert (await browser.sign_in("ingest")).status_code == 403
        wrong = await browser.client.post("/console/sign-in", data={"token": "x" * 20})
        assert wrong.status_code == 401
        assert "set-cookie" not in wrong.headers
        right = await browser.sign_in("reviewer")
        assert right.headers["location"] == "/console/queue"
        cookie = right.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=strict" in cookie
        assert "Secure" not in cookie
        assert TOKENS["reviewer"] not in cookie
        stolen = dict(browser.client.cookies)
        assert (await browser.get("/queue")).status_code == 200
        await browser.post("/sign-out")
        browser.client.cookies.update(stolen)
        assert (await browser.get("/queue")).status_code == 303


async def test_a_page_to_go_to_is_one_of_the_console(tmp_path: Path) -> None:
    async with gate_without_workers(tmp_path) as bench, browsing(app_of(bench, tmp_path)) as browser:
        for target in ("https://evil.test/", "//evil.test", "/console/\\evil", "/metrics", "javascript:x"):
            form = {"token": TOKENS["viewer"], "next": target}
            answer = await browser.client.post("/console/sign-in", data=form, headers={"origin": ORIGIN})
            assert answer.headers["location"] == "/console/"


async def test_wrong_tokens_are_limited_by_address(tmp_path: Path) -> None:
    clock = ManualClock()
    async with (
        gate_without_workers(tmp_path, clock=clock) as bench,
        browsing(app_of(bench, tmp_path)) as browser,
    ):
        form = {"token": "wrong-token-of-a-test"}
        codes = [(await browser.client.post("/console/sign-in", data=form)).status_code for _ in range(13)]
        assert codes[0] == 401
        assert codes[-1] == 429
        assert (await browser.sign_in("admin")).status_code == 429
        clock.now_monotonic_ms += 60_000
        assert (await browser.sign_in("admin")).status_code == 303


async def test_a_session_ends_when_idle_and_at_its_limit(tmp_path: Path) -> None:
    clock = ManualClock()
    section = ConsoleSection(idle_ms=60_000, session_ms=150_000)
    async with console(tmp_path, section=section, clock=clock) as (_, browser):
        for _ in range(2):
            clock.now_monotonic_ms += 50_000
            assert (await browser.get("/queue")).status_code == 200
        clock.now_monotonic_ms += 55_000
        assert (await browser.get("/queue")).status_code == 303, "at its limit"
        await browser.sign_in("viewer")
        clock.now_monotonic_ms += 50_000
        polled = await browser.get("/queue", **{"x-console-part": "rows", "x-console-idle": "1"})
        assert polled.status_code == 200
        clock.now_monotonic_ms += 50_000
        assert (await browser.get("/queue")).status_code == 303, "a page that refreshes by itself is idle"


async def test_a_revoked_token_ends_its_session_and_a_lower_role_counts_at_once(tmp_path: Path) -> None:
    async with console(tmp_path) as (bench, browser):
        incident_id = await flagged(bench)
        tokens = tmp_path / "tokens"
        tokens.write_text(f"viewer reviewer-name {TOKENS['reviewer']}\n")
        refused = await browser.post(f"/incidents/{incident_id}/overturn", reason="nothing")
        assert refused.status_code == 403
        tokens.write_text(f"viewer other {TOKENS['viewer']}\n")
        assert (await browser.get("/queue")).status_code == 303


async def test_a_viewer_looks_and_changes_nothing(tmp_path: Path) -> None:
    async with console(tmp_path, "viewer") as (bench, browser):
        incident_id = await flagged(bench)
        stream_id = next(iter(bench.gate.registry)).id
        assert "data-act" not in (await browser.get("/queue")).text
        assert stream_id not in (await browser.get("/live")).text, "a viewer gets the beginning of an id"
        bench.gate.ledger.note_ordered_cut(stream_id, "indecent", "rita", 1)
        audit = (await browser.get("/audit")).text
        assert "cut_ordered" in audit
        assert stream_id not in audit, "here, too"
        assert beginning_of(stream_id) in audit
        for path in (
            f"/incidents/{incident_id}/claim",
            f"/incidents/{incident_id}/strike",
            f"/live/{stream_id}/cut",
            "/blocks",
            "/blocks/x/lift",
            "/strikes/x/pardon",
            "/appeals/x/grant",
        ):
            refused = await browser.post(path, reason="violence", subject="anna", length="0")
            assert refused.status_code == 403, path
        assert (await browser.get(f"/incidents/{incident_id}/confirm")).status_code == 403


async def test_a_form_of_another_site_or_session_does_nothing(tmp_path: Path) -> None:
    async with console(tmp_path) as (bench, browser):
        incident_id = await flagged(bench)
        path, form = f"/incidents/{incident_id}/overturn", {"reason": "nothing"}
        assert (await browser.post(path, origin="https://evil.test", **form)).status_code == 403
        assert (await browser.post(path, origin="null", **form)).status_code == 403
        csrf = await browser.csrf()
        async with browsing(app_of(bench, tmp_path)) as other:
            await other.sign_in("reviewer")
            assert (await other.post(path, **{**form, "csrf": csrf})).status_code == 400
        assert (await browser.post(path, **{**form, "csrf": ""})).status_code == 400
        headers = {"origin": ORIGIN, "sec-fetch-site": "cross-site"}
        data = {**form, "csrf": csrf}
        crossed = await browser.client.post(f"/console{path}", data=data, headers=headers)
        assert crossed.status_code == 403
        as_json = await browser.client.post(f"/console{path}", json=data, headers={"origin": ORIGIN})
        assert as_json.status_code == 400
        large = await browser.post(path, **{**form, "note": "x" * 20_000})
        assert large.status_code == 400
        assert bench.gate.ledger.incident(incident_id).review.reviewed_by is None


async def test_names_of_strangers_are_text_and_nothing_else(tmp_path: Path) -> None:
    async with console(tmp_path) as (bench, browser):
        incident_id = await flagged(bench, SCRIPT, TURNED)
        for path in ("/queue", "/live", f"/incidents/{incident_id}", f"/incidents/{incident_id}/strike"):
            shown = (await browser.get(path)).text
            assert SCRIPT not in shown
            assert "&lt;script&gt;alert(1)" in shown
            assert "\u202e" not in shown
            assert "<bdi" in shown
            assert r"abc\u202efdc" in shown
        shown = (await browser.get('/blocks?subject="><script>x')).text
        assert "<script>x" not in shown


async def test_pages_run_no_code_but_their_own(tmp_path: Path) -> None:
    async with console(tmp_path) as (bench, browser):
        incident_id = await flagged(bench)
        for path in ("/queue", "/sign-in", f"/incidents/{incident_id}", "/nothing", "/static/console.js"):
            answer = await browser.get(path)
            parts = answer.headers["content-security-policy"].split("; ")
            policy = dict(part.split(" ", 1) for part in parts)
            assert policy["default-src"] == "'none'"
            assert policy["script-src"] == policy["style-src"] == "'self'"
            assert policy["frame-ancestors"] == "'none'"
            assert answer.headers["x-content-type-options"] == "nosniff"
            if path.startswith("/static"):
                continue
            assert answer.headers["cache-control"] == "no-store"
            assert not re.search(r"<script(?![^>]* src=)|\son\w+=|\sstyle=|<style|javascript:", answer.text)
            assert not re.search(r"(?:src|href|action)=\"(?!/console|#|\")[^\"]*", answer.text), (
                "another place"
            )


async def test_without_an_origin_it_answers_to_names_of_this_machine_alone(tmp_path: Path) -> None:
    async with gate_without_workers(tmp_path) as bench:
        app = app_of(bench, tmp_path)
        for name, status in (("127.0.0.1:1", 200), ("localhost", 200), ("[::1]:8", 200), ("evil.test", 421)):
            async with browsing(app, f"http://{name}") as browser:
                assert (await browser.get("/sign-in")).status_code == status, name


async def test_behind_tls_the_cookie_is_secure_and_forms_come_from_the_origin(tmp_path: Path) -> None:
    section = ConsoleSection(origin="https://gate.test")
    async with gate_without_workers(tmp_path) as bench:
        app = app_of(bench, tmp_path, section)
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="https://gate.test"
        ) as client:
            browser = Browser(client)
            assert (await browser.sign_in("viewer")).status_code == 403, "the form is of another origin"
            form = {"token": TOKENS["viewer"]}
            answer = await client.post("/console/sign-in", data=form, headers={"origin": "https://gate.test"})
            assert "Secure" in answer.headers["set-cookie"]


def test_beyond_this_machine_it_is_served_only_with_an_origin() -> None:
    def settings(listen: str, **section: object) -> Settings:
        return Settings.model_validate({"http": {"listen": listen, "insecure": True}, "console": section})

    assert served(settings("127.0.0.1:8085"))
    assert not served(settings("0.0.0.0:8085"))
    assert served(settings("0.0.0.0:8085", origin="https://gate.test"))
    assert not served(settings("127.0.0.1:8085", enabled=False))
    assert not served(settings(""))
    for origin in ("http://gate.test", "gate.test", "https://gate.test/path", "ftp://gate.test"):
        with pytest.raises(ValueError, match="origin"):
            ConsoleSection(origin=origin)
    ConsoleSection(origin="http://127.0.0.1:8085")


async def test_a_clip_is_a_sandboxed_video_with_ranges_and_of_this_gate_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with console(tmp_path) as (bench, browser):
        incident_id = await flagged(bench)
        path = f"/incidents/{incident_id}/clip.mp4"
        assert (await browser.get(path)).status_code == 404
        clip = bench.gate.settings.evidence_folder / f"{incident_id}.mp4"
        clip.write_bytes(bytes(range(100)))
        bench.gate.ledger.set_evidence(incident_id, str(clip), 1)
        part = await browser.get(path, range="bytes=10-19")
        assert part.status_code == 206
        assert part.content == bytes(range(10, 20))
        assert part.headers["content-type"] == "video/mp4"
        assert "sandbox" in part.headers["content-security-policy"]
        assert part.headers["x-content-type-options"] == "nosniff"
        assert (await browser.get(path, range="bytes=90-")).content == bytes(range(90, 100))
        for wrong in ("bytes=100-", "bytes=10-9", "bytes=10-5"):
            assert (await browser.get(path, range=wrong)).status_code == 416, wrong
        assert (await browser.get(path)).content == bytes(range(100))
        read, stores = list[str](), bench.gate.evidence.stores
        monkeypatch.setattr(stores[0], "read", lambda name, begin, length: read.append(name))
        for wanted, length in (({}, "100"), ({"range": "bytes=90-"}, "10")):
            head = await browser.client.head(f"/console{path}", headers=wanted)
            assert (head.headers["content-length"], head.content) == (length, b"")
        assert read == [], "nobody gets it"
        clip.unlink()
        bench.gate.ledger.set_evidence(incident_id, str(tmp_path / "tokens"), 1)
        assert (await browser.get(path)).status_code == 404
        assert (await browser.get(f"/incidents/{incident_id}/poster.jpg")).status_code == 404
        assert "evidence_read" in (await browser.get("/audit")).text


async def test_people_decide_while_the_bucket_is_away(tmp_path: Path) -> None:
    async with console(tmp_path) as (bench, browser):
        incident_id = await flagged(bench)
        bucket = BucketDouble()
        bucket.away = True
        folder = bench.gate.settings.evidence_folder
        bench.gate.evidence = EvidenceReading(bench.gate._context, folder, bucket)
        shown = await browser.get(f"/incidents/{incident_id}")
        assert shown.status_code == 200
        assert f"/incidents/{incident_id}/overturn" in shown.text
