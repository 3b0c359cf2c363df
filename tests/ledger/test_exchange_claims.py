"""One gate of a fleet at a time fetches an exchange."""

from __future__ import annotations

from pathlib import Path

from edge.ledger import Ledger


def test_a_claim_keeps_others_out_until_it_ends(tmp_path: Path) -> None:
    a, b = (Ledger.open(tmp_path / "ledger.db", gate=name) for name in ("a", "b"))
    assert a.claim_exchange("partner", 1_000, 500)
    assert a.claim_exchange("partner", 1_200, 500), "its holder keeps it"
    assert not b.claim_exchange("partner", 1_600, 500)
    assert b.claim_exchange("other", 1_600, 500)
    assert b.claim_exchange("partner", 1_700, 500), "a gate that died does not keep it"
    assert not a.claim_exchange("partner", 1_800, 500)
    a.release_exchange("partner", 1_800, done=True)
    assert not a.claim_exchange("partner", 1_900, 500), "only its holder gives it back"
    a.close()
    b.close()


def test_what_one_gate_has_fetched_no_other_fetches_within_the_period(tmp_path: Path) -> None:
    a, b = (Ledger.open(tmp_path / "ledger.db", gate=name) for name in ("a", "b"))
    assert a.claim_exchange("partner", 1_000, 500, every_ms=10_000)
    a.release_exchange("partner", 1_100, done=True)
    assert not b.claim_exchange("partner", 5_000, 500, every_ms=10_000)
    assert b.claim_exchange("partner", 11_100, 500, every_ms=10_000)
    b.release_exchange("partner", 11_200, done=False)
    assert a.claim_exchange("partner", 11_300, 500, every_ms=10_000), "b has failed"
    a.close()
    b.close()
