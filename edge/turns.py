"""Work on many things in the event loop, in slices: Admit and verdicts have their turns in between."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable
from typing import Final, TypeVar

_Item = TypeVar("_Item")

SLICE_MS: Final = 2.0
"""How long one slice may take. It is exceeded by the work on one item at most."""


async def in_turns(items: Iterable[_Item]) -> AsyncIterator[_Item]:
    """Yields the items. Lets other tasks run before the first one, and whenever a slice is over.

    ``items`` must bear that others change things meanwhile: give it a copy.
    """
    await asyncio.sleep(0)
    until = time.perf_counter() + SLICE_MS / 1000
    for item in items:
        if time.perf_counter() >= until:
            await asyncio.sleep(0)
            until = time.perf_counter() + SLICE_MS / 1000
        yield item
