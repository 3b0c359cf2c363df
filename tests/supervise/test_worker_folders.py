"""Folders of workers that somebody deletes, and a worker that fills the one it writes to."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edge.clock import ManualClock
from edge.errors import ModelError
from edge.supervise import worker_folders
from edge.supervise.alarms import Alarms
from edge.supervise.worker_folders import STANDS_MS, WorkerFolders
from edge.telemetry.recording import RecordingBackend
from edge.telemetry.telemetry import Telemetry
from edge.workers.double import RecordingPool
from edge.workers.settings import WorkersSection
from tests.workers.worker_settings import worker_settings

MB = 1 << 20


class Bench:
    def __init__(self, folder: Path) -> None:
        self.clock = ManualClock()
        self.alarms = Alarms(Telemetry(RecordingBackend()))
        self.pool = RecordingPool(WorkersSection(), worker_settings(folder), self.clock)
        self.copies, self.incoming = folder / "copies", folder / "evidence" / "incoming"
        self.filled = 0
        self.folders = WorkerFolders(
            {self.copies: self._fill}, self.incoming, MB, self.pool, self.alarms, self.clock
        )
        self.folders.note()

    async def _fill(self) -> None:
        assert self.copies.is_dir()
        self.filled += 1


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


async def test_a_folder_that_stays_is_no_alarm(bench: Bench) -> None:
    (bench.copies / "known.bank").write_bytes(b"x")
    await bench.folders.look()
    assert (bench.alarms.lines(), bench.pool.replaced, bench.filled) == ([], 0, 0)


@pytest.mark.parametrize("replaced", [False, True])
async def test_a_folder_that_is_gone_is_made_filled_and_given_to_new_workers(
    replaced: bool, bench: Bench
) -> None:
    bench.copies.rename(bench.copies.with_name("away"))
    if replaced:
        bench.copies.mkdir()
    await bench.folders.look()
    assert bench.copies.stat().st_mode & 0o777 == (0o755 if replaced else 0o700)
    assert (bench.pool.replaced, bench.filled) == (1, 1)
    assert bench.alarms.lines() == ["workers folder_gone copies"]
    await bench.folders.look()
    assert bench.pool.replaced == 1
    bench.clock.advance_ms(STANDS_MS)
    await bench.folders.look()
    assert bench.alarms.lines() == []


async def test_workers_that_could_not_start_again_stay_until_they_can(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refused() -> None:
        raise ModelError("its model is gone")

    shutil.rmtree(bench.incoming)
    with monkeypatch.context() as patched:
        patched.setattr(bench.pool, "replace_workers", refused)
        await bench.folders.look()
        await bench.folders.look()
    assert bench.pool.replaced == 0
    bench.clock.advance_ms(60_000)
    await bench.folders.look()
    assert bench.pool.replaced == 1
    assert bench.incoming.is_dir()


@contextmanager
def writer(path: Path, megabytes: int, *, removed: bool) -> Iterator[int]:
    """A process that holds a file open. ``removed``: it has no name any more, and takes its space on."""
    code = (
        "import os, sys; f = open(sys.argv[1], 'wb'); f.write(b'x' * int(sys.argv[2])); f.flush();"
        "int(sys.argv[3]) and os.unlink(sys.argv[1]); print(flush=True); sys.stdin.read()"
    )
    arguments = [sys.executable, "-c", code, str(path), str(megabytes * MB), str(int(removed))]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process.pid


@pytest.mark.parametrize("removed", [False, True])
async def test_a_worker_that_fills_the_folder_is_ended_and_the_folder_emptied(
    removed: bool, bench: Bench
) -> None:
    with (
        writer(bench.incoming / "in_1.mp4", 2, removed=removed) as hostile,
        writer(bench.copies / "else", 2, removed=True) as other,
    ):
        bench.pool.pids = (hostile, other)
        await bench.folders.look()
        assert bench.pool.condemned == [hostile]
    assert not list(bench.incoming.iterdir())
    assert bench.alarms.lines() == ["workers too_much incoming"]
    assert bench.pool.replaced == 0
    bench.pool.pids = ()
    bench.clock.advance_ms(STANDS_MS)
    await bench.folders.look()
    assert bench.alarms.lines() == []


async def test_many_small_files_are_too_much_and_what_is_allowed_stays(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_folders, "MOST_FILES", 10)
    for number in range(10):
        (bench.incoming / f"in_{number}.mp4").touch()
    await bench.folders.look()
    assert len(list(bench.incoming.iterdir())) == 10
    (bench.incoming / "in_10.mp4").touch()
    await bench.folders.look()
    assert not list(bench.incoming.iterdir())
