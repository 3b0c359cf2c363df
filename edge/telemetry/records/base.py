"""The base of every record."""

from __future__ import annotations

from dataclasses import dataclass

GATE = "gate"
"""Actor of what no person did."""


@dataclass(frozen=True, slots=True)
class Record:
    """Base of every record."""
