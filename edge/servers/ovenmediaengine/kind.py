"""OvenMediaEngine as a kind of ingest server."""

from __future__ import annotations

from typing import Final

from edge.servers.kind import ServerKind
from edge.servers.ovenmediaengine.connector import OvenMediaEngineConnector
from edge.servers.ovenmediaengine.hooks import DIALECT, OvenMediaEngineHooks
from edge.servers.ovenmediaengine.settings import SERVER, OvenMediaEngineSection

KIND: Final = ServerKind(
    name=SERVER,
    settings=OvenMediaEngineSection,
    connector=OvenMediaEngineConnector,
    hooks=OvenMediaEngineHooks,
    dialect=DIALECT,
)
