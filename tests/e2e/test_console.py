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
    """The pattern for two minutes. The test is over before."""
    path = pattern.with_suffix(".flv")
    _ffmpeg("-stream_loop", "29", "-i", str(pattern), "-c", "copy", str(path))
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
        page.goto(f"http://{gate.http}/console/live")
        page.wait_for_selector("tr:has-text('u42') >> text=Flag")
        page.keyboard.press("Enter")
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

        page.keyboard.press("x")
        page.wait_for_selector("dialog[open] >> text=u42 gets a strike.")
        page.keyboard.press("Enter")
        page.wait_for_selector("text=The strike is given")
        ingest.wait_for("closed", stream_id=first["stream_id"], reason="cut")
        publish(url, programme)
        assert ingest.wait_for("refused", broadcaster="u42")["reason"] == "blocked"

        page.goto(f"http://{gate.http}/console/blocks")
        page.wait_for_selector("tr:has-text('u42')")
        accessible(page, gate, incident)

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


def until(page: Any, expression: str) -> None:
    """Waits for an expression. The pages allow no ``wait_for_function``, which evaluates text later on."""
    for _ in range(600):
        if page.evaluate(expression):
            return
        page.wait_for_timeout(100)
    raise AssertionError(expression)


def accessible(page: Any, gate: GateProcess, incident: str) -> None:
    """axe-core finds nothing on any page, in either language, dark and light."""
    require(shutil.which("npm") is not None, "npm")
    axe = install_package(AXE, MODULES) / "node_modules" / "axe-core" / "axe.min.js"
    source = axe.read_text(encoding="utf-8")
    console = f"http://{gate.http}/console"
    found: list[str] = []
    for language, scheme in (("ar", "dark"), ("en", "light")):
        page.emulate_media(color_scheme=scheme)
        page.goto(f"{console}/language/{language}")
        pages = [f"{console}/{name}" for name in PAGES]
        for url in (*pages, incident, f"{incident}/overturn", f"{incident}/confirm"):
            page.goto(url)
            page.evaluate(source)
            violations = page.evaluate("axe.run().then(found => found.violations)")
            found += [f"{language} {url}: {one['id']}: {one['nodes'][0]['html']}" for one in violations]
    assert found == []
