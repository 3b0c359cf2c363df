"""How the siege benchmark computes its figures, and that each flood ends when it is told to."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks._media import Loop, Unit
from benchmarks._siege_floods import FLOODS, HALF_REQUESTS, Flood, Plan, end
from benchmarks._siege_round import Media, Round, Window, _cores, _flood, figures
from benchmarks.siege import missed, too_busy
from edge.ingest.flv import FLV_HEADER

MET = {"samples_kept": 0.96, "admits_answered": 1.0, "publishes_let_in": 1.0, "cut_ratio": 1.9}


@pytest.mark.parametrize(
    ("changed", "wrong"),
    [
        ({}, []),
        ({"samples_kept": 0.94}, ["samples_kept"]),
        ({"admits_answered": 0.99}, ["admits_answered"]),
        ({"publishes_let_in": None}, ["publishes_let_in"]),
        ({"cut_ratio": 2.1}, ["cut_ratio"]),
        ({"cut_ratio": None}, ["cut_ratio"]),
    ],
)
def test_a_goal_is_missed_where_a_figure_is_short_of_it_or_missing(
    changed: dict[str, Any], wrong: list[str]
) -> None:
    assert missed({**MET, **changed}) == wrong


def test_figures_compare_the_two_windows() -> None:
    calm = Window(100.0, 110.0, samples=100, cut_ms=[600.0, 800.0])
    flooded = Window(
        111.0,
        121.0,
        admits=[1.0, 9.0, None, 2.0],
        publishes=[True, False],
        healthy=[True],
        cut_ms=[1400.0],
        samples=96,
    )
    found = figures(calm, flooded, [{"failed": ""}, {"failed": "UNAVAILABLE"}], {"units": 7})
    assert found["samples_kept"] == 0.96
    assert found["samples_due"] == 10
    assert not too_busy(found)
    assert too_busy({**found, "samples_due": 120})
    assert too_busy({**found, "late_s": 3.0})
    assert too_busy({**found, "admits_refused_without": {"REASON_CODE_CAPACITY": 1}})
    assert found["admits_answered"] == 0.75
    assert found["admit_ms_max"] == 9.0
    assert found["publishes_let_in"] == 0.5
    assert (found["cut_ms_without"], found["cut_ms"], found["cut_ratio"]) == (700.0, 1400.0, 2.0)
    assert found["streams_failed"] == ["UNAVAILABLE"]


def test_a_violation_that_is_not_cut_at_all_has_no_ratio() -> None:
    calm, flooded = Window(0, 1, cut_ms=[600.0]), Window(1, 2, cut_ms=[700.0, None])
    assert figures(calm, flooded, [], {})["cut_ratio"] is None
    assert missed({**MET, **figures(calm, flooded, [], {})}) != []


@pytest.mark.parametrize("name", list(FLOODS))
async def test_a_flood_against_nothing_goes_on_until_it_is_cancelled(name: str, tmp_path: Path) -> None:
    """Its targets may be gone before it is told."""
    nowhere = "127.0.0.1:9"
    flv = tmp_path / "one.flv"
    flv.write_bytes(FLV_HEADER + bytes([9, 0, 0, 1, *bytes(7), 0x17, *bytes(4)]))
    loop = Loop("h264", b"", (Unit(0, 0, True, b"x"),), 40)
    plan = Plan(name, nowhere, nowhere, nowhere, tmp_path / "tokens", loop, flv, '{"apps": {}}')
    task = asyncio.ensure_future(FLOODS[name](Flood(plan)))
    await asyncio.wait({task}, timeout=0.3)
    assert not task.done(), task.exception()
    async with asyncio.timeout(90):
        await end(task)


async def test_a_flood_begins_when_it_is_told_and_says_what_it_did(tmp_path: Path) -> None:
    flv, loop = tmp_path / "one.flv", Loop("h264", b"", (Unit(0, 0, True, b"x"),), 40)
    media = Media(loop, {}, flv, flv, 0, tmp_path)
    taken: list[asyncio.StreamWriter] = []
    all_there = asyncio.Event()

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, EOFError), contextlib.closing(writer):
            await reader.readexactly(1)  # a flood counts a connection before it sends on it
            taken.append(writer)
            if len(taken) == HALF_REQUESTS:
                all_there.set()
            await reader.read()

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    gate: Any = SimpleNamespace(grpc="127.0.0.1:9", http=f"{host}:{port}", tokens=tmp_path / "tokens")
    async with (
        server,
        _flood(Round("half_requests", media, 1, 4, tmp_path, 19), gate, "127.0.0.1:9", "{}") as flood,
    ):
        assert os.getpriority(os.PRIO_PROCESS, flood.pid) == 19
        assert not taken
        flood.begin()
        async with asyncio.timeout(60):
            await all_there.wait()
        assert await flood.end() == {"connections": HALF_REQUESTS}


def test_the_processor_time_of_each_is_reported() -> None:
    window = Window(0, 1)
    until = time.process_time() + 0.2
    with _cores(window, {"own": os.getpid(), "gone": 2**22 + 1}):
        while time.process_time() < until:
            pass
    assert window.cores["own"] > 0
    assert window.cores["gone"] == 0
    assert figures(window, Window(1, 2), [], {})["cores_without"] == window.cores
