"""The settings of Node-Media-Server."""

from __future__ import annotations

from typing import Final

from pydantic import Field, SecretStr

from edge.servers.settings import ServerSection

SERVER: Final = "node-media-server"
"""The kind of server, as in ``Publish.server``."""


class NodeMediaServerSection(ServerSection):
    """The gate pulls from Node-Media-Server and cuts by its API."""

    api_url: str = Field("http://127.0.0.1:8000", description="Its http port; the API is under /api/v1.")
    jwt_secret: SecretStr = Field(description="auth.jwt.secret of its configuration.")
