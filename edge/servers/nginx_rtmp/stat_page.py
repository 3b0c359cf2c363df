"""nginx-rtmp's ``rtmp_stat`` page: who publishes and plays what, in the worker that answers.

Source: nginx-rtmp-module ``ngx_rtmp_stat_module.c``. Names and ``flashver`` come from clients and
are only HTML-escaped there, so a client can put bytes into the page that XML forbids.
"""

from __future__ import annotations

import asyncio
import codecs
import re
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass

import httpx

MAX_STAT_BYTES = 16 * 1024 * 1024
_SLICE_BYTES = 64 * 1024
"""A page up to this size is parsed at once, a larger one in a thread."""
_FORBIDDEN = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, slots=True)
class StatClient:
    """One connection to one stream."""

    app: str
    name: str
    connection: str
    publishing: bool
    page_url: str = ""
    """What a player says that it is part of."""


@dataclass(frozen=True, slots=True)
class Stat:
    """One answer of one nginx worker process."""

    pid: str
    clients: tuple[StatClient, ...]

    def publishes(self, app: str, name: str, connection: str) -> bool:
        """Whether that very connection publishes that stream."""
        return any(
            c.publishing and (c.app, c.name, c.connection) == (app, name, connection) for c in self.clients
        )

    def publishing(self, connection: str) -> StatClient | None:
        """What that connection publishes; None: nothing in this worker."""
        return next((c for c in self.clients if c.publishing and c.connection == connection), None)

    def players(self, app: str, name: str, page_url: str) -> frozenset[str]:
        """Connections that play the stream and give that page."""
        return frozenset(
            c.connection
            for c in self.clients
            if not c.publishing and (c.app, c.name, c.page_url) == (app, name, page_url)
        )


def parse_stat(page: bytes) -> Stat | None:
    """The page as a Stat, or None when it is not one.

    Bytes that XML forbids are dropped and a document type (entities) is refused. The page is taken in slices,
    so that other threads run meanwhile.
    """
    # The declaration may name another encoding, and what is parsed here is text.
    start = page.find(b"?>") + 2 if page.startswith(b"<?xml") else 0
    decode = codecs.getincrementaldecoder("utf-8")(errors="replace").decode
    slices = [
        _FORBIDDEN.sub("", decode(page[begin : begin + _SLICE_BYTES], begin + _SLICE_BYTES >= len(page)))
        for begin in range(start, len(page), _SLICE_BYTES)
    ]
    text = "".join(slices)
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        return None
    parser = ElementTree.XMLParser()
    try:
        for piece in slices:
            parser.feed(piece)
        root = parser.close()
    except ElementTree.ParseError:
        return None
    if root.tag != "rtmp":
        return None
    clients = tuple(
        StatClient(
            app=application.findtext("name", ""),
            name=stream.findtext("name", ""),
            connection=client.findtext("id", ""),
            publishing=client.find("publishing") is not None,
            page_url=client.findtext("pageurl", ""),
        )
        for application in root.iter("application")
        for stream in application.iterfind("live/stream")
        for client in stream.iterfind("client")
    )
    return Stat(pid=root.findtext("pid", ""), clients=clients)


class StatPage:
    """Reads the page, bounded in time and size.

    Every look is a connection of its own: a kept-alive one would ask the same worker for ever.
    """

    def __init__(
        self, url: str, *, timeout_s: float = 1.0, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self._url = url
        self._timeout_s = timeout_s
        self._client = httpx.AsyncClient(
            timeout=timeout_s,
            trust_env=False,
            limits=httpx.Limits(max_keepalive_connections=0),
            transport=transport,
        )

    async def read(self) -> Stat | None:
        """What the answering worker sees; None when nginx is away or its answer unusable."""
        page = bytearray()
        try:
            # httpx bounds each read, not their sum. An nginx that sends byte by byte must not delay a cut.
            async with asyncio.timeout(self._timeout_s), self._client.stream("GET", self._url) as response:
                if response.status_code != 200:
                    return None
                async for chunk in response.aiter_bytes():
                    page += chunk
                    if len(page) > MAX_STAT_BYTES:
                        return None
        except (TimeoutError, httpx.HTTPError, httpx.InvalidURL):
            return None
        if len(page) <= _SLICE_BYTES:
            return parse_stat(bytes(page))
        return await asyncio.to_thread(parse_stat, bytes(page))

    async def aclose(self) -> None:
        await self._client.aclose()
