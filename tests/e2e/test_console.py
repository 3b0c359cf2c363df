"""The console in a real browser, against a real gate: from a flag to live again. axe-core reads each page."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from benchmarks.servers.npm_package import install_package
from benchmarks.servers.publisher import Publisher
from edge.api.auth import parse_tokens
from edge.gate_process import GateProcess
from edge.match import Bank, BankInfo, BankPurpose, VariantSet, fingerprint
from tests.conftest import require
from tests.e2e.ingest_process import IngestProcess

pytestmark = pytest.mark.integration

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
AXE = "axe-core@4.14.1"
MODULES = Path(__file__).resolve().parents[2] / ".venv" / "axe-core"
PAGES = ("queue", "live", "incidents", "blocks", "strikes", "appeals", "audit", "health", "view")
PATTERN = "mandelbrot=size=640x360:rate=25:start_scale=3:end_scale=0.02:end_pts=100"


@pytest.fixture(scope="module")
def pattern(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four seconds of a picture that no stranger shows."""
    require(shutil.which("ffmpeg") is not None, "ffmpeg")
    path = tmp_path_factory.mktemp("pattern") / "pattern.mp4"
    encode = ["-t", "4", "-c:v", "libx264", "-preset", "ultrafast", "-g", "25", "-pix_fmt", "yuv420p"]
    _ffmpeg("-f", "lavfi", "-i", PATTERN, *encode, str(path))
    return path


@pytest.fixture(scope="module")
def programme(pattern: Path) -> Path:
    """The pattern for five minutes. The test is over before."""
    path = pattern.with_suffix(".flv")
    _ffmpeg("-stream_loop", "74", "-i", str(pattern), "-c", "copy", str(path))
    return path


def _ffmpeg(*arguments: str) -> None:
    subprocess.run(["ffmpeg", "-nostdin", "-v", "error", *arguments], check=True, timeout=120)


@pytest.fixture
def gate(pattern: Path, tmp_path: Path) -> Iterator[GateProcess]:
    """It only flags what it knows, so that a person cuts."""
    info = BankInfo(label="known_footage", opinion=BankPurpose.INVESTIGATE)
    bank = Bank.create(tmp_path / "gate" / "banks" / "review", info)
    bank.add_footage([fingerprint(pattern, entry_id="pattern", variants=VariantSet.NONE)])
    with GateProcess(tmp_path / "gate", config="[workers]\ncount = 1\n") as process:
        yield process


@pytest.fixture
def page(gate: GateProcess) -> Iterator[Any]:
    """A browser that is signed in. Nothing that a page does is refused by its policy or goes elsewhere."""
    require(Path(CHROMIUM).exists(), "chromium")
    require(find_spec("playwright") is not None, "playwright")
    from playwright.sync_api import sync_playwright

    problems: list[str] = []
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        opened: Any = browser.new_page(locale="en-GB")
        opened.set_default_timeout(60_000)
        opened.on("pageerror", lambda error: problems.append(str(error)))
        opened.on("console", lambda said: problems.extend([said.text] if said.type == "error" else []))
        opened.on("response", lambda got: problems.extend([got.url] if got.status >= 400 else []))
        opened.on("request", lambda asked: problems.extend([] if gate.http in asked.url else [asked.url]))
        opened.goto(f"http://{gate.http}/console/")
        [admin] = parse_tokens(gate.tokens)
        opened.fill("#token", admin.token.get_secret_value())
        opened.keyboard.press("Enter")
        opened.wait_for_url("**/console/queue")
        yield opened
        browser.close()
    assert problems == [], gate.log()[-2000:]


@pytest.fixture
def publish() -> Iterator[Callable[[str, Path], Publisher]]:
    started: list[Publisher] = []

    def start(url: str, source: Path) -> Publisher:
        started.append(Publisher(url, source))
        return started[-1]

    yield start
    for publisher in started:
        publisher.stop()


def test_from_the_flag_to_the_cut_to_live_again(
    gate: GateProcess, programme: Path, page: Any, publish: Callable[[str, Path], Publisher]
) -> None:
    with IngestProcess(gate.grpc) as ingest:
        url = f"rtmp://{ingest.wait_for('ready')['rtmp']}/live/cam?user=u42&key=sek"
        publish(url, programme)
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
        publish(url, programme)
        assert ingest.wait_for("refused", broadcaster="u42")["reason"] == "blocked"

        page.goto(f"http://{gate.http}/console/blocks")
        page.wait_for_selector("tr:has-text('u42')")
        pages = [f"http://{gate.http}/console/{name}" for name in PAGES]
        accessible(page, gate, *pages, incident, f"{incident}/overturn", f"{incident}/confirm")

        page.goto(incident)
        page.keyboard.press("o")
        page.wait_for_selector("dialog[open] >> text=The strike of u42 is pardoned.")
        page.keyboard.press("Enter")
        page.wait_for_selector("text=Overturned.")
        ingest.events.clear()
        publish(url, programme)
        assert ingest.wait_for("admitted", broadcaster="u42")["stream_id"] != first["stream_id"]

        page.click("text=Sign out")
        page.wait_for_selector("#token")
        page.goto(incident)
        page.wait_for_selector("#token")


def seen_live(page: Any) -> str:
    """Watches the stream whose page is open until its picture moves. Returns the page's address."""
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


def by_keyboard(page: Any, said: str, *keys: str) -> None:
    """What a person does from the queue takes three keys at most. A dialog shows before it is answered."""
    assert len(keys) <= 3
    page.wait_for_load_state()
    for key in keys:
        if key == "Enter":
            page.wait_for_selector("dialog[open] [autofocus]:focus")
        page.keyboard.press(key)
    page.wait_for_selector(f".notice:has-text('{said}')")


def until(page: Any, expression: str) -> None:
    """Waits for an expression. The pages allow no ``wait_for_function``, which evaluates text later on."""
    for _ in range(600):
        if page.evaluate(expression):
            return
        page.wait_for_timeout(100)
    raise AssertionError(expression)


def accessible_live(page: Any, gate: GateProcess, live: str) -> None:
    """The pages of a live stream, and its picture also in Arabic."""
    accessible(page, gate, f"http://{gate.http}/console/live", live, f"{live}/cut", f"{live}/block")
    page.goto(f"http://{gate.http}/console/language/ar")
    page.goto(live)
    assert page.evaluate("document.documentElement.dir") == "rtl"
    page.keyboard.press("Enter")
    until(page, "document.querySelector('video').currentTime > 0.2")
    page.goto(f"http://{gate.http}/console/language/en")
    page.goto(live)


def accessible(page: Any, gate: GateProcess, *urls: str) -> None:
    """axe-core finds nothing on these pages, in either language, dark and light."""
    require(shutil.which("npm") is not None, "npm")
    axe = install_package(AXE, MODULES) / "node_modules" / "axe-core" / "axe.min.js"
    source = axe.read_text(encoding="utf-8")
    found: list[str] = []
    for language, scheme in (("ar", "dark"), ("en", "light")):
        page.emulate_media(color_scheme=scheme)
        page.goto(f"http://{gate.http}/console/language/{language}")
        for url in urls:
            page.goto(url)
            page.evaluate(source)
            violations = page.evaluate("axe.run().then(found => found.violations)")
            found += [f"{language} {url}: {one['id']}: {one['nodes'][0]['html']}" for one in violations]
    assert found == []
