"""The reference ingest: an RTMP server that asks the gate, sends it the media and obeys its cuts.

It is the embedded default, and a worked example for everybody who integrates another server. Read
``server.py`` first, then ``watch_client.py``.
"""

from __future__ import annotations

from edge.ingest.events import (
    Admitted,
    Closed,
    CutConfirmed,
    Event,
    GateDown,
    Judged,
    Observer,
    Refused,
    RelayDown,
    TierChanged,
)
from edge.ingest.server import ReferenceIngest
from edge.ingest.settings import IngestSettings

__all__ = [
    "Admitted",
    "Closed",
    "CutConfirmed",
    "Event",
    "GateDown",
    "IngestSettings",
    "Judged",
    "Observer",
    "ReferenceIngest",
    "Refused",
    "RelayDown",
    "TierChanged",
]
