"""SRS as a kind of ingest server."""

from __future__ import annotations

from typing import Final

from edge.servers.kind import ServerKind
from edge.servers.srs.connector import SrsConnector
from edge.servers.srs.hooks import DIALECT, SrsHooks
from edge.servers.srs.settings import SERVER, SrsSection

KIND: Final = ServerKind(
    name=SERVER,
    settings=SrsSection,
    connector=SrsConnector,
    hooks=SrsHooks,
    dialect=DIALECT,
)
