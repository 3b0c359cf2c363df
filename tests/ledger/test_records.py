"""Stored verdicts of every version can be read."""

from __future__ import annotations

import dataclasses
import json

import pytest

from edge.domain import Action, BankSeverity, Signal, SignalSource, Trace, Verdict
from edge.ledger.records import verdict_from_json, verdict_to_json
from edge.reasons import VerdictReason

MATCHED = Signal(
    SignalSource.MATCH,
    "known",
    4200,
    0.95,
    distance=12,
    entry="e1",
    detail="bank=known hits=3/5 distances=12,14,20 variant=original severity=critical at_most=flag",
    bank="known",
    severity=BankSeverity.CRITICAL,
    at_most=Action.FLAG,
)
DETECTED = Signal(SignalSource.DETECT, "fight", 4200, 0.97)
VERDICT = Verdict(
    Action.CUT,
    4200,
    4000,
    "known",
    VerdictReason.MATCH,
    0.95,
    (MATCHED, DETECTED),
    policy_version=3,
    model_digest="ab" * 32,
    latency_ms=31.5,
    trace=Trace(1_700_000_000_000, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0),
)
EARLIER = (
    '{"action": "cut", "category": "known", "cleared_pts_ms": 4000, "latency_ms": 31.5, "model_digest": "'
    + "ab" * 32
    + '", "policy_version": 3, "pts_ms": 4200, "reason": "match", "score": 0.95, "shadow": false, "signals": '
    '[{"category": "known", "detail": "bank=known hits=3/5 distances=12,14,20 variant=original '
    'severity=critical at_most=flag", "distance": 12, "entry": "e1", "pts_ms": 4200, "score": 0.95, '
    '"source": "match"}, {"category": "fight", "detail": "", "distance": null, "entry": null, '
    '"pts_ms": 4200, "score": 0.97, "source": "detect"}]}'
)
"""Written by a version whose signals named bank, severity and limit only in words, without traces."""


def test_a_verdict_comes_back_as_it_was() -> None:
    assert verdict_from_json(verdict_to_json(VERDICT)) == VERDICT


def test_bank_severity_and_limit_of_an_earlier_row_are_taken_from_its_words() -> None:
    assert verdict_from_json(EARLIER) == dataclasses.replace(VERDICT, trace=None)


@pytest.mark.parametrize("words", ["", "window of 9", "bank=known hits=3/5 slope=1.00"])
def test_an_earlier_row_whose_words_limit_nothing_may_cut(words: str) -> None:
    values = json.loads(EARLIER)
    values["signals"][0]["detail"] = words
    signal = verdict_from_json(json.dumps(values)).signals[0]
    assert (signal.severity, signal.at_most) == (None, Action.CUT)
    assert signal.bank == ("known" if "bank=" in words else None)


def test_words_of_a_row_with_fields_decide_nothing() -> None:
    values = json.loads(verdict_to_json(VERDICT))
    values["signals"][0] |= {"bank": "other", "severity": "low", "at_most": "cut"}
    signal = verdict_from_json(json.dumps(values)).signals[0]
    assert (signal.bank, signal.severity, signal.at_most) == ("other", BankSeverity.LOW, Action.CUT)
    assert signal.detail == MATCHED.detail


def test_a_row_of_a_newer_gate_is_read_without_what_is_new() -> None:
    values = json.loads(verdict_to_json(VERDICT))
    values |= {"rule": "two_witnesses", "reason": "witnesses"}
    values["trace"]["ruled_ms"] = 7.0
    values["signals"][0] |= {"severity": "apocalyptic", "at_most": "ask", "source": "smell", "weight": 3}
    verdict = verdict_from_json(json.dumps(values))
    assert (verdict.reason, verdict.trace) == ("witnesses", VERDICT.trace)
    signal = verdict.signals[0]
    assert (signal.source, signal.severity) == ("smell", None)
    assert signal.at_most is Action.FLAG, "a limit that is not understood is no leave to cut"
    assert verdict.signals[1] == DETECTED
