"""Crises for tests."""

from __future__ import annotations

from edge.crisis import Crisis, CrisisState
from edge.policy import Patch

NOW = 1_700_000_000_000
HOUR_MS = 3_600_000


def crisis(name: str = "attack", *, patch: Patch | None = None, **fields: object) -> Crisis:
    """One that was declared just now, and is in force unless ``state`` says otherwise."""
    state = fields.get("state", CrisisState.IN_FORCE)
    values: dict[str, object] = {
        "reason": "an attack is shown live",
        "for_ms": 6 * HOUR_MS,
        "declared_ms": NOW,
        "declared_by": "rita",
        "state": state,
        "patch": patch or {},
        "begun_ms": NOW if state is CrisisState.IN_FORCE else None,
        **fields,
    }
    return Crisis(name, **values)  # type: ignore[arg-type]
