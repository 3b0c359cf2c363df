"""Footage that is only counted: how many streams showed it, and that it leads to nothing."""

from __future__ import annotations

import json
from pathlib import Path

from edge.contract.gen import gate_pb2
from edge.domain import Action, IncidentState
from edge.ledger.bank_records import MatchedIncident
from edge.supervise.bank_hits import HitCount
from tests.supervise.gate_without_workers import gate_without_workers


def lent(entry: str, source: str = "match", bank: str = "lent") -> gate_pb2.Signal:
    return gate_pb2.Signal(source=source, bank=bank, entry=entry, at_most=gate_pb2.ACTION_PASS)


async def test_a_stream_counts_once_for_an_entry_and_once_for_a_bank(tmp_path: Path) -> None:
    async with gate_without_workers(tmp_path) as bench:
        one, two = await bench.watched("1"), await bench.watched("2", "other", "ben")
        for _ in range(3):
            bench.judged(one, Action.PASS, lent("a"), lent("b"), lent("a", "sound"))
        bench.judged(two, Action.PASS, lent("a"), lent("a", bank="more"))
        hits = await bench.gate.banks.hits()
        assert {bank: count.counted for bank, count in hits.banks.items()} == {"lent": 2, "more": 1}
        assert {entry: count.counted for entry, count in hits.entries.items()} == {
            ("lent", "a"): 2,
            ("lent", "b"): 1,
            ("more", "a"): 1,
        }
        assert not bench.gate.ledger.incidents(limit=10)


def test_an_incident_counts_for_what_led_to_it_not_for_what_is_only_counted() -> None:
    led = {"bank": "known", "entry": "a", "at_most": "cut"}
    verdict = json.dumps({"signals": [led, {"bank": "lent", "entry": "b", "at_most": "pass"}]})
    found = HitCount(0)
    found.add_incidents([MatchedIncident("in_1", 1, IncidentState.OPEN, verdict)])
    assert list(found.banks) == ["known"]
    assert list(found.entries) == [("known", "a")]
