"""The ingest servers that the settings name: their connectors, and their hooks once there is a gate."""

from __future__ import annotations

from collections.abc import Callable

from edge.config import Settings
from edge.servers.connector import Connector
from edge.servers.gatekeeper import Gatekeeper
from edge.servers.hook_http import ServerHooks, ServerHookSettings
from edge.servers.mediamtx.connector import MediaMtxConnector
from edge.servers.mediamtx.hooks import ApiCredentials, MediaMtxHooks
from edge.servers.nginx_rtmp.connector import NginxRtmpConnector
from edge.servers.node_media_server.connector import NodeMediaServerConnector
from edge.servers.node_media_server.hooks import NodeMediaServerHooks
from edge.servers.ovenmediaengine.connector import OvenMediaEngineConnector
from edge.servers.ovenmediaengine.hooks import OvenMediaEngineHooks
from edge.servers.publish_arguments import PublishArguments
from edge.servers.settings import ServerSection
from edge.servers.srs.connector import SrsConnector
from edge.servers.srs.hooks import SrsHooks
from edge.servers.upstream_hook import DIALECTS, Chain, ChainedHooks, Upstream
from edge.servers.zlmediakit.connector import ZlMediaKitConnector
from edge.servers.zlmediakit.hooks import ZlMediaKitHooks


class IngestServers:
    """One connector for each kind of server that is configured."""

    def __init__(self, settings: Settings) -> None:
        secret = settings.http.hook_secret
        self._hook_secret = None if secret is None else secret.get_secret_value()
        self._connectors: list[Connector] = []
        self._hooks: list[tuple[Callable[[Gatekeeper], ServerHooks], str, Upstream | None]] = []
        if (nginx := settings.nginx_rtmp) is not None:
            self._connectors.append(
                NginxRtmpConnector(control_url=nginx.control_url, stat_url=nginx.stat_url)
            )
        self._add_node_media_server(settings)
        self._add_srs(settings)
        self._add_mediamtx(settings)
        self._add_ovenmediaengine(settings)
        self._add_zlmediakit(settings)

    def connectors(self) -> dict[str, Connector]:
        """By the kind of server, as in ``Publish.server``."""
        return {connector.kind: connector for connector in self._connectors}

    def hooks(self, gatekeeper: Gatekeeper) -> list[ServerHooks]:
        """Of all but nginx-rtmp, whose hooks ``create_app`` brings itself."""
        hooks: list[ServerHooks] = []
        for make, kind, upstream in self._hooks:
            own = make(gatekeeper)
            if upstream is None:
                hooks.append(own)
            else:
                hooks.append(ChainedHooks(own, Chain(upstream, DIALECTS[kind], self._hook_secret)))
        return hooks

    def _add_node_media_server(self, settings: Settings) -> None:
        if (node := settings.node_media_server) is None:
            return
        connector = NodeMediaServerConnector(node.api_url, node.jwt_secret.get_secret_value())
        hook = self._hook_settings(node)
        self._add(connector, node, lambda gatekeeper: NodeMediaServerHooks(gatekeeper, connector, hook))

    def _add_srs(self, settings: Settings) -> None:
        if (srs := settings.srs) is None:
            return
        connector = SrsConnector(srs.api_url, user=srs.api_user, password=srs.api_password.get_secret_value())
        hook = self._hook_settings(srs)
        self._add(connector, srs, lambda gatekeeper: SrsHooks(gatekeeper, connector, hook))

    def _add_mediamtx(self, settings: Settings) -> None:
        if (mtx := settings.mediamtx) is None:
            return
        credentials = ApiCredentials(mtx.api_user, mtx.api_password.get_secret_value())
        connector = MediaMtxConnector(mtx.api_url, user=credentials.user, password=credentials.password)
        hook = self._hook_settings(mtx)
        self._add(connector, mtx, lambda gatekeeper: MediaMtxHooks(gatekeeper, connector, hook, credentials))

    def _add_ovenmediaengine(self, settings: Settings) -> None:
        if (ome := settings.ovenmediaengine) is None:
            return
        connector = OvenMediaEngineConnector(
            ome.api_url, ome.access_token.get_secret_value(), vhost=ome.vhost
        )
        hook = self._hook_settings(ome)
        key = ome.secret_key.get_secret_value()
        self._add(connector, ome, lambda gatekeeper: OvenMediaEngineHooks(gatekeeper, connector, hook, key))

    def _add_zlmediakit(self, settings: Settings) -> None:
        if (zlm := settings.zlmediakit) is None:
            return
        connector = ZlMediaKitConnector(zlm.api_url, zlm.api_secret.get_secret_value(), vhost=zlm.vhost)
        hook = self._hook_settings(zlm)
        self._add(connector, zlm, lambda gatekeeper: ZlMediaKitHooks(gatekeeper, connector, hook))

    def _add(
        self, connector: Connector, section: ServerSection, make: Callable[[Gatekeeper], ServerHooks]
    ) -> None:
        self._connectors.append(connector)
        self._hooks.append((make, connector.kind, upstream_of(section)))

    def _hook_settings(self, section: ServerSection) -> ServerHookSettings:
        return ServerHookSettings(section.pull_url, self._hook_secret, arguments_of(section))


def arguments_of(section: ServerSection) -> PublishArguments:
    """The arguments of a publish URL that count at that server."""
    return PublishArguments(section.broadcaster_argument, section.attribute_arguments)


def upstream_of(section: ServerSection) -> Upstream | None:
    """The platform's own hook, where the section names one."""
    if not section.upstream_url:
        return None
    return Upstream(
        section.upstream_url, section.upstream_timeout_ms / 1000, section.upstream_failure == "allow"
    )
