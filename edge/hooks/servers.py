"""The ingest servers that the settings name: their connectors, and their hooks once there is a gate."""

from __future__ import annotations

from edge.config import Settings
from edge.enforce import Connector, NginxRtmpConnector, NodeMediaServerConnector
from edge.hooks.gatekeeper import Gatekeeper
from edge.hooks.json_hooks import ServerHooks, ServerHookSettings
from edge.hooks.node_media_server import NodeMediaServerHooks


class IngestServers:
    """One connector for each kind of server that is configured."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        nginx, node = settings.nginx_rtmp, settings.node_media_server
        self._nginx = None
        if nginx is not None:
            self._nginx = NginxRtmpConnector(control_url=nginx.control_url, stat_url=nginx.stat_url)
        self._node = None
        if node is not None:
            self._node = NodeMediaServerConnector(node.api_url, node.jwt_secret.get_secret_value())

    def connectors(self) -> dict[str, Connector]:
        """By the kind of server, as in ``Publish.server``."""
        found: tuple[Connector | None, ...] = (self._nginx, self._node)
        return {connector.kind: connector for connector in found if connector is not None}

    def hooks(self, gatekeeper: Gatekeeper) -> list[ServerHooks]:
        """Of all but nginx-rtmp, whose hooks ``create_app`` brings itself."""
        hooks: list[ServerHooks] = []
        node = self._settings.node_media_server
        if node is not None and self._node is not None:
            settings = self._hook_settings(node.pull_url, node.broadcaster_argument)
            hooks.append(NodeMediaServerHooks(gatekeeper, self._node, settings))
        return hooks

    def _hook_settings(self, pull_url: str, broadcaster_argument: str) -> ServerHookSettings:
        secret = self._settings.http.hook_secret
        return ServerHookSettings(
            pull_url=pull_url,
            secret=None if secret is None else secret.get_secret_value(),
            broadcaster_argument=broadcaster_argument,
        )
