"""The settings of nginx-rtmp."""

from __future__ import annotations

from typing import Final

from pydantic import Field

from edge.servers.settings import ServerSection

SERVER: Final = "nginx-rtmp"
"""The kind of server, as in ``Publish.server``."""


class NginxRtmpSection(ServerSection):
    """The gate pulls from nginx-rtmp and cuts by its control API."""

    control_url: str = Field("http://127.0.0.1:18081/control", description="rtmp_control location.")
    stat_url: str = Field("http://127.0.0.1:18081/stat", description="rtmp_stat location.")
    pull_wait_ms: int = Field(
        300, ge=0, le=5000, description="Longest wait in on_publish for the pull to connect."
    )
