"""The seventh kind of ingest server."""

from __future__ import annotations

from typing import Final

from edge.servers.kind import ServerKind
from tests.servers.seventh_kind.connector import SeventhKindConnector
from tests.servers.seventh_kind.hooks import DIALECT, SeventhKindHooks
from tests.servers.seventh_kind.settings import SERVER, SeventhKindSection

KIND: Final = ServerKind(
    name=SERVER,
    settings=SeventhKindSection,
    connector=SeventhKindConnector,
    hooks=SeventhKindHooks,
    dialect=DIALECT,
)
