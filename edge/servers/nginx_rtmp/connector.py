"""Cutting at nginx-rtmp: ``drop/publisher`` of its control API, looked up in its stat page.

Source: nginx-rtmp-module ``ngx_rtmp_control_module.c``.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from urllib.parse import quote

import httpx
from cachetools import FIFOCache

from edge.servers.connector import CutAttempt, CutTarget
from edge.servers.nginx_rtmp.settings import SERVER, NginxRtmpSection
from edge.servers.nginx_rtmp.stat_page import StatPage
from edge.servers.nginx_rtmp.worker_processes import worker_count

_MAX_ANSWER_BYTES = 64
_LOOKS = 16
_AT_ONCE = 4
_REMEMBERED = 4096
_DROPPED = "dropped"


class NginxRtmpConnector:
    """One nginx with ``rtmp_control`` and ``rtmp_stat`` locations.

    Each call is answered by one worker process, and only for itself. So a drop that finds nothing is
    repeated. A connection that is not on the stat page is gone only when its own worker says so, when its own
    worker has dropped it, or when there is no other worker. ``count_workers`` takes a worker's process id;
    None: not known, as where nginx runs on another machine. There an old worker may keep its publishers after
    a reload, and it answers no call.
    """

    kind = SERVER

    def __init__(
        self,
        settings: NginxRtmpSection,
        *,
        timeout_s: float = 1.0,
        transport: httpx.AsyncBaseTransport | None = None,
        count_workers: Callable[[str], int | None] = worker_count,
    ) -> None:
        self._drop_url = f"{settings.control_url.rstrip('/')}/drop/publisher"
        self.stat_page = StatPage(settings.stat_url, timeout_s=timeout_s, transport=transport)
        self._count_workers = count_workers
        self._pids: deque[str] = deque(maxlen=_LOOKS)
        self._owners: FIFOCache[str, str] = FIFOCache(_REMEMBERED)
        """Stream id to the pid of the worker that has the connection, or _DROPPED."""
        self._timeout_s = timeout_s
        self._client = httpx.AsyncClient(
            timeout=timeout_s,
            trust_env=False,
            limits=httpx.Limits(max_keepalive_connections=0),
            transport=transport,
        )

    async def cut_publisher(self, target: CutTarget) -> CutAttempt:
        """Drop the publisher. ``closed=0``: no worker that answered has such a connection.

        A target without app, name or connection is not asked for: nginx would drop every publisher
        of the app.
        """
        if not (target.app and target.name and target.connection):
            return CutAttempt(False, None, "app, name and connection are all needed for a drop")
        query = "&".join(
            f"{key}={quote(value, safe='')}"
            for key, value in (
                ("app", target.app),
                ("name", target.name),
                ("clientid", target.connection),
            )
        )
        attempt = await self._drop(query)
        for _ in range(_LOOKS // _AT_ONCE):
            if attempt.closed != 0 or (self._pids and self._seems_alone(self._pids[-1])):
                break
            # Several at once, so that one worker does not take them all.
            attempts = await asyncio.gather(*(self._drop(query) for _ in range(_AT_ONCE)))
            attempt = max(attempts, key=lambda one: (one.closed or 0, one.asked))
        if attempt.closed:
            self._remember(target, _DROPPED)
        return attempt

    async def is_live(self, target: CutTarget) -> bool | None:
        """Whether the connection still publishes, under whatever name."""
        for _ in range(_LOOKS):
            stat = await self.stat_page.read()
            if stat is None:
                return None
            self._pids.append(stat.pid)
            if stat.publishing(target.connection) is not None:
                self._remember(target, stat.pid)
                return True
            if (
                self._owners.get(target.stream_id) in {stat.pid, _DROPPED}
                or self._count_workers(stat.pid) == 1
            ):
                return False
        return None

    async def aclose(self) -> None:
        await self._client.aclose()
        await self.stat_page.aclose()

    def _seems_alone(self, pid: str) -> bool:
        """Whether the next call would most likely reach the same worker: saves requests, proves nothing.

        For an nginx on another machine: one worker has answered a whole run of looks.
        """
        count = self._count_workers(pid)
        if count is not None:
            return count == 1
        return len(self._pids) == _LOOKS and len(set(self._pids)) == 1

    def _remember(self, target: CutTarget, owner: str) -> None:
        self._owners[target.stream_id] = owner

    async def _drop(self, query: str) -> CutAttempt:
        body = bytearray()
        try:
            async with (
                asyncio.timeout(self._timeout_s),
                self._client.stream("GET", f"{self._drop_url}?{query}") as response,
            ):
                if response.status_code != 200:
                    return CutAttempt(False, None, f"control answered {response.status_code}")
                async for chunk in response.aiter_bytes():
                    body += chunk
                    if len(body) > _MAX_ANSWER_BYTES:
                        break
        except TimeoutError:
            return CutAttempt(False, None, f"control: no answer within {self._timeout_s:g} s")
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return CutAttempt(False, None, f"control: {type(error).__name__}: {error}")
        text = body.decode("ascii", errors="replace").strip()
        if len(body) > _MAX_ANSWER_BYTES or not (text.isascii() and text.isdigit()):
            return CutAttempt(False, None, "control did not answer with a count")
        return CutAttempt(True, int(text))
