"""Fixtures for all tests, among them the real footage and what to do without it."""

from __future__ import annotations

import logging
import os
import signal
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from edge.grpc_listener import use_short_listener
from tests.footage import footage, programme
from tests.postgresql import pair, postgresql, two_servers

__all__ = ["footage", "pair", "postgresql", "programme", "two_servers"]

use_short_listener()

# As Hypothesis does in CI: an example's duration means nothing on a busy machine.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
if not os.environ.get("CI"):
    settings.load_profile("untimed")

# What a shell runs in its background ignores Ctrl-C, and every command of a test would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Without a spare worker a test's gate starts in half the time. Tests of the spare worker ask for one.
os.environ.setdefault("EDGE_WORKERS__SPARE", "0")
# Beside others, a worker may take a minute until it is ready.
os.environ.setdefault("EDGE_WORKERS__READY_MS", "120000")
# The many processes share compiled bytecode, those of pytest also the tests with their assertions.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

SHARED = Path(__file__).resolve().parents[2] / "shared"


def require(condition: bool, what: str) -> None:
    """Skips on a developer's machine. Fails in CI, where nothing may be missing."""
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
    """Checks that no test leaves a thread with real-time priority, which would starve all gates beside it.

    libsvtav1 takes such a priority when root runs it.
    """
    yield
    real_time = [task for task in map(int, os.listdir("/proc/self/task")) if _real_time(task)]
    for task in real_time:  # The tests that follow are not to blame.
        os.sched_setscheduler(task, os.SCHED_OTHER, os.sched_param(0))
    assert not real_time, f"{len(real_time)} threads of this process run before all others on the machine"


@pytest.fixture(autouse=True)
def ordinary_logging() -> Iterator[None]:
    """Checks that no test leaves loggers quieter than it found them, which would fail tests after it."""
    yield
    ours = [name for name in list(logging.root.manager.loggerDict) if name.split(".")[0] == "edge"]
    changed = [name for name in ours if logging.getLogger(name).level]
    for name in changed:  # The tests that follow are not to blame.
        logging.getLogger(name).setLevel(logging.NOTSET)
    assert not changed, f"loggers with a level of their own: {', '.join(changed)}"
    assert not logging.root.manager.disable, "logging is disabled"


def _real_time(task: int) -> bool:
    try:
        return os.sched_getscheduler(task) != os.SCHED_OTHER
    except ProcessLookupError:  # The thread has ended meanwhile.
        return False


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Runs tests of real servers in real time first, because they take longest."""
    items.sort(key=lambda item: not {"integration", "e2e"} & set(item.path.parts))


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """What was synced, in order: ``file`` with its size then, or ``folder`` with its number of names."""
    seen: list[tuple[str, int]] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        status = os.fstat(descriptor)
        if stat.S_ISDIR(status.st_mode):
            seen.append(("folder", len(os.listdir(descriptor))))
        else:
            seen.append(("file", status.st_size))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    return seen
