"""Conversions between messages of the contract and the domain's types."""

from __future__ import annotations

import pytest

from edge.contract.gate import signal_from_proto, signal_to_proto, verdict_from_proto, verdict_to_proto
from edge.contract.gen import gate_pb2
from edge.domain import Action, BankSeverity, Signal, SignalSource, Verdict

MATCHED = Signal(
    SignalSource.MATCH,
    "known",
    4200,
    0.95,
    distance=12,
    entry="e1",
    detail="bank=known hits=3/5",
    bank="known",
    severity=BankSeverity.CRITICAL,
    at_most=Action.FLAG,
    begin_pts_ms=0,
)


@pytest.mark.parametrize("signal", [MATCHED, Signal(SignalSource.DETECT, "fight", 4200, 0.97)])
def test_a_signal_comes_back_as_it_was(signal: Signal) -> None:
    sent = signal_to_proto(signal).SerializeToString()
    assert signal_from_proto(gate_pb2.Signal.FromString(sent)) == signal


@pytest.mark.parametrize("begin_pts_ms", [None, 0, 3800])
def test_the_stretch_of_a_verdict_comes_back_as_it_was(begin_pts_ms: int | None) -> None:
    verdict = Verdict(Action.FLAG, 4200, 900, "fight", begin_pts_ms=begin_pts_ms)
    sent = verdict_to_proto(verdict).SerializeToString()
    assert verdict_from_proto(gate_pb2.Verdict.FromString(sent), 900) == verdict


def test_the_fields_of_a_signal_that_an_earlier_gate_did_not_send_have_their_defaults() -> None:
    said = gate_pb2.Signal(source="match", category="known", pts_ms=4200, distance=12, entry="e1")
    signal = signal_from_proto(said)
    assert (signal.bank, signal.severity, signal.at_most) == (None, None, Action.CUT)


def test_words_that_a_newer_gate_sends_are_no_leave_to_cut() -> None:
    said = gate_pb2.Signal(source="smell", severity="apocalyptic")
    said.MergeFromString(b"\x50\x63")  # field 10, at_most = 99
    signal = signal_from_proto(said)
    assert (signal.source, signal.severity) == ("smell", None)
    assert signal.at_most is Action.FLAG
