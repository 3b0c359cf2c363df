"""Remembers for how long broadcasters were watched without a violation. Pure.

It is in memory only: after a restart everybody is new for some minutes, and is watched more closely.
"""

from __future__ import annotations

from typing import Final

from cachetools import FIFOCache

from edge.domain import Publish
from edge.ledger.subjects import struck_name
from edge.match.entry_check import NEW_WEIGHT
from edge.policy import LookPolicy

MAX_BROADCASTERS: Final = 50_000
VIEWERS_ATTRIBUTE: Final = "viewers"
"""The attribute of a publish in which a server may say how many viewers it has or expects."""


class CleanRecords:
    """Clean records by broadcaster. Those that were watched longest ago are forgotten first."""

    def __init__(self, most: int = MAX_BROADCASTERS) -> None:
        self._clean_ms: FIFOCache[str, int] = FIFOCache(most)

    def clean_ms(self, publish: Publish) -> int:
        """Returns how long the broadcaster was watched. A name that nothing proves has no record."""
        return self._clean_ms.get(struck_name(publish), 0) if publish.identity_proven else 0

    def watched(self, publish: Publish, ms: int) -> None:
        """Adds a stream that ended without a violation."""
        if publish.identity_proven and ms > 0:
            name = struck_name(publish)
            self._clean_ms[name] = self._clean_ms.get(name, 0) + ms

    def violated(self, publish: Publish) -> None:
        """Forgets the record of a broadcaster."""
        self._clean_ms.pop(struck_name(publish), None)


def match_weight(clean_ms: int, looks: LookPolicy, *, struck: bool) -> float:
    """How much a stream counts against an entry that it has shown. A hundred new accounts count as ten, and
    whoever has strikes not at all."""
    if struck:
        return 0.0
    if clean_ms < looks.new_ms:
        return NEW_WEIGHT
    return 1.0 if clean_ms >= looks.trusted_ms else 0.5


def viewers_of(publish: Publish) -> int:
    """Returns the viewers that the server names. 0 where it names none, or no number."""
    text = publish.attributes.get(VIEWERS_ATTRIBUTE, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 9 else 0
