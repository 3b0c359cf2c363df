"""The seam to an ingest server through which a publisher is cut."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

FIRST_RETRY_MS: Final = 50.0
"""The longest pause after the first request to cut. It doubles with each further request."""
MAX_RETRY_MS: Final = 5_000.0
"""The upper bound of that pause."""


@dataclass(frozen=True, slots=True)
class CutTarget:
    """The publish connection that must end."""

    stream_id: str
    app: str
    name: str
    connection: str
    """The server's own reference to the connection."""
    address: str = ""


@dataclass(frozen=True, slots=True)
class CutAttempt:
    """The result of one request to cut."""

    asked: bool
    """Whether the server took the request."""
    closed: int | None
    """Connections that the server says it closed; None where it does not say."""
    detail: str = ""


class Connector(Protocol):
    """Cuts by the connection, never by the name alone.

    No method raises for a server that is away or answers nonsense. A cut then has ``asked=False``, and a
    look is None.
    """

    @property
    def kind(self) -> str:
        """The server's kind, as in ``Publish.server``."""
        ...

    async def cut_publisher(self, target: CutTarget) -> CutAttempt:
        """Ask once for the connection to be closed."""
        ...

    async def is_live(self, target: CutTarget) -> bool | None:
        """Whether the connection still publishes; None when the server cannot tell."""
        ...


class ServerConnector(Connector, Protocol):
    """The connector of a kind of server. It holds connections to the server's API."""

    async def aclose(self) -> None:
        """Close them. Nothing is cut any more."""
        ...


class ApiConnector(Connector, Protocol):
    """A connector to a server whose API names the publisher of a stream."""

    async def publishes(self, target: CutTarget) -> bool | None:
        """Whether that very connection is the publisher of the stream; None when the server cannot tell.

        A connection may be live without being the publisher, as one that is about to be refused.
        """
        ...
