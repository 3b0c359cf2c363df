"""HTTP hooks of ingest servers: who may publish, and that a publish has ended."""

from edge.hooks.app import create_app
from edge.hooks.gatekeeper import Admission, Gatekeeper
from edge.hooks.json_hooks import ServerHooks, ServerHookSettings
from edge.hooks.node_media_server import NodeMediaServerHooks
from edge.hooks.settings import HookSettings

__all__ = [
    "Admission",
    "Gatekeeper",
    "HookSettings",
    "NodeMediaServerHooks",
    "ServerHookSettings",
    "ServerHooks",
    "create_app",
]
