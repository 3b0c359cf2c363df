"""A gate, what is published to it, and a browser that is signed in to its console."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from benchmarks.servers.publisher import Publisher
from edge.api.auth import parse_tokens
from edge.gate_process import GateProcess
from edge.match import Bank, BankInfo, BankPurpose, VariantSet, fingerprint
from tests.conftest import require

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
PATTERN = "mandelbrot=size=640x360:rate=25:start_scale=3:end_scale=0.02:end_pts=100"


@pytest.fixture(scope="module")
def pattern(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four seconds of a video that no stranger shows."""
    require(shutil.which("ffmpeg") is not None, "ffmpeg")
    path = tmp_path_factory.mktemp("pattern") / "pattern.mp4"
    encode = ["-t", "4", "-c:v", "libx264", "-preset", "ultrafast", "-g", "25", "-pix_fmt", "yuv420p"]
    _ffmpeg("-f", "lavfi", "-i", PATTERN, *encode, str(path))
    return path


@pytest.fixture(scope="module")
def still(pattern: Path) -> Path:
    """One frame of it."""
    path = pattern.with_name("still.png")
    _ffmpeg("-ss", "2", "-i", str(pattern), "-frames:v", "1", str(path))
    return path


@pytest.fixture(scope="module")
def known_programme(pattern: Path) -> Path:
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
