"""The settings of the seventh kind."""

from __future__ import annotations

from typing import Final

from pydantic import Field, SecretStr

from edge.servers.settings import ServerSection

SERVER: Final = "seventh-kind"


class SeventhKindSection(ServerSection):
    """The gate pulls from the seventh kind and cuts by its API."""

    api_url: str = Field("http://127.0.0.1:7000", description="Its API.")
    api_token: SecretStr = Field(description="The bearer token of its API.")
