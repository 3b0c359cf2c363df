"""Where the real footage is, and what happens when it is not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.postgresql import postgresql
from tests.programme import footage, programme

__all__ = ["footage", "postgresql", "programme"]

# As Hypothesis itself does in CI: how long an example takes says nothing on a busy machine.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
if not os.environ.get("CI"):
    settings.load_profile("untimed")

# A gate of the tests starts in half the time without it; tests of the spare worker ask for one.
os.environ.setdefault("EDGE_WORKERS__SPARE", "0")

SHARED = Path(__file__).resolve().parents[2] / "shared"


def require(condition: bool, what: str) -> None:
    """Skip on a developer's machine, fail in CI: there nothing may be missing."""
    if condition:
        return
    if os.environ.get("CI"):
        pytest.fail(f"{what} is missing, and in CI nothing may be skipped")
    pytest.skip(f"{what} is missing")


@pytest.fixture(scope="session")
def shared() -> Path:
    """``../shared``, with labelled footage under ``data`` and reference hashes under ``reference``."""
    require((SHARED / "data" / "clips.csv").is_file(), "../shared/data")
    return SHARED


@pytest.fixture(scope="session")
def fight_clip(shared: Path) -> Path:
    return shared / "data" / "clips" / "surveillance-fights" / "fight" / "fi001.mp4"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of real servers in real time go first: they take longest.

    In CI, on machines that others use as well, one of them that fails is tried once more; the first failure
    stands in the summary as a rerun. What fails twice fails.
    """

    def real_time(item: pytest.Item) -> bool:
        return bool({"integration", "e2e"} & set(item.path.parts))

    items.sort(key=lambda item: not real_time(item))
    if os.environ.get("CI"):
        for item in filter(real_time, items):
            item.add_marker(pytest.mark.flaky(reruns=1, reruns_delay=5))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What failed once is not forgotten because it passed then."""
    for report in terminalreporter.getreports("rerun"):
        terminalreporter.write_sep("_", f"failed once: {report.nodeid}")
        terminalreporter.write_line(report.longreprtext)
        for name, content in report.sections:
            terminalreporter.write_sep("-", name)
            terminalreporter.write_line(content[-8000:])
