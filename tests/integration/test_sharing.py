"""Two companies: an incident confirmed at one gate is known at the other, as strong as that one chose."""

from __future__ import annotations

import itertools
import json
import sqlite3
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from edge.cli.app import app
from edge.contract.gen import gate_pb2, operator_pb2
from edge.errors import BankError
from edge.sharing.share_log import ShareLog
from tests.integration.calls import read_units, until, write_footage
from tests.integration.test_banking import (
    NOTHING_FLAGS,
    confirmed,
    flagged_in_the_middle,
    part,
    shown,
    until_looked_at,
)
from tests.integration.test_violation import CONFIG, Footage, RunningGate, running
from tests.running_gate import metric
from tests.sharing.certificates import Authority

ACME = "gate.acme.example"


def test_a_confirmed_incident_is_known_to_a_company_that_follows(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    own, theirs = authority.issue("localhost", "127.0.0.1"), authority.issue(ACME)
    shares = f"""{CONFIG}
[share]
listen = "127.0.0.1:0"
name = "Example"
cert = "{own.cert}"
key = "{own.key}"
ca = "{own.ca}"
[share.peers.acme]
subject = "{ACME}"
banks = ["incidents"]
"""
    write_footage(tmp_path / "moving.mp4", seconds=8)
    footage, banks = read_units(tmp_path / "moving.mp4"), tmp_path / "b" / "banks"
    with running(tmp_path / "a", shares) as here:
        here.set_policy(categories=NOTHING_FLAGS, budget_ms=5000)
        flagged = flagged_in_the_middle(here, "anna", footage, calm_ms=2000)
        # Of the verdict's moment alone, half a second, few samples would be taken when it is shown again.
        whole = operator_pb2.ClipStretch(begin_ms=0, end_ms=flagged.stretch.end_ms)
        incident = confirmed(here, flagged.id, stretch=whole)
        assert incident.banking.state == operator_pb2.BANKING_STATE_BANKED
        until(lambda: shared_entries(tmp_path / "a"), bool)
        address = str(here.process.ready["share"])
        follow(f"gate://{address}/incidents", banks / "lent", theirs)
        with running(tmp_path / "b") as there:
            there.set_policy(categories=NOTHING_FLAGS, budget_ms=5000)
            until(lambda: metric(there.process, "edge_bank_hashes"), bool)
            banked = part(footage, 0, whole.end_ms)
            said = until_shown(there, "berta", banked, matches=True)
            assert {(verdict.action, verdict.reason) for verdict in said} == {(gate_pb2.ACTION_FLAG, "match")}
            assert {signal.bank for verdict in said for signal in verdict.signals if signal.bank} == {"lent"}
            bank("peer", "off", str(banks), address, "--reason", "we trust it no more")
            until_shown(there, "clara", banked, matches=False)
            until_looked_at(there, "dora", banked)
    with sqlite3.connect(tmp_path / "a" / "edge.db") as ledger:
        taken = ledger.execute("SELECT DISTINCT who, subject FROM audit WHERE what = 'bank_taken'").fetchall()
    assert taken == [("peer acme", "incidents")]


def follow(url: str, into: Path, own: Any) -> None:
    """As little as an accident may do: it flags."""
    certificate = ("--cert", str(own.cert), "--key", str(own.key), "--ca", str(own.ca))
    bank("follow", url, "--into", str(into), *certificate, "--purpose", "investigate", "--every", "10s")


def bank(*arguments: str) -> None:
    result = CliRunner().invoke(app, ["bank", *arguments, "--json"])
    assert result.exit_code == 0, (result.output, result.stderr)
    assert json.loads(result.stdout)


def shared_entries(data_dir: Path) -> int:
    try:
        with ShareLog.open(data_dir / "share" / "incidents.share") as log:
            return len(log.page("").changes)
    except BankError:  # it is not there yet
        return 0


def until_shown(
    gate: RunningGate, broadcaster: str, footage: Footage, *, matches: bool
) -> list[gate_pb2.Verdict]:
    """Shows footage again and again, until the workers have read what the banks are now."""
    numbers = itertools.count()
    return until(
        lambda: shown(gate, f"{broadcaster}{next(numbers)}", footage), lambda said: bool(said) is matches
    )
