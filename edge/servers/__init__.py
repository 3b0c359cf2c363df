"""HTTP hooks of ingest servers: who may publish, and that a publish has ended."""

from edge.servers.gatekeeper import Admission, Gatekeeper
from edge.servers.hook_http import ServerHooks, ServerHookSettings
from edge.servers.http_app import create_app
from edge.servers.mediamtx.hooks import ApiCredentials, MediaMtxHooks
from edge.servers.nginx_rtmp.hook_settings import HookSettings
from edge.servers.node_media_server.hooks import NodeMediaServerHooks
from edge.servers.ovenmediaengine.hooks import OvenMediaEngineHooks
from edge.servers.srs.hooks import SrsHooks
from edge.servers.upstream_hook import Upstream
from edge.servers.zlmediakit.hooks import ZlMediaKitHooks

__all__ = [
    "Admission",
    "ApiCredentials",
    "Gatekeeper",
    "HookSettings",
    "MediaMtxHooks",
    "NodeMediaServerHooks",
    "OvenMediaEngineHooks",
    "ServerHookSettings",
    "ServerHooks",
    "SrsHooks",
    "Upstream",
    "ZlMediaKitHooks",
    "create_app",
]
