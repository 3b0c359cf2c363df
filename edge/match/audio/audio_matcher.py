"""Matches the audio of one live stream with the banks and returns signals. Pure.

A stretch of at least three seconds that agrees item by item is a vote over time in itself. So a match
counts at once. Nothing counts where a benign bank has the audio. Media times come in with the items.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from edge.domain import Action, Signal, SignalSource
from edge.match.audio.audio_similarity import LONGEST
from edge.match.audio.chromaprint import HOP, ITEM_MS, RATE, Items
from edge.match.entry import AudioCandidate, BankPurpose

ITEM_SPAN_MS = 1000 * (4096 + 19 * HOP) / RATE
"""Length of audio behind one item: 2.7 s."""
MOST_NEW = 64
"""Most items that are looked up at a time."""
HARMLESS_MS = 3000.0
"""How long the audio counts as benign after a benign match. Not every item of it is found again."""


class AudioLookup(Protocol):
    """The matcher of a worker, which all its streams share."""

    def query_audio(self, live: Items, new: int) -> tuple[AudioCandidate, ...]:
        """Returns the known audio that ends with one of the newest ``new`` live items, benign audio
        included."""
        ...


class AudioMatcher:
    """Matches the audio of one stream. Keeps its newest items."""

    def __init__(self, banks: AudioLookup) -> None:
        self._banks = banks
        self._live: Items = np.empty(0, np.uint32)
        self._harmless_until_ms = float("-inf")

    def restart(self) -> None:
        """Forgets the items so far, because the next ones do not continue them."""
        self._live = np.empty(0, np.uint32)
        self._harmless_until_ms = float("-inf")

    def add_items(self, items: Items, start_ms: float) -> tuple[Signal, ...]:
        """Takes the next items, of which the first begins at ``start_ms``. Returns the matches that count
        now.

        The nearest matches come first. The signal's ``detail`` is text for people: ``bank=… seconds=…
        offset_ms=… slope=… bit_error=… severity=…``, plus ``at_most=flag`` where the entry may not cut.
        """
        signals: tuple[Signal, ...] = ()
        for begin in range(0, len(items), MOST_NEW):
            signals += self._look_up(items[begin : begin + MOST_NEW], start_ms + begin * ITEM_MS)
        return signals

    def _look_up(self, items: Items, start_ms: float) -> tuple[Signal, ...]:
        live = np.concatenate((self._live, items))
        self._live = live[-LONGEST:]
        first_ms = start_ms - (len(live) - len(items)) * ITEM_MS
        found = [(c, first_ms + c.end * ITEM_MS) for c in self._banks.query_audio(live, len(items))]
        benign = [begins_ms for c, begins_ms in found if c.purpose is BankPurpose.BENIGN]
        self._harmless_until_ms = max([self._harmless_until_ms, *(at + HARMLESS_MS for at in benign)])
        if benign:
            return ()
        return tuple(_signal(c, begins_ms) for c, begins_ms in found if begins_ms > self._harmless_until_ms)


def _signal(candidate: AudioCandidate, begins_ms: float) -> Signal:
    """Builds the signal. ``begins_ms`` is the media time at which the last item of the stretch begins."""
    offset_ms = candidate.timestamp_ms - candidate.slope * begins_ms
    detail = [
        f"bank={candidate.bank}",
        f"seconds={candidate.items * ITEM_MS / 1000:.1f}",
        f"offset_ms={offset_ms:.0f}",
        f"slope={candidate.slope:.2f}",
        f"bit_error={candidate.error:.3f}",
        f"severity={candidate.severity.value}",
    ]
    at_most = candidate.purpose.at_most(quarantined=candidate.quarantined)
    if at_most is not Action.CUT:
        detail.append(f"at_most={at_most.value}")
    return Signal(
        source=SignalSource.AUDIO,
        category=candidate.label,
        pts_ms=round(begins_ms + ITEM_SPAN_MS),
        score=1 - candidate.error,
        entry=candidate.entry,
        detail=" ".join(detail),
        bank=candidate.bank,
        severity=candidate.severity,
        at_most=at_most,
    )
