"""A ledger with every kind of decision, and the parts of a gate that webhooks need."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.ledger import DurableLedger
from tests.ledger.conftest import ledger, make_incident, store
from tests.ledger.test_proof import early, lived
from tests.webhook.gate import Gate

__all__ = ["early", "ledger", "lived", "make_incident", "store"]


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    opened = DurableLedger.open(f"sqlite:///{tmp_path / 'edge.db'}", tmp_path / "journal.jsonl")
    yield Gate(opened, tmp_path)
    opened.close()
