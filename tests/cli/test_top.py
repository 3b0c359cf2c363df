"""``edge-gate top``: its order is pure, and its screen runs headless against a real gate."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st
from textual.widgets import DataTable, Input, Static
from typer.testing import CliRunner

from edge.api.auth import Role
from edge.cli import top_screen
from edge.cli.app import app
from edge.cli.live_table import SCORES, LiveTable
from edge.cli.top_screen import CutQuestion, TopScreen
from edge.contract.gen import gate_pb2, gate_pb2_grpc, operator_pb2
from edge.errors import CallFailed
from edge.gate_process import GateProcess
from tests.integration.calls import TIMEOUT_S, admit

Change = operator_pb2.StreamChange


def stream(number: int, **fields: Any) -> Change:
    one = operator_pb2.Stream(
        stream_id=f"st_{number}", app="live", name=f"show{number}", broadcaster=f"user{number}", watched=True
    )
    for name, value in fields.items():
        setattr(one, name, value)
    return Change(stream=one)


def test_those_at_risk_come_first() -> None:
    table = LiveTable()
    for change in (
        stream(1, score=0.9),
        stream(2, score=0.2, tier=gate_pb2.TIER_KIND_ALERT),
        stream(3, action=gate_pb2.ACTION_FLAG),
        stream(4, cutting=True),
    ):
        table.take(change)
    assert [row.stream.stream_id for row in table.rows()] == ["st_4", "st_3", "st_2", "st_1"]
    assert [row.state for row in table.rows()] == ["being cut", "flag", "watched", "watched"]
    assert [row.stream.stream_id for row in table.rows("USER2")] == ["st_2"]
    table.take(Change(ended_stream_id="st_4"))
    assert len(table) == 3
    table.take(Change(resync=True))
    assert not list(table.rows())


@given(st.lists(st.floats(allow_infinity=True, allow_nan=False), max_size=60))
def test_the_newest_scores_are_drawn(scores: list[float]) -> None:
    table = LiveTable()
    for score in scores:
        table.take(stream(1, score=score))
    for row in table.rows():
        assert len(row.sparkline) == min(len(scores), SCORES)
        assert row.sparkline[-1] == "▁▂▃▄▅▆▇█"[round(min(max(scores[-1], 0.0), 1.0) * 7)]


async def until(pilot: Any, happened: Callable[[], object]) -> None:
    for _ in range(int(TIMEOUT_S / 0.05)):
        if happened():
            return
        await pilot.pause(0.05)
    raise AssertionError("it has not happened")


def text_of(screen: TopScreen) -> str:
    table = screen.query_one(DataTable)
    return "\n".join(
        " ".join(str(cell) for cell in table.get_row_at(number)) for number in range(table.row_count)
    )


async def test_a_gate_that_is_away_is_said_and_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(top_screen, "_FIRST_MS", 10)
    asked: list[int] = []

    def listen(request: Any, take: Any, opened: Any) -> None:
        asked.append(1)
        raise CallFailed("no gate answers at [nowhere]", retryable=True)

    screen = TopScreen("[nowhere]", listen, lambda *_: "")
    async with screen.run_test(size=(120, 20)) as pilot:
        await until(pilot, lambda: len(asked) > 1)
        head = screen.query_one("#head", Static)
        await until(pilot, lambda: "no gate answers at [nowhere]; connecting again" in str(head.render()))
        await pilot.press("c")  # nothing is live
        assert not isinstance(screen.screen, CutQuestion)


CONFIG = "[workers]\ncount = 1\n[limits]\nunwatched_ms = 600000\n"
"""Nobody watches these streams, however long a command takes."""


@pytest.fixture
def gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GateProcess]:
    with GateProcess(tmp_path_factory.mktemp("gate"), config=CONFIG) as running:
        yield running


async def test_a_stream_is_seen_and_cut_by_hand(gate: GateProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[TopScreen] = []
    monkeypatch.setattr(TopScreen, "run", lambda screen: shown.append(screen))
    where = ["--gate", gate.grpc, "--tokens", str(gate.tokens)]
    assert CliRunner().invoke(app, ["top", *where]).exit_code == 0
    with grpc.insecure_channel(gate.grpc) as channel:
        stub: Any = gate_pb2_grpc.GateStub(channel)
        admit(stub, "[bold]anna")
        other = admit(stub, "berta").stream_id
        [screen] = shown
        async with screen.run_test(size=(140, 24)) as pilot:
            await until(pilot, lambda: screen.query_one(DataTable).row_count == 2)
            assert "[bold]anna" in text_of(screen)
            await pilot.press("slash", *"berta", "enter")
            await until(pilot, lambda: screen.query_one(DataTable).row_count == 1)
            await pilot.press("b")
            await until(pilot, lambda: isinstance(screen.screen, CutQuestion))
            await pilot.press("enter")
            assert isinstance(screen.screen, CutQuestion), "a reason is asked for"
            screen.screen.query_one("#reason", Input).value = "shown by hand"
            await pilot.press("enter")
            await until(pilot, lambda: "being cut" in text_of(screen))
        listed = await asyncio.to_thread(CliRunner().invoke, app, ["top", "--json", *where])
    assert {one["stream_id"]: one["cutting"] for one in json.loads(listed.stdout)}[other]
    blocks = await asyncio.to_thread(CliRunner().invoke, app, ["block", "list", "--json", *where])
    assert [(one["subject"], one["reason"]) for one in json.loads(blocks.stdout)] == [
        ("berta", "shown by hand")
    ]


def test_no_screen_without_a_gate(tmp_path: Any) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text(f"{Role.VIEWER.name.lower()} vera a-viewer-token-of-vera\n")
    tokens.chmod(0o600)
    found = CliRunner().invoke(app, ["top", "--gate", f"unix:{tmp_path}/none", "--tokens", str(tokens)])
    assert (found.exit_code, "no gate answers" in found.output) == (1, True)
