"""How a kind of ingest server describes itself to the gate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeAlias, TypeVar

from edge.servers.connector import Connector
from edge.servers.dialect import Dialect
from edge.servers.gatekeeper import Gatekeeper
from edge.servers.hook_http import ServerHooks
from edge.servers.settings import ServerSection

SectionT = TypeVar("SectionT", bound=ServerSection)
ConnectorT = TypeVar("ConnectorT", bound=Connector)


@dataclass(frozen=True, slots=True)
class ServerKind(Generic[SectionT, ConnectorT]):
    """Everything that the rest of the gate needs from the folder of one kind."""

    name: str
    """As in ``Publish.server``; the hooks are under ``/hooks/NAME``."""
    settings: type[SectionT]
    """Its section of the settings. Server, connector and hooks exist only where a user has that section."""
    connector: Callable[[SectionT], ConnectorT]
    hooks: Callable[[Gatekeeper, ConnectorT, SectionT, str | None], ServerHooks]
    """The last argument is the secret that every hook must carry; None: none."""
    dialect: Dialect
    """How it understands the answer of the platform's own hook."""

    @property
    def section(self) -> str:
        """The key of its section in the settings."""
        return self.name.replace("-", "_")


AnyKind: TypeAlias = ServerKind[Any, Any]
