"""Node-Media-Server as a kind of ingest server."""

from __future__ import annotations

from typing import Final

from edge.servers.kind import ServerKind
from edge.servers.node_media_server.connector import NodeMediaServerConnector
from edge.servers.node_media_server.hooks import DIALECT, NodeMediaServerHooks
from edge.servers.node_media_server.settings import SERVER, NodeMediaServerSection

KIND: Final = ServerKind(
    name=SERVER,
    settings=NodeMediaServerSection,
    connector=NodeMediaServerConnector,
    hooks=NodeMediaServerHooks,
    dialect=DIALECT,
)
