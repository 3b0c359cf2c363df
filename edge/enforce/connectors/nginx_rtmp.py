"""Cutting at nginx-rtmp: ``drop/publisher`` of its control API, looked up in its stat page.

Source: nginx-rtmp-module ``ngx_rtmp_control_module.c``.
"""

from __future__ import annotations

from urllib.parse import quote

import httpx
import structlog

from edge.enforce.connectors.base import CutAttempt, CutTarget
from edge.enforce.connectors.nginx_stat import StatPage

_MAX_ANSWER_BYTES = 64
_MAX_PIDS = 64

log = structlog.get_logger(__name__)


class NginxRtmpConnector:
    """One nginx with ``rtmp_control`` and ``rtmp_stat`` locations.

    Both answer for one worker process only. Where several answer, that a publisher is not found
    proves nothing, so ``is_live`` never says False then.
    """

    kind = "nginx-rtmp"

    def __init__(self, control_url: str, stat_url: str, *, timeout_s: float = 1.0) -> None:
        self._drop_url = f"{control_url.rstrip('/')}/drop/publisher"
        self._stat = StatPage(stat_url, timeout_s=timeout_s)
        self._pids: set[str] = set()
        self._client = httpx.AsyncClient(
            timeout=timeout_s, trust_env=False, limits=httpx.Limits(max_keepalive_connections=0)
        )

    async def cut(self, target: CutTarget) -> CutAttempt:
        """Drop the publisher. ``closed=0``: this worker has no such connection.

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
        body = bytearray()
        try:
            async with self._client.stream("GET", f"{self._drop_url}?{query}") as response:
                if response.status_code != 200:
                    return CutAttempt(False, None, f"control answered {response.status_code}")
                async for chunk in response.aiter_bytes():
                    body += chunk
                    if len(body) > _MAX_ANSWER_BYTES:
                        break
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return CutAttempt(False, None, f"control: {type(error).__name__}: {error}")
        text = body.decode("ascii", errors="replace").strip()
        if len(body) > _MAX_ANSWER_BYTES or not (text.isascii() and text.isdigit()):
            return CutAttempt(False, None, "control did not answer with a count")
        return CutAttempt(True, int(text))

    async def is_live(self, target: CutTarget) -> bool | None:
        stat = await self._stat.read()
        if stat is None:
            return None
        self._seen(stat.pid)
        if stat.publishes(target.app, target.name, target.connection):
            return True
        return False if len(self._pids) == 1 else None

    def _seen(self, pid: str) -> None:
        if pid in self._pids or len(self._pids) >= _MAX_PIDS:
            return
        self._pids.add(pid)
        if len(self._pids) == 2:
            log.warning("nginx has several workers, or was restarted: its stat page proves no cut any more")

    async def aclose(self) -> None:
        await self._client.aclose()
        await self._stat.aclose()
