"""The reference ingest: an RTMP server that asks the gate, shows it the media and obeys its cuts.

The embedded default, and the worked example for whoever integrates a server of their own: read
``server.py`` first, then ``watching.py``.
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
