"""HTTP hooks of ingest servers: who may publish, and that a publish has ended."""

from edge.hooks.app import create_app
from edge.hooks.chain import Upstream
from edge.hooks.gatekeeper import Admission, Gatekeeper
from edge.hooks.json_hooks import ServerHooks, ServerHookSettings
from edge.hooks.mediamtx import ApiCredentials, MediaMtxHooks
from edge.hooks.node_media_server import NodeMediaServerHooks
from edge.hooks.ovenmediaengine import OvenMediaEngineHooks
from edge.hooks.settings import HookSettings
from edge.hooks.srs import SrsHooks
from edge.hooks.zlmediakit import ZlMediaKitHooks

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
