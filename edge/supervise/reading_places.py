"""Places for people who read evidence. Whoever stops reading keeps none from others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Final

from edge.clock import Clock
from edge.errors import EvidenceStoreFailed, NoPlace
from edge.places import Places

READINGS: Final = 64
"""Most files that are read at a time."""
READINGS_OF_ONE: Final = 8
"""Most of one person."""
WHOLE_S: Final = 900.0
"""A reading is over within this."""
_AGAIN_S: Final = 0.05


class _Reading:
    """Holds a place, or has lost it."""

    held = False


class ReadingPlaces:
    """A reading is idle while its reader takes what it was given. The one that is idle longest gives its
    place to the next, its own person's first, and takes another when it goes on."""

    def __init__(self, clock: Clock, most: int = READINGS, most_of_one: int = READINGS_OF_ONE) -> None:
        self._clock = clock
        self._places: Places[_Reading] = Places(
            {"evidence readings of one person": most_of_one, "evidence readings": most}
        )

    def check(self, by: str) -> None:
        """Raises NoPlace. An answer that has begun could not say so."""
        reading = _Reading()
        self._take(reading, by)
        self._places.give_back(reading)

    async def pass_on(self, chunks: AsyncGenerator[bytes], by: str) -> AsyncIterator[bytes]:
        """Yields the chunks, with a place for each that is being read. Raises EvidenceStoreFailed for a
        reader that takes too long."""
        reading, end_ms = _Reading(), self._clock.monotonic_ms() + WHOLE_S * 1000
        try:
            while True:
                await self._go_on(reading, by, end_ms)
                try:
                    chunk = await anext(chunks)
                except StopAsyncIteration:
                    return
                if reading.held:
                    self._places.idle(reading)
                yield chunk
        finally:
            self._places.give_back(reading)
            await chunks.aclose()

    async def _go_on(self, reading: _Reading, by: str, end_ms: float) -> None:
        while True:
            if self._clock.monotonic_ms() > end_ms:
                raise EvidenceStoreFailed(
                    f"the evidence was not read within {WHOLE_S / 60:.0f} minutes: read the rest as a range"
                )
            if reading.held:
                self._places.busy(reading)
                return
            try:
                self._take(reading, by)
            except NoPlace:  # All are being read at this moment. That takes no reader's time.
                await asyncio.sleep(_AGAIN_S)

    def _take(self, reading: _Reading, by: str) -> None:
        keys = {"evidence readings of one person": by, "evidence readings": ""}
        for loser in self._places.take(reading, keys):
            loser.held = False
        reading.held = True
