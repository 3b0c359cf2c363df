"""Pulling from an nginx with several workers: each has only the streams that were published to it.

A connection lands in whichever worker takes it. So when the publish has begun and no picture comes, the
pull is made anew until nginx's stat page shows it beside the publisher.
"""

from __future__ import annotations

import asyncio
import time

import structlog

from edge.domain import Publish, StreamId
from edge.enforce.connectors.nginx_stat import Stat, StatPage
from edge.hooks.gatekeeper import Gatekeeper

LOOKS = 32
"""Looks at the stat page in search of the publisher's worker; each is answered by any of them."""
PULLS = 64
_START_S = 10.0
_PAUSE_S = 0.03
_KEYFRAME_S = 5.0
"""How long a pull in the right worker may wait for its first keyframe."""

log = structlog.get_logger(__name__)


async def find_place(
    gatekeeper: Gatekeeper, page: StatPage, stream_id: StreamId, publish: Publish, before: frozenset[str]
) -> int:
    """Pull anew until the pull is where the publisher is; how often.

    ``before``: connections that played the stream before the first pull.
    """
    for pulls in range(PULLS):
        own = await _own_worker(gatekeeper, page, stream_id, publish)
        if own is None:
            return pulls
        if own.players(publish.app, publish.name) - before and await _watched(gatekeeper, stream_id):
            return pulls
        before |= await _players(page, publish)
        if not await gatekeeper.pull_anew(stream_id):
            return pulls
        await asyncio.sleep(_PAUSE_S)
    log.error("the pull does not find the publisher's worker", stream_id=stream_id, pulls=PULLS)
    return PULLS


async def _own_worker(
    gatekeeper: Gatekeeper, page: StatPage, stream_id: StreamId, publish: Publish
) -> Stat | None:
    """What the publisher's worker sees; None when the stream is watched, over, or not to be found."""
    end = time.monotonic() + _START_S
    while time.monotonic() < end and await gatekeeper.still_admitted(stream_id):
        for _ in range(LOOKS):
            if await gatekeeper.is_watched(stream_id):
                return None
            stat = await page.read()
            if stat is not None and stat.publishes(publish.app, publish.name, publish.connection):
                return stat
        await asyncio.sleep(_PAUSE_S)
    return None


async def _watched(gatekeeper: Gatekeeper, stream_id: StreamId) -> bool:
    end = time.monotonic() + _KEYFRAME_S
    while time.monotonic() < end and await gatekeeper.still_admitted(stream_id):
        if await gatekeeper.is_watched(stream_id):
            return True
        await asyncio.sleep(_PAUSE_S)
    return False


async def _players(page: StatPage, publish: Publish) -> frozenset[str]:
    """Connections that play the stream, in all workers that a few looks reach."""
    found: frozenset[str] = frozenset()
    for _ in range(LOOKS // 4):
        stat = await page.read()
        if stat is not None:
            found |= stat.players(publish.app, publish.name)
    return found
