"""Background work that fails is counted, seen in health and begun again; what needs it fails readiness."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from edge import background
from edge.background import BackgroundTasks
from edge.domain import Action
from edge.telemetry.records import TaskFailed
from tests.supervise.gate_without_workers import Bench, gate_without_workers


def failures(bench: Bench) -> list[str]:
    return [record.task for record in bench.recorded.records if isinstance(record, TaskFailed)]


async def test_a_needed_service_that_is_down_fails_readiness_until_it_runs_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(background, "FIRST_PAUSE_MS", 20)
    monkeypatch.setattr(background, "STEADY_S", 0.2)
    tasks, broken = BackgroundTasks(), asyncio.Event()
    broken.set()

    async def service() -> None:
        if broken.is_set():
            raise ValueError("not expected")
        await asyncio.sleep(3600)

    async with gate_without_workers(tmp_path) as bench:
        assert not list(bench.gate.unready())
        tasks.keep(service, "a service")
        await bench.until(lambda: list(bench.gate.unready()) == ["task: a service is down"])
        await bench.until(lambda: len(failures(bench)) > 2)
        assert any("a service" in line for line in bench.gate.health())
        broken.clear()
        await bench.until(lambda: not list(bench.gate.unready()))
        assert any("a service failed" in line for line in bench.gate.health())
        await tasks.aclose()


async def test_no_worker_and_a_drain_fail_readiness(tmp_path: Path) -> None:
    async with gate_without_workers(tmp_path) as bench:
        bench.workers.up = 0
        assert list(bench.gate.unready()) == ["workers: none is up"]
        assert "workers: 0 of 1 are up" in bench.gate.health()
        bench.workers.up = 1
        bench.gate._context.draining = True
        assert list(bench.gate.unready()) == ["the gate is stopping"]


async def test_every_service_of_the_gate_is_begun_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(background, "FIRST_PAUSE_MS", 1)
    async with gate_without_workers(tmp_path) as bench:
        gate, begun = bench.gate, []

        def failing(name: str) -> None:
            async def service() -> None:
                begun.append(name)
                raise ValueError(name)

            monkeypatch.setattr(gate.upkeep, name, service)

        names = {"_sweep", "_keep_ledger", "_look_after_model"}
        for name in names:
            failing(name)
        await gate.start()
        await bench.until(lambda: all(begun.count(name) > 2 for name in names))


async def test_an_error_with_one_stream_leaves_the_others_of_a_lost_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with gate_without_workers(tmp_path) as bench:
        first, second = await bench.watched(), await bench.watched("8", "other", "berta")
        opened, open_again = [], bench.gate.router.reopener.open_again

        def breaks(stream: object) -> None:
            opened.append(stream)
            if len(opened) == 1:
                raise ValueError("not expected")
            open_again(stream)  # type: ignore[arg-type]

        monkeypatch.setattr(bench.gate.router.reopener, "open_again", breaks)
        bench.gate.router.ends.streams_lost((first, second), None)
        await bench.until(lambda: bench.workers.sent_to(second).count("open_push") == 2)
        assert failures(bench) == ["StreamReopener.open_again"]


async def test_an_error_of_a_pull_does_not_leave_a_live_stream_unwatched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.supervise.stream_reopener._PULL_RETRY_MS", 1)
    async with gate_without_workers(tmp_path) as bench:
        stream_id = await bench.watched()
        broken, pull = [ValueError("not expected")], bench.pullers.pull

        def breaks(*of: object, **how: object) -> object:
            if broken:
                raise broken.pop()
            return pull(*of, **how)  # type: ignore[arg-type]

        monkeypatch.setattr(bench.pullers, "pull", breaks)
        await bench.pull_ends(stream_id, None)
        await bench.until(lambda: len(bench.pullers.pulls_of(stream_id)) == 2)
        assert failures(bench) == ["StreamReopener.pull_again"]


async def test_a_stream_whose_evidence_fails_is_cut_to_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with gate_without_workers(tmp_path) as bench:
        stream_id = await bench.watched()

        async def breaks(stream: object) -> None:
            raise ValueError("not expected")

        monkeypatch.setattr(bench.gate._enforcer, "_send_evidence_media", breaks)
        bench.judged(stream_id, Action.CUT)
        bench.server.gone = True
        await bench.until(lambda: bench.gate.registry.find(stream_id) is None)
        assert bench.ledger.incidents(limit=1)[0].cut_confirmed_ms
        assert failures(bench) == ["Enforcer._cut"]
