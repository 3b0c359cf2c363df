"""Decides when the gate looks into the GOPs of a calm stream, and how often. Pure: media time comes in.

A calm stream is sampled at its keyframes, and whoever publishes it chooses where keyframes are. So the gate
takes samples at random times in mid-GOP, too. Such a look decodes from the keyframe on and costs several
times a sample at a keyframe. So looks are a budget, and risk decides how it is spent.

Only media that is skipped counts. It is divided into equal stretches. Each stretch has one look, at a time
drawn evenly within it and from nothing else. So any pattern that is chosen without seeing the draws, and of
which a share h of the skipped media is on screen, escapes n looks with a chance of at most ``(1 - h) ** n``:
within a stretch a look hits by the share of that stretch, and the product of the misses is largest where all
stretches have the same share.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from edge.policy import LookPolicy
from edge.stream.draws import Draws, Purpose

MAX_STEP_MS = 10_000
"""Most media time that one step counts for. A leap of the stamps is no media."""


class Risk(IntEnum):
    """How closely a calm stream is looked at."""

    LOW = 0
    RAISED = 1
    HIGH = 2


@dataclass(frozen=True, slots=True)
class RiskFactors:
    """What is known of a stream besides its media."""

    clean_ms: int = 0
    """How long this gate had watched the broadcaster before this stream, without a violation."""
    struck: bool = False
    """Whether the broadcaster has strikes that count."""
    viewers: int = 0
    """Number of viewers, as the ingest server says; 0 if it says nothing."""


def risk_of(looks: LookPolicy, factors: RiskFactors, age_ms: int, *, hides: bool, near: bool) -> Risk:
    """Returns the risk of a stream that has been watched for ``age_ms`` of media.

    ``hides``: its bitrate is so constant that a new scene does not show in it. ``near``: a sample of the last
    seconds showed known footage, and that has not been settled.
    """
    clean_ms = factors.clean_ms + age_ms
    if looks.crisis or near or clean_ms < looks.new_ms:
        return Risk.HIGH
    watched = bool(looks.viewers) and factors.viewers >= looks.viewers
    if factors.struck or watched or age_ms < looks.new_ms or (hides and clean_ms < looks.trusted_ms):
        return Risk.RAISED
    return Risk.LOW


def interval_ms(looks: LookPolicy, risk: Risk) -> int:
    """Returns the skipped media for which there is one look. 0: no looks."""
    return {Risk.LOW: looks.low_ms, Risk.RAISED: looks.raised_ms, Risk.HIGH: looks.high_ms}[risk]


class LookBudget:
    """The looks of one stream."""

    def __init__(self, draws: Draws, interval_ms: int) -> None:
        """``interval_ms`` is the skipped media for which there is one look. 0: no looks."""
        self._draws = draws
        self._interval_ms = interval_ms
        self._passed = 0.0
        """Skipped media so far, in stretches."""
        self._number = 0
        self._at = self._drawn()

    @property
    def interval_ms(self) -> int:
        return self._interval_ms

    @interval_ms.setter
    def interval_ms(self, interval_ms: int) -> None:
        """Changes the length of the stretches. What is left of the current one stretches or shrinks."""
        self._interval_ms = interval_ms

    @property
    def remaining_ms(self) -> float | None:
        """Skipped media until the next look. None: no look comes."""
        return max(0.0, self._at - self._passed) * self._interval_ms if self._interval_ms else None

    def skipped(self, step_ms: int) -> None:
        """Takes media that was skipped."""
        if self._interval_ms:
            self._passed += min(step_ms, MAX_STEP_MS) / self._interval_ms

    def looked(self) -> None:
        """Notes that the look which was due is taken. Looks of stretches that passed meanwhile are lost."""
        self._passed = max(self._passed, self._at)
        self._number = max(self._number + 1, int(self._passed))
        self._at = self._drawn()

    def _drawn(self) -> float:
        return self._number + self._draws.share(Purpose.LOOK, self._number)
