"""The kinds of exchanges. A new kind is a file and one line here."""

from __future__ import annotations

from importlib import import_module
from typing import Final

from edge.errors import InvalidInput
from edge.exchange.kind import AnyKind

FILES: Final = (
    "edge.exchange.local_file",
    "edge.exchange.http_file",
    "edge.exchange.stopncii",
    "edge.exchange.ncmec",
    "edge.exchange.threatexchange",
    "edge.exchange.hma",
    "edge.exchange.other_gate",
)
"""Modules, each with its ``KIND``."""


def kinds() -> dict[str, AnyKind]:
    """The kinds by their names, in order."""
    found = (import_module(name).KIND for name in FILES)
    return {kind.name: kind for kind in found}


def kind_named(name: str) -> AnyKind:
    """Raises InvalidInput, which names the kinds that there are."""
    known = kinds()
    if name not in known:
        raise InvalidInput("kind", f"{name[:80]!r} is none of {', '.join(known)}")
    return known[name]
