"""ZLMediaKit as a kind of ingest server."""

from __future__ import annotations

from typing import Final

from edge.servers.kind import ServerKind
from edge.servers.zlmediakit.connector import ZlMediaKitConnector
from edge.servers.zlmediakit.hooks import DIALECT, ZlMediaKitHooks
from edge.servers.zlmediakit.settings import SERVER, ZlMediaKitSection

KIND: Final = ServerKind(
    name=SERVER,
    settings=ZlMediaKitSection,
    connector=ZlMediaKitConnector,
    hooks=ZlMediaKitHooks,
    dialect=DIALECT,
)
