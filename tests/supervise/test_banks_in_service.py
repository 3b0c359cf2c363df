"""The supervisor keeps copies of the banks, says what is wrong with them, and serves the last good ones."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from edge.background import BackgroundTasks
from edge.clock import ManualClock
from edge.config import Settings
from edge.match import Bank, Entry, EntryKind, Footage, HashRun
from edge.reasons import AlarmReason
from edge.supervise import banks_in_service
from edge.supervise.alarms import Alarm, Alarms
from edge.supervise.banks_in_service import AGAIN_MS, EVERY_BYTE_MS, FAILED_MS, BanksInService
from edge.telemetry.recording import RecordingBackend
from edge.telemetry.records import AlarmCleared, AlarmRaised, MatchingFailed
from edge.telemetry.telemetry import Telemetry

PATIENCE_S = 90.0


class Service:
    def __init__(self, folder: Path, bank_dir: Path | None = None) -> None:
        self.clock = ManualClock()
        self.recorded = RecordingBackend()
        self.settings = Settings(data_dir=folder, bank_dir=bank_dir)
        telemetry = Telemetry(self.recorded)
        self.alarms = Alarms(telemetry)
        self.reloads = 0
        self.banks = BanksInService(self.settings, self.alarms, telemetry, self.clock, self._reload)

    def _reload(self) -> None:
        self.reloads += 1

    def served(self) -> list[str]:
        return [entry.id for entry, _ in Bank.open(self.settings.bank_copies / "known").entries()]

    async def until(self, happened: Callable[[], object]) -> None:
        for _ in range(int(PATIENCE_S / 0.02)):
            if happened():
                return
            await asyncio.sleep(0.02)
        raise AssertionError(self.alarms.lines())


@asynccontextmanager
async def in_service(
    folder: Path, monkeypatch: pytest.MonkeyPatch, bank_dir: Path | None = None
) -> AsyncIterator[Service]:
    monkeypatch.setattr(banks_in_service, "LOOK_S", 0.05)
    service, tasks = Service(folder, bank_dir), BackgroundTasks()
    await service.banks.start(tasks)
    try:
        yield service
    finally:
        await tasks.aclose()


@pytest.fixture
def bank(tmp_path: Path) -> Bank:
    bank = Bank.create(tmp_path / "banks" / "known")
    bank.add_footage([Footage(Entry("card", EntryKind.IMAGE), (HashRun(bytes(32)),))])
    return bank


async def test_a_torn_bank_is_an_alarm_over_restarts_until_it_is_whole(
    tmp_path: Path, bank: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = bank.segments[0].path
    whole = path.read_bytes()
    async with in_service(tmp_path, monkeypatch) as service:
        assert (service.alarms.lines(), service.served()) == ([], ["card"])
        os.truncate(path, 100)
        await service.until(service.alarms.lines)
        assert service.alarms.lines() == ["banks unreadable known"]
        assert (service.banks.unreadable, service.served()) == (1, ["card"])
    async with in_service(tmp_path, monkeypatch) as service:
        assert (service.alarms.lines(), service.served()) == (["banks unreadable known"], ["card"])
        (raised,) = service.recorded.of(AlarmRaised)
        assert (raised.part, raised.subject) == ("banks", "known")
        assert "torn" in raised.detail
        path.write_bytes(whole)
        reloads = service.reloads
        await service.until(lambda: not service.alarms.lines())
        assert service.recorded.of(AlarmCleared) == [AlarmCleared("banks", AlarmReason.UNREADABLE, "known")]
        assert service.reloads > reloads


async def test_a_folder_that_is_deleted_by_hand_is_an_alarm_and_serves_on(
    tmp_path: Path, bank: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with in_service(tmp_path, monkeypatch, tmp_path / "banks") as service:
        shutil.rmtree(tmp_path / "banks")
        await service.until(service.alarms.lines)
        assert service.alarms.lines() == ["banks missing", "banks missing known"]
        assert service.served() == ["card"]
        assert service.banks.unreadable == 0


async def test_copies_that_are_deleted_while_a_check_ends_are_made_again(
    tmp_path: Path, bank: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with in_service(tmp_path, monkeypatch) as service:
        refresh, deleted = service.banks._refresh, list[str]()

        async def refreshed(extent: str) -> list[Alarm]:
            problems = await refresh(extent)
            if not deleted:
                for path in service.settings.bank_copies.iterdir():
                    deleted.append(path.name)
                    path.unlink()
            return problems

        monkeypatch.setattr(service.banks, "_refresh", refreshed)
        service.banks.ask()
        await service.until(lambda: len(deleted) == 2)
        await service.until(lambda: list(service.settings.bank_copies.glob("*.bank")))
        assert service.served() == ["card"]
        assert service.alarms.lines() == []


async def test_a_gate_without_banks_runs_no_process_and_has_no_alarm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run(*arguments: str, **options: object) -> None:
        raise AssertionError(arguments)

    monkeypatch.setattr(asyncio, "create_subprocess_exec", run)
    async with in_service(tmp_path, monkeypatch) as service:
        service.banks.ask()
        await asyncio.sleep(0.2)
        assert service.alarms.lines() == []


async def test_a_copying_process_that_dies_or_does_not_start_is_an_alarm_and_is_run_again(
    tmp_path: Path, bank: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, killed = asyncio.create_subprocess_exec, list[int]()

    async def run(*arguments: str, **options: Any) -> asyncio.subprocess.Process:
        if len(killed) == 1:
            killed.append(0)
            raise OSError(errno.EAGAIN, "no process")
        process = await real(*arguments, **options)
        if not killed:
            killed.append(process.pid)
            process.send_signal(signal.SIGBUS)
        return process

    monkeypatch.setattr(asyncio, "create_subprocess_exec", run)
    async with in_service(tmp_path, monkeypatch) as service:
        assert service.alarms.lines() == ["banks not_copied"]
        await asyncio.sleep(0.2)
        assert (service.alarms.lines(), len(killed)) == (["banks not_copied"], 1)
        service.clock.advance_ms(AGAIN_MS)
        await service.until(lambda: len(killed) == 2)
        await asyncio.sleep(0.2)
        assert service.alarms.lines() == ["banks not_copied"]
        service.clock.advance_ms(4 * AGAIN_MS)
        await service.until(lambda: not service.alarms.lines())
        assert service.served() == ["card"]


async def test_what_workers_report_has_every_byte_checked_and_the_copy_mended(
    tmp_path: Path, bank: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with in_service(tmp_path, monkeypatch) as service:
        (copy,) = Bank.open(service.settings.bank_copies / "known").segments
        os.truncate(copy.path, 64)
        service.clock.advance_ms(AGAIN_MS)
        service.banks.workers_report(unreadable=1, failed=0)
        await service.until(lambda: copy.path.stat().st_size == copy.size_bytes)
        assert service.alarms.lines() == []

        os.truncate(copy.path, 64)
        service.clock.advance_ms(AGAIN_MS)
        service.banks.workers_report(unreadable=0, failed=3)
        assert service.alarms.lines() == ["banks failed"]
        await service.until(lambda: copy.path.stat().st_size == copy.size_bytes)
        service.banks.workers_report(unreadable=0, failed=3)
        assert service.recorded.of(MatchingFailed) == [MatchingFailed(3)]
        service.clock.advance_ms(FAILED_MS)
        await service.until(lambda: not service.alarms.lines())


async def test_a_bit_that_a_disk_flips_is_found_within_a_day(
    tmp_path: Path, bank: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = bank.segments[0].path
    async with in_service(tmp_path, monkeypatch) as service:
        before = path.stat()
        content = bytearray(path.read_bytes())
        content[-1] ^= 4
        path.write_bytes(content)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        await asyncio.sleep(0.2)
        assert service.alarms.lines() == []
        service.clock.advance_ms(EVERY_BYTE_MS)
        await service.until(lambda: service.alarms.lines() == ["banks unreadable known"])
        assert service.served() == ["card"]


async def test_a_name_that_is_a_line_of_its_own_is_none_in_the_health_check(
    tmp_path: Path, bank: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "banks" / "x\nok.bank").write_text("torn")
    async with in_service(tmp_path, monkeypatch) as service:
        (line,) = service.alarms.lines()
        assert line.isprintable()
        assert line.startswith("banks lost x")
        assert service.served() == ["card"]
