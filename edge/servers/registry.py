"""The kinds of ingest servers that the gate knows. A new kind is a folder and one line here."""

from __future__ import annotations

from importlib import import_module

from edge.servers.kind import AnyKind

FOLDERS: tuple[str, ...] = (
    "edge.servers.nginx_rtmp",
    "edge.servers.node_media_server",
    "edge.servers.srs",
    "edge.servers.mediamtx",
    "edge.servers.ovenmediaengine",
    "edge.servers.zlmediakit",
)
"""Packages, each with its ``KIND`` in ``kind.py``."""


def kinds() -> tuple[AnyKind, ...]:
    """One record for each folder, in order."""
    return tuple(import_module(f"{folder}.kind").KIND for folder in FOLDERS)
