"""The ingest servers that the settings name: their connectors, and their hooks once there is a gate."""

from __future__ import annotations

from collections.abc import Iterable

import structlog

from edge.servers.connector import Connector, ServerConnector
from edge.servers.gatekeeper import Gatekeeper
from edge.servers.hook_http import ServerHooks
from edge.servers.kind import AnyKind
from edge.servers.publish_arguments import PublishArguments
from edge.servers.settings import ServerSection
from edge.servers.upstream_hook import Chain, ChainedHooks, Upstream

log = structlog.get_logger(__name__)


class IngestServers:
    """One connector for each kind of server that has a section in the settings.

    ``hook_secret``: every hook must carry it as ``?secret=``; None: none need to. Raises ConfigError for a
    section that a connector cannot use.
    """

    def __init__(
        self, sections: Iterable[tuple[AnyKind, ServerSection]], hook_secret: str | None = None
    ) -> None:
        self._hook_secret = hook_secret
        self._servers: list[tuple[AnyKind, ServerSection, ServerConnector]] = [
            (kind, section, kind.connector(section)) for kind, section in sections
        ]
        self._hooks: list[ServerHooks] = []

    def connectors(self) -> dict[str, Connector]:
        """By the kind of server, as in ``Publish.server``."""
        return {kind.name: connector for kind, _, connector in self._servers}

    def hooks(self, gatekeeper: Gatekeeper) -> list[ServerHooks]:
        """The hooks of each server; the platform's own hook is asked first where the section names one."""
        secret = self._hook_secret
        each: list[ServerHooks] = []
        for kind, section, connector in self._servers:
            hooks: ServerHooks = kind.hooks(gatekeeper, connector, section, secret)
            upstream = Upstream.of(section)
            if upstream is not None:
                arguments = PublishArguments.of(section)
                chain = Chain(upstream, kind.dialect, secret, gatekeeper, arguments)
                hooks = ChainedHooks(hooks, chain)
            each.append(hooks)
        self._hooks += each
        return each

    async def aclose(self) -> None:
        """Closes all hooks and connectors, once the gate has stopped. An error of one costs no other."""
        everything: list[ServerHooks | ServerConnector] = [*self._hooks]
        everything += [connector for _, _, connector in self._servers]
        for each in everything:
            try:
                await each.aclose()
            except Exception:
                log.exception("not closed", what=type(each).__name__)
        self._hooks.clear()
