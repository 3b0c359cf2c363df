"""Decisions in memory alone are bounded, and none is dropped without a word."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.ledger import unwritten
from edge.ledger.journal_entries import Marked
from edge.ledger.unwritten import UnwrittenDecisions, described
from edge.telemetry.records import DecisionLost, Record


def test_a_decision_beyond_the_bound_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unwritten, "MOST_HELD", 2)
    said: list[Record] = []
    held = UnwrittenDecisions(tmp_path / "note", said.append)
    for number in (0, 1, 1, 2):
        held.hold(Marked(f"in_{number}", 0, "flagged", {}))
    assert [described(entry).subject for entry in held.entries()] == ["in_0", "in_1"]
    (lost,) = said
    assert isinstance(lost, DecisionLost)
    assert (lost.what, lost.subject, lost.earlier_run) == ("mark", "in_2", False)
