"""``edge-gate stream`` and ``incident watch`` against a real gate with live streams."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest
from typer.testing import CliRunner, Result

from edge.cli.app import app
from edge.clock import SystemClock
from edge.contract.gen import gate_pb2_grpc
from edge.domain import Action, Incident, Publish, Verdict, new_id
from edge.gate_process import GateProcess
from edge.ledger import Ledger
from edge.reasons import VerdictReason
from tests.integration.calls import TIMEOUT_S, admit, until

CONFIG = "[workers]\ncount = 1\n[limits]\nunwatched_ms = 600000\n"
"""Nobody watches these streams, however long a command takes."""


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GateProcess]:
    with GateProcess(tmp_path_factory.mktemp("gate"), config=CONFIG) as running:
        yield running


@pytest.fixture(scope="module")
def stub(gate: GateProcess) -> Iterator[Any]:
    with grpc.insecure_channel(gate.grpc) as channel:
        yield gate_pb2_grpc.GateStub(channel)


@pytest.fixture
def run(gate: GateProcess) -> Callable[..., Result]:
    def invoke(*arguments: str) -> Result:
        return CliRunner().invoke(app, [*arguments, "--gate", gate.grpc, "--tokens", str(gate.tokens)])

    return invoke


class Watching:
    """A command that prints one JSON object a line, until Ctrl-C."""

    def __init__(self, gate: GateProcess, *arguments: str) -> None:
        where = ["--gate", gate.grpc, "--tokens", str(gate.tokens), "--json"]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "edge.cli", *arguments, *where],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.said: list[dict[str, Any]] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        self.said += (json.loads(line) for line in iter(self.process.stdout.readline, ""))

    def until(self, expected: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
        def found() -> list[dict[str, Any]]:
            return [one for one in list(self.said) if expected(one)]

        return until(found, bool)[0]

    def ends(self) -> int:
        self.process.send_signal(signal.SIGINT)
        code = self.process.wait(TIMEOUT_S)
        assert self.process.stderr is not None
        assert "Traceback" not in self.process.stderr.read()
        return code


def test_live_streams_are_listed_shown_watched_and_cut(
    gate: GateProcess, stub: Any, run: Callable[..., Result]
) -> None:
    watching = Watching(gate, "stream", "watch")
    try:
        watching.until(lambda one: one["resync"])
        live = admit(stub, "anna").stream_id
        other = admit(stub, "berta").stream_id
        watching.until(lambda one: (one["stream"] or {}).get("stream_id") == live)
        listed = json.loads(run("stream", "list", "--json").stdout)
        assert {one["stream_id"] for one in listed} == {live, other}
        assert "1 more: --limit shows them" in run("stream", "list", "--limit", "1").stdout
        only = json.loads(run("stream", "list", "--broadcaster", "anna", "--json").stdout)
        assert [one["stream_id"] for one in only] == [live]
        shown = json.loads(run("stream", "show", live, "--json").stdout)
        assert (shown["broadcaster"], shown["cutting"], shown["watched"]) == ("anna", False, False)
        assert f"stream        {live}" in run("stream", "show", live).stdout
        cut = run("stream", "cut", live, "--reason", "indecent", "--block", "1h")
        assert cut.exit_code == 0, cut.output
        assert f"{live} is being cut" in cut.stdout
        assert "broadcaster anna is blocked until" in cut.stdout
        watching.until(lambda one: one["stream"] and one["stream"]["cutting"])
        again = run("stream", "cut", live, "--reason", "again", "--json")
        assert (again.exit_code, json.loads(again.stdout)["reason"]) == (1, "call_failed")
        assert "no live stream with id 'st_none'" in run("stream", "show", "st_none").stderr
        assert "--block: 'soon' is not a duration" in (
            run("stream", "cut", other, "--reason", "x", "--block", "soon").stderr
        )
        assert "its publisher may come back" in run("stream", "cut", other, "--reason", "x").stdout
    finally:
        assert watching.ends() == 130


def test_each_change_of_an_incident_is_printed(gate: GateProcess, run: Callable[..., Result]) -> None:
    watching = Watching(gate, "incident", "watch", "--app", "live")
    try:
        at = watching.until(lambda one: one["resync"])["sequence"]
        ledger = Ledger.open(f"sqlite:///{gate.tokens.parent / 'edge.db'}", busy_timeout_ms=5000)
        incidents = {}
        for where in ("live", "other"):
            incident = Incident(
                new_id("in"),
                new_id("st"),
                Publish("test", "c-1", where, "show", "carla"),
                Verdict(Action.FLAG, 1000, 900, "fight", VerdictReason.DETECTOR, 0.9),
                SystemClock().wall_ms(),
            )
            ledger.record_incident(incident, incident.created_ms)
            incidents[where] = incident.id
        ledger.close()
        opened = watching.until(lambda one: one["what"] == "incident")
        assert opened["sequence"] > at
        assert (opened["incident"]["id"], opened["incident"]["state"]) == (incidents["live"], "open")
        assert run("incident", "claim", incidents["other"]).exit_code == 0
        assert run("incident", "claim", incidents["live"], "--as", "local").exit_code == 0
        claimed = watching.until(lambda one: one["what"] == "claim")
        assert (claimed["by"], claimed["incident"]["id"]) == ("local", incidents["live"])
    finally:
        assert watching.ends() == 130
