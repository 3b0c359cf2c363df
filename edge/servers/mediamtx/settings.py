"""The settings of MediaMTX."""

from __future__ import annotations

from typing import Final

from pydantic import Field, SecretStr

from edge.servers.settings import ServerSection

SERVER: Final = "mediamtx"
"""The kind of server, as in ``Publish.server``."""


class MediaMtxSection(ServerSection):
    """The gate pulls from MediaMTX and cuts by its API."""

    api_url: str = Field("http://127.0.0.1:9997", description="Its apiAddress.")
    api_user: str = Field("", description="Whom the hook lets into its API; empty: this machine.")
    api_password: SecretStr = Field(SecretStr(""), description="The password of api_user.")
    pull_url: str = Field(
        "rtmp://127.0.0.1:1935/{path}", description="Where the gate pulls from; {path} is filled in."
    )
