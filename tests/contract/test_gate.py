"""Conversions between messages of the contract and the domain's types."""

from __future__ import annotations

import pytest

from edge.contract.gate import signal_from_proto, signal_to_proto
from edge.contract.gen import gate_pb2
from edge.domain import Action, BankSeverity, Signal, SignalSource

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
)


@pytest.mark.parametrize("signal", [MATCHED, Signal(SignalSource.DETECT, "fight", 4200, 0.97)])
def test_a_signal_comes_back_as_it_was(signal: Signal) -> None:
    sent = signal_to_proto(signal).SerializeToString()
    assert signal_from_proto(gate_pb2.Signal.FromString(sent)) == signal


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
