"""Incidents, and the same ledger over SQLite and over a real PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edge.domain import Action, Incident, Publish, Signal, SignalSource, Verdict, new_id, new_stream_id
from edge.ledger import DurableLedger
from edge.reasons import VerdictReason
from tests.postgresql import Cluster, Store

NOW = 1_700_000_000_000

MakeIncident = Callable[..., Incident]


def _make(
    broadcaster: str = "anna", *, created_ms: int = NOW, action: Action = Action.CUT, shadow: bool = False
) -> Incident:
    signal = Signal(SignalSource.DETECT, "fight", pts_ms=4200, score=0.97, detail="window of 9")
    return Incident(
        id=new_id("in"),
        stream_id=new_stream_id(),
        publish=Publish("test", "c1", "live", "stream", broadcaster, "192.0.2.7", {"stream_key": "k-1"}),
        verdict=Verdict(
            action, 4200, 3800, "fight", VerdictReason.DETECTOR, 0.97, (signal,), 3, "ab" * 32, shadow=shadow
        ),
        created_ms=created_ms,
    )


@pytest.fixture
def make_incident() -> MakeIncident:
    return _make


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "sqlite":
        return Store(f"sqlite:///{tmp_path / 'edge.db'}", tmp_path / "journal.jsonl")
    cluster: Cluster = request.getfixturevalue("postgresql")
    return cluster.new_store(tmp_path)


@pytest.fixture
def ledger(store: Store) -> Iterator[DurableLedger]:
    opened = DurableLedger.open(store.url, store.journal, busy_timeout_ms=1500)
    yield opened
    opened.close()
