"""A ledger in which everything has happened."""

from __future__ import annotations

from tests.ledger.conftest import ledger, make_incident, store
from tests.ledger.test_proof import early, lived

__all__ = ["early", "ledger", "lived", "make_incident", "store"]
