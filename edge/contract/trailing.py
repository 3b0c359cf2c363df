"""Trailing metadata of each error that the gate raises, unlike those of failed connections."""

from __future__ import annotations

from typing import Final

REASON: Final = "edge-reason"
RETRYABLE: Final = "edge-retryable"
FAULT: Final = "edge-fault"
