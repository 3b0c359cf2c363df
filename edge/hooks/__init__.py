"""HTTP hooks of ingest servers: who may publish, and that a publish has ended."""

from edge.hooks.app import create_app
from edge.hooks.gatekeeper import Admission, Gatekeeper
from edge.hooks.settings import HookSettings

__all__ = ["Admission", "Gatekeeper", "HookSettings", "create_app"]
