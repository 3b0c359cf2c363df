"""Brings a pull into the nginx worker that has the publisher.

Each worker has only the streams that were published to it, and a connection lands in any worker. So when a
publish has begun and no frame comes, the pull is made anew until nginx's stat page shows it beside the
publisher.
"""

from __future__ import annotations

import asyncio
import time

from edge.domain import Publish, StreamId, pull_token
from edge.reasons import ServerNotice
from edge.servers.gatekeeper import Gatekeeper
from edge.servers.nginx_rtmp.stat_page import Stat, StatPage
from edge.telemetry.records import ServerNoticed

LOOKS = 32
"""Looks at the stat page in search of the publisher's worker. Any worker may answer each."""
PULLS = 64
_START_S = 10.0
_PAUSE_S = 0.03
_CONNECT_S = 1.0
"""How long a pull that no look finds in any worker may take to connect."""
_KEYFRAME_S = 5.0
"""How long a pull in the right worker may wait for its first keyframe."""


_Connection = tuple[str, str]
"""Worker's process id, and its number there."""


async def find_place(gatekeeper: Gatekeeper, page: StatPage, stream_id: StreamId, publish: Publish) -> int:
    """Pull anew until the pull is in the publisher's worker. Returns how often it did."""
    known: frozenset[_Connection] = frozenset()
    for pulls in range(PULLS):
        misplaced = await _misplaced(gatekeeper, page, stream_id, publish, known)
        if misplaced is None:
            return pulls
        known |= misplaced
        if not await gatekeeper.pull_anew(stream_id):
            return pulls
        await asyncio.sleep(_PAUSE_S)
    gatekeeper.noticed(
        ServerNoticed(publish.server, publish.app, stream_id, ServerNotice.PULL_MISPLACED, f"{PULLS} pulls")
    )
    return PULLS


async def _misplaced(
    gatekeeper: Gatekeeper,
    page: StatPage,
    stream_id: StreamId,
    publish: Publish,
    known: frozenset[_Connection],
) -> frozenset[_Connection] | None:
    """The pull's connections in other workers, once there is one that is not ``known`` or the time is over.

    None: the stream is watched, it is over, or it is not found.
    """
    connected_by = time.monotonic() + _CONNECT_S
    while True:
        own = await _own_worker(gatekeeper, page, stream_id, publish)
        if own is None:
            return None
        if own.players(publish.app, publish.name, pull_token(stream_id)):
            if await _watched(gatekeeper, stream_id):
                return None
            return frozenset()
        elsewhere = await _connections(page, stream_id, publish)
        if elsewhere - known or time.monotonic() > connected_by:
            return elsewhere
        await asyncio.sleep(_PAUSE_S)


async def _own_worker(
    gatekeeper: Gatekeeper, page: StatPage, stream_id: StreamId, publish: Publish
) -> Stat | None:
    """The stat page of the publisher's worker; None when the stream is watched, over, or not found."""
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


async def _connections(page: StatPage, stream_id: StreamId, publish: Publish) -> frozenset[_Connection]:
    """The pull's connections in all workers that a few looks reach."""
    found: set[_Connection] = set()
    for _ in range(LOOKS // 4):
        stat = await page.read()
        if stat is not None:
            mine = stat.players(publish.app, publish.name, pull_token(stream_id))
            found |= {(stat.pid, connection) for connection in mine}
    return frozenset(found)
