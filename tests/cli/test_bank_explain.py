"""``bank explain``: what an entry may do and why, for people and as JSON."""

from __future__ import annotations

import json
from pathlib import Path

from typer.testing import CliRunner

from edge.cli.app import app
from edge.match import Bank, BankInfo
from edge.match.bank.guards import EntryFinding, Guards, SourceRecord, SourceTerms, write_guards
from tests.match.test_retro_match import film


def test_it_says_what_an_entry_may_do_and_why(tmp_path: Path) -> None:
    bank = Bank.create(tmp_path / "known", BankInfo(source="exchange x"))
    bank.add_footage([film(range(3), "trailer"), film(range(10, 13), "right")])
    plain = CliRunner().invoke(app, ["bank", "explain", "right", "--copies", str(tmp_path)])
    assert "known/right: may cut" in plain.output
    assert "no gate has checked" in plain.output
    [digest] = [segment.digest for segment in bank.segments]
    guards = Guards(
        checked={"known": {digest: 1}},
        findings={"known": {"trailer": EntryFinding(streams=200, weight=20.0)}},
        sources={
            "exchange x": SourceRecord(
                incidents=9,
                confirmed=0,
                overturned=9,
                low=0.0,
                high=0.3,
                demoted="9 of 9 overturned",
                since_ms=1,
            )
        },
        terms=(SourceTerms(source="exchange *", probation_ms=5),),
        most_seen=10,
    )
    write_guards(tmp_path, guards)
    said = CliRunner().invoke(app, ["bank", "explain", "trailer", "--copies", str(tmp_path)]).output
    assert "known/trailer: may only count" in said
    assert "200 streams of the last day have shown it, which weigh 20.0 of 10" in said
    assert "its source is demoted: 9 of 9 overturned" in said
    assert "precision by review: 0.00 to 0.30" in said
    document = json.loads(
        CliRunner().invoke(app, ["bank", "explain", "right", "--copies", str(tmp_path), "--json"]).output
    )
    assert [(one["action"], one["reasons"]) for one in document] == [("flag", ["demoted"])]
    missing = CliRunner().invoke(app, ["bank", "explain", "gone", "--copies", str(tmp_path)])
    assert missing.exit_code != 0
