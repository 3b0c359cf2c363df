"""nginx-rtmp as a kind of ingest server."""

from __future__ import annotations

from typing import Final

from edge.servers.kind import ServerKind
from edge.servers.nginx_rtmp.connector import NginxRtmpConnector
from edge.servers.nginx_rtmp.hooks import DIALECT, NginxRtmpHooks
from edge.servers.nginx_rtmp.settings import SERVER, NginxRtmpSection

KIND: Final = ServerKind(
    name=SERVER,
    settings=NginxRtmpSection,
    connector=NginxRtmpConnector,
    hooks=NginxRtmpHooks,
    dialect=DIALECT,
)
