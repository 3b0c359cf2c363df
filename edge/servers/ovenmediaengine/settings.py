"""The settings of OvenMediaEngine."""

from __future__ import annotations

from typing import Final

from pydantic import Field, SecretStr

from edge.servers.settings import ServerSection

SERVER: Final = "ovenmediaengine"
"""The kind of server, as in ``Publish.server``."""


class OvenMediaEngineSection(ServerSection):
    """The gate pulls from OvenMediaEngine and cuts by its API."""

    api_url: str = Field("http://127.0.0.1:8081", description="Its API server.")
    access_token: SecretStr = Field(description="<AccessToken> of its API server.")
    secret_key: SecretStr = Field(description="<SecretKey> of <AdmissionWebhooks>; empty: not signed.")
    vhost: str = Field("default", pattern="^[A-Za-z0-9._~-]+$", description="Name of the virtual host.")
    pull_url: str = Field(
        "http://127.0.0.1:3333/{app}/{name}/ts:playlist.m3u8",
        description="Where the gate pulls from; {app} and {name} are filled in.",
    )
