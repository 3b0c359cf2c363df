"""The mode of the policy: what the gate acts on."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from edge.domain import SignalSource


class Mode(StrEnum):
    """What the gate acts on. It decides and records all of it in every mode."""

    ENFORCE = "enforce"
    """Known footage, and what the detector says."""
    KNOWN_FOOTAGE = "known_footage"
    """Known footage. What the detector says is only recorded."""
    SHADOW = "shadow"
    """Nothing."""

    def acts_on(self, source: SignalSource) -> bool:
        """Whether the gate acts on what this source says."""
        if self is Mode.KNOWN_FOOTAGE:
            return source is not SignalSource.DETECT
        return self is Mode.ENFORCE


_ACTS: Final = {
    Mode.ENFORCE: "the gate acts on known footage and on what the detector says",
    Mode.KNOWN_FOOTAGE: "the gate acts on known footage; what the detector says is only recorded (shadow)",
    Mode.SHADOW: "the gate acts on nothing; all that it finds is only recorded (shadow)",
}


def explain_mode(mode: Mode) -> str:
    """What a mode means, in words for people."""
    return f"mode {mode}: {_ACTS[mode]}"
