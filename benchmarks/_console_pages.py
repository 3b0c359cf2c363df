"""Pages of the console as people have them open: in a real Chromium, or as the requests that a page makes."""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import Iterator
from typing import Any

import httpx

from edge.api.auth import parse_tokens
from edge.gate_process import GateProcess

_QUEUE_EVERY_S = 0.7
_LIVE_EVERY_S = 1.0
_NOTES_NEW_JOBS = """() => {
  window.seenAt = {}
  const look = () => document.querySelectorAll("[data-job]").forEach(
    (job) => (window.seenAt[job.dataset.job] ??= Date.now()))
  new MutationObserver(look).observe(document.getElementById("rows"), { childList: true, subtree: true })
  look()
}"""
_FIRST_FRAME = """() => new Promise((done, failed) => {
  const end = performance.now() + 30000
  const look = () => {
    document.getElementById("show")?.click()
    const shown = document.getElementById("video")?.readyState >= 2
    if (shown) requestAnimationFrame(() => done(performance.now()))
    else if (performance.now() > end) failed(new Error("no frame within 30 s"))
    else setTimeout(look, 5)
  }
  look()
})"""


def token_of(gate: GateProcess) -> str:
    return parse_tokens(gate.tokens)[0].token.get_secret_value()


@contextlib.contextmanager
def chromium(path: str) -> Iterator[Any]:
    """A browser without a window."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


def signed_in(browser: Any, gate: GateProcess) -> Any:
    """A page at the queue of a gate."""
    page = browser.new_context(locale="en-GB").new_page()
    page.set_default_timeout(60_000)
    page.goto(f"http://{gate.http}/console/")
    page.fill("#token", token_of(gate))
    page.keyboard.press("Enter")
    page.wait_for_url("**/console/queue")
    return page


def note_new_jobs(page: Any) -> None:
    page.evaluate(_NOTES_NEW_JOBS)


def seen_at(page: Any, incident_id: str, patience_s: float) -> float:
    """Wall time in milliseconds at which an incident was on the page. Raises TimeoutError."""
    end = time.monotonic() + patience_s
    while time.monotonic() < end:
        at = page.evaluate("(id) => window.seenAt[id] ?? null", incident_id)
        if at is not None:
            return float(at)
        page.wait_for_timeout(20)
    raise TimeoutError(f"{incident_id} is not on the page after {patience_s:.0f} s")


def first_frame_ms(page: Any, gate: GateProcess, incident_id: str) -> float:
    """Milliseconds from the navigation to the page of an incident until the player shows a frame. The warning
    before it is answered as soon as it is there."""
    page.goto(f"http://{gate.http}/console/incidents/{incident_id}", wait_until="commit")
    return float(page.evaluate(_FIRST_FRAME))


async def client_of(gate: GateProcess) -> httpx.AsyncClient:
    """Signed in, as a browser is."""
    client = httpx.AsyncClient(base_url=f"http://{gate.http}", timeout=60, follow_redirects=False)
    form = {"token": token_of(gate), "next": "/console/queue"}
    answer = await client.post("/console/sign-in", data=form, headers={"origin": f"http://{gate.http}"})
    if answer.status_code != 303:
        raise TimeoutError(f"cannot sign in: {answer.status_code}")
    return client


async def keep_open(client: httpx.AsyncClient, path: str) -> None:
    """Asks for what a page that is open asks for, for ever: rows that it has not got yet."""
    every_s = _LIVE_EVERY_S if path.endswith("/live") else _QUEUE_EVERY_S
    page = await client.get(path)
    seen = (re.findall(r'data-seen="([^"]*)"', page.text) or [""])[0]
    while True:
        await asyncio.sleep(every_s)
        answer = await client.get(path, headers={"x-console-part": "rows", "x-console-seen": seen})
        seen = answer.headers.get("x-console-seen", seen)


async def answered_ms(client: httpx.AsyncClient, path: str) -> float:
    began = time.perf_counter()
    answer = await client.get(path)
    answer.raise_for_status()
    return (time.perf_counter() - began) * 1000
