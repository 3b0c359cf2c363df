"""What a test does with a page of the console in a real browser."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from benchmarks.servers.npm_package import install_package
from edge.gate_process import GateProcess
from tests.conftest import require

AXE = "axe-core@4.14.1"
PHONE = {"width": 360, "height": 740}
DESKTOP = {"width": 1280, "height": 720}
MODULES = Path(__file__).resolve().parents[2] / ".venv" / "axe-core"


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


def accessible(page: Any, gate: GateProcess, *urls: str) -> None:
    """axe-core finds nothing on these pages, in either language, dark and light, and nobody has to scroll
    them sideways, on a desktop or a phone."""
    require(shutil.which("npm") is not None, "npm")
    axe = install_package(AXE, MODULES) / "node_modules" / "axe-core" / "axe.min.js"
    source = axe.read_text(encoding="utf-8")
    found: list[str] = []
    for language, scheme in (("ar", "dark"), ("en", "light")):
        page.emulate_media(color_scheme=scheme)
        page.goto(f"http://{gate.http}/console/language/{language}")
        for url in urls:
            page.set_viewport_size(DESKTOP)
            page.goto(url)
            page.evaluate(source)
            violations = page.evaluate("axe.run().then(found => found.violations)")
            found += [f"{language} {url}: {one['id']}: {one['nodes'][0]['html']}" for one in violations]
            for size in (DESKTOP, PHONE):
                page.set_viewport_size(size)
                width = page.evaluate("document.scrollingElement.scrollWidth")
                found += [f"{language} {url}: {width} wide at {size['width']}"] * (width > size["width"])
    page.set_viewport_size(DESKTOP)
    assert found == []
