"""MediaMTX as a kind of ingest server."""

from __future__ import annotations

from typing import Final

from edge.servers.kind import ServerKind
from edge.servers.mediamtx.connector import MediaMtxConnector
from edge.servers.mediamtx.hooks import DIALECT, MediaMtxHooks
from edge.servers.mediamtx.settings import SERVER, MediaMtxSection

KIND: Final = ServerKind(
    name=SERVER,
    settings=MediaMtxSection,
    connector=MediaMtxConnector,
    hooks=MediaMtxHooks,
    dialect=DIALECT,
)
