"""The settings of ZLMediaKit."""

from __future__ import annotations

from typing import Final

from pydantic import Field, SecretStr

from edge.servers.settings import ServerSection

SERVER: Final = "zlmediakit"
"""The kind of server, as in ``Publish.server``."""


class ZlMediaKitSection(ServerSection):
    """The gate pulls from ZLMediaKit and cuts by its API."""

    api_url: str = Field("http://127.0.0.1:80", description="Its HTTP server.")
    api_secret: SecretStr = Field(description="[api] secret of its configuration.")
    vhost: str = Field("__defaultVhost__", description="Virtual host of the streams.")
