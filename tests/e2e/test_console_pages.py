"""Every page that people change something on, in a real browser against a real gate."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.servers.publisher import Publisher
from edge.gate_process import GateProcess
from tests.e2e.browser import accessible
from tests.e2e.ingest_process import IngestProcess

pytestmark = pytest.mark.integration

PAGES = (
    "banks",
    "banks/review",
    "policy",
    "policy/edit",
    "policy/json",
    "policy/history",
    "policy/versions/1",
    "report",
    "crises",
    "crises/drill-1",
)


def test_banks_policy_blocks_crises_and_report(gate: GateProcess, still: Path, page: Any) -> None:
    root = f"http://{gate.http}/console"
    page.goto(f"{root}/banks")
    page.click("th a:has-text('review')")
    for mark, said in (("Disable", "disabled"), ("Enable", "in use"), ("Quarantine", "quarantined")):
        page.click(f"summary:text-is('{mark}')")
        page.fill("details.act[open] input[name=note]", f"{mark} <b>")
        page.click(f"details.act[open] button:text-is('{mark}')")
        page.wait_for_selector(f"table.entries tr:has-text('pattern') >> text={said}")
    page.wait_for_selector("table.entries tr:has-text('pattern') >> text=Quarantine <b>")
    for switch, said in (("Switch the bank off", "off"), ("Switch the bank on", "in use")):
        page.click(f"summary:text-is('{switch}')")
        page.click(f"button:text-is('{switch}')")
        page.wait_for_selector(f".title .chip:text-is('{said}')")

    page.goto(f"{root}/policy/edit")
    page.click("details.section:has(input[name='/match/k']) > summary")
    page.fill("input[name='/match/k']", "4")
    page.click("button:text-is('See what changes')")
    page.wait_for_selector("table.diff tr:has-text('match.k') ins:text-is('4')")
    page.click("button:text-is('Put it in force')")
    page.goto(f"{root}/policy/history")
    page.wait_for_selector("tr:has-text('match.k') >> text=in force")
    page.click("tbody tr:nth-child(2) a")
    page.click("button:text-is('Go back to it')")
    page.goto(f"{root}/policy/history")
    assert page.locator("tbody tr").count() == 3

    page.goto(f"{root}/blocks")
    page.click("summary:text-is('Block somebody')")
    page.fill("input#subject", "<script>alert(1)</script>")
    page.click("details.add button.danger")
    page.click("tr:has-text('<script>') summary:text-is('Lift')")
    page.click("tr:has-text('<script>') button:text-is('Lift')")
    page.wait_for_selector("text=There are no such blocks.")
    page.goto(f"{root}/blocks?ended=1")
    page.wait_for_selector("tr:has-text('<script>') >> text=lifted")

    page.goto(f"{root}/crises")
    page.click("summary:text-is('Declare a crisis')")
    page.fill("input#name", "drill-1")
    page.click("details.add button.danger")
    page.wait_for_selector("p.crisis:has-text('Crisis drill-1 is in force.')")
    page.goto(f"{root}/crises/drill-1")
    page.set_input_files("input#files", str(still))
    page.wait_for_selector(".give li:has-text('still.png: known')")
    page.click("summary:text-is('End the crisis')")
    page.click("details.add button.danger")
    page.wait_for_selector(".chip:text-is('ended')")
    page.wait_for_selector("td:has-text('still.png')")

    page.goto(f"{root}/report")
    with page.expect_download() as download:
        page.click("a[download]:has-text('HTML')")
    assert "<html" in Path(download.value.path()).read_text(encoding="utf-8")
    page.goto(f"{root}/audit")
    for action in ("bank", "policy", "block"):
        page.wait_for_selector(f"tbody >> text={action}")

    accessible(page, gate, *(f"{root}/{name}" for name in PAGES))


def test_cut_and_block_from_the_page_of_a_stream(
    gate: GateProcess, known_programme: Path, page: Any, publish: Callable[[str, Path], Publisher]
) -> None:
    with IngestProcess(gate.grpc) as ingest:
        rtmp = ingest.wait_for("ready")["rtmp"]
        for broadcaster, key, reason in (("u1", "x", "cut"), ("u2", "v", "cut")):
            publish(f"rtmp://{rtmp}/live/{broadcaster}?user={broadcaster}&key=sek", known_programme)
            stream = ingest.wait_for("admitted", broadcaster=broadcaster)["stream_id"]
            page.goto(f"http://{gate.http}/console/live/{stream}")
            page.wait_for_selector("#show")
            page.keyboard.press(key)
            page.wait_for_selector("dialog[open] [autofocus]:focus")
            page.keyboard.press("Enter")
            ingest.wait_for("closed", stream_id=stream, reason=reason)
            publish(f"rtmp://{rtmp}/live/{broadcaster}?user={broadcaster}&key=sek", known_programme)
            assert ingest.wait_for("refused", broadcaster=broadcaster)["reason"] == "blocked"
        page.goto(f"http://{gate.http}/console/blocks")
        for broadcaster in ("u1", "u2"):
            page.wait_for_selector(f"tr:has-text('{broadcaster}')")
