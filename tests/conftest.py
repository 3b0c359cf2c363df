"""Where the real footage is, and what happens when it is not."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from edge.grpc_listener import use_short_listener
from tests.footage import footage, programme
from tests.postgresql import postgresql

__all__ = ["footage", "postgresql", "programme"]

use_short_listener()

# As Hypothesis itself does in CI: how long an example takes says nothing on a busy machine.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
if not os.environ.get("CI"):
    settings.load_profile("untimed")

# A gate of the tests starts in half the time without it; tests of the spare worker ask for one.
os.environ.setdefault("EDGE_WORKERS__SPARE", "0")
# The many processes that tests start need not compile the package each, where the environment says so.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

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


@pytest.fixture(autouse=True)
def ordinary_priority() -> Iterator[None]:
    """No test leaves a thread of this process with a real-time priority: it starves all gates beside it.

    libsvtav1 takes one where root runs it.
    """
    yield
    real_time = [task for task in map(int, os.listdir("/proc/self/task")) if _real_time(task)]
    for task in real_time:  # the tests that follow are not to blame
        os.sched_setscheduler(task, os.SCHED_OTHER, os.sched_param(0))
    assert not real_time, f"{len(real_time)} threads of this process run before all others on the machine"


def _real_time(task: int) -> bool:
    try:
        return os.sched_getscheduler(task) != os.SCHED_OTHER
    except ProcessLookupError:  # it has ended meanwhile
        return False


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of real servers in real time go first: they take longest."""
    items.sort(key=lambda item: not {"integration", "e2e"} & set(item.path.parts))
