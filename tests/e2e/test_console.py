"""The console in a real browser, against a real gate: from a flag to live again. axe-core reads each page."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.servers.publisher import Publisher
from edge.gate_process import GateProcess
from tests.e2e.browser import accessible, by_keyboard, until
from tests.e2e.ingest_process import IngestProcess

pytestmark = pytest.mark.integration

PAGES = ("queue", "live", "incidents", "blocks", "strikes", "appeals", "audit", "health", "view")


def test_from_the_flag_to_the_cut_to_live_again(
    gate: GateProcess, known_programme: Path, page: Any, publish: Callable[[str, Path], Publisher]
) -> None:
    with IngestProcess(gate.grpc) as ingest:
        url = f"rtmp://{ingest.wait_for('ready')['rtmp']}/live/cam?user=u42&key=sek"
        publish(url, known_programme)
        first = ingest.wait_for("admitted", broadcaster="u42")
        # The incident comes to the open page by itself.
        page.wait_for_selector("li.job.selected:has-text('u42')")
        page.wait_for_selector("li.job img")
        by_keyboard(page, "Claimed.", "c")
        by_keyboard(page, "Released.", "c")
        by_keyboard(page, "Escalated.", "e", "Enter")
        by_keyboard(page, "The decision is undone.", "u")
        by_keyboard(page, "Overturned.", "o", "Enter")
        by_keyboard(page, "The decision is undone.", "u")
        by_keyboard(page, "Confirmed.", "v", "Enter")
        by_keyboard(page, "The decision is undone.", "u")
        page.goto(f"http://{gate.http}/console/queue?only=live&severity=normal")
        page.wait_for_selector("li.job:has-text('u42')")
        by_keyboard(page, "Claimed.", "t")
        page.fill("#comment", "سؤال <b>")
        page.click("form.comment button")
        page.wait_for_selector("text=سؤال <b>")
        page.goto(f"http://{gate.http}/console/live")
        page.wait_for_selector("tr:has-text('u42') >> text=flag")
        page.wait_for_selector("tr:has-text('u42') .poster img")
        page.keyboard.press("Enter")
        live = seen_live(page)
        page.keyboard.press("i")
        page.wait_for_url("**/incidents/*")
        incident = page.url

        page.wait_for_selector("text=This clip may show: Known footage.")
        assert page.evaluate("document.querySelector('video').src") == "", "nothing plays by itself"
        page.keyboard.press(" ")
        until(page, "document.querySelector('video').currentTime > 0.1")
        assert page.evaluate("document.querySelector('video').muted")
        assert "blur(" in page.evaluate("getComputedStyle(document.querySelector('video')).filter")
        page.keyboard.press("h")
        assert "blur(" not in page.evaluate("getComputedStyle(document.querySelector('video')).filter")
        page.click("text=Go to the decision")
        page.keyboard.press(".")
        page.wait_for_selector("#timeline circle")

        page.keyboard.press("w")
        page.wait_for_url(live)
        accessible_live(page, gate, live)
        page.keyboard.press("x")
        page.wait_for_selector("dialog[open] >> text=u42 may not go live in any app for 15 minutes.")
        page.keyboard.press("Escape")
        page.keyboard.press("v")
        page.wait_for_selector("dialog[open] >> text=for as long as you choose")
        page.keyboard.press("Escape")
        page.keyboard.press("i")
        page.wait_for_url(incident)

        page.keyboard.press("x")
        page.wait_for_selector("dialog[open] >> text=u42 gets a strike.")
        page.keyboard.press("Enter")
        page.wait_for_selector("text=The strike is given")
        ingest.wait_for("closed", stream_id=first["stream_id"], reason="cut")
        publish(url, known_programme)
        assert ingest.wait_for("refused", broadcaster="u42")["reason"] == "blocked"

        page.goto(f"http://{gate.http}/console/blocks")
        page.wait_for_selector("tr:has-text('u42')")
        pages = [f"http://{gate.http}/console/{name}" for name in PAGES]
        accessible(page, gate, *pages, incident, f"{incident}/overturn", f"{incident}/confirm")

        _appeal(gate, incident.rpartition("/")[2])
        page.goto(f"http://{gate.http}/console/appeals")
        page.wait_for_selector("blockquote:has-text('أعترض <i>')")
        page.click("summary:text-is('Grant')")
        page.wait_for_selector("text=Live access is given back")
        page.click("button:text-is('Grant')")
        page.wait_for_selector("text=No appeal waits.")
        page.goto(incident)
        page.wait_for_selector(".chip:has-text('overturned')")
        ingest.events.clear()
        publish(url, known_programme)
        assert ingest.wait_for("admitted", broadcaster="u42")["stream_id"] != first["stream_id"]

        page.click("text=Sign out")
        page.wait_for_selector("#token")
        page.goto(incident)
        page.wait_for_selector("#token")


def _appeal(gate: GateProcess, incident: str) -> None:
    """The broadcaster's word against the cut. The platform files it."""
    command = [sys.executable, "-m", "edge.cli", "appeal", "file", "أعترض <i>", "--incident", incident]
    subprocess.run([*command, "--tokens", str(gate.tokens), "--gate", gate.grpc], check=True, timeout=60)


def seen_live(page: Any) -> str:
    """Watches the stream whose page is open until its video moves. Returns the page's address."""
    page.wait_for_selector("#show")
    page.wait_for_selector("text=This is live and may show: Known footage.")
    assert page.evaluate("document.querySelector('video').src") == "", "nothing plays by itself"
    page.keyboard.press("Enter")
    until(page, "document.querySelector('video').currentTime > 0")
    begun = page.evaluate("document.querySelector('video').currentTime")
    until(page, f"document.querySelector('video').currentTime > {begun} + 1")
    size = page.evaluate(
        "[document.querySelector('video').videoWidth, document.querySelector('video').videoHeight]"
    )
    assert size == [640, 360]
    assert page.evaluate("document.querySelector('video').muted")
    assert "blur(" in page.evaluate("getComputedStyle(document.querySelector('video')).filter")
    until(page, "document.getElementById('behind').textContent.includes('s behind')")
    newest = page.evaluate("document.querySelector('video').currentTime")
    page.keyboard.press("b")
    until(page, f"document.querySelector('video').currentTime < {newest}")
    page.keyboard.press("g")
    until(page, f"document.querySelector('video').currentTime > {newest}")
    url: str = page.url
    return url


def accessible_live(page: Any, gate: GateProcess, live: str) -> None:
    """The pages of a live stream, and its video also in Arabic."""
    accessible(page, gate, f"http://{gate.http}/console/live", live, f"{live}/cut", f"{live}/block")
    page.goto(f"http://{gate.http}/console/language/ar")
    page.goto(live)
    assert page.evaluate("document.documentElement.dir") == "rtl"
    page.keyboard.press("Enter")
    until(page, "document.querySelector('video').currentTime > 0.2")
    page.goto(f"http://{gate.http}/console/language/en")
    page.goto(live)
