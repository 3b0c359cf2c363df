"""The settings of SRS."""

from __future__ import annotations

from typing import Final

from pydantic import Field, SecretStr

from edge.servers.settings import ServerSection

SERVER: Final = "srs"
"""The kind of server, as in ``Publish.server``."""


class SrsSection(ServerSection):
    """The gate pulls from SRS and cuts by its API."""

    api_url: str = Field("http://127.0.0.1:1985", description="Its http_api.")
    api_user: str = Field("", description="Of http_api { auth }; empty: none.")
    api_password: SecretStr = Field(SecretStr(""), description="The password of api_user.")
