"""The environment of contained processes, and the mode that it asks for."""

from __future__ import annotations

import os
from typing import Final

from edge.containment.role import ContainmentMode
from edge.errors import ConfigError

_ONE_THREAD: Final = {
    "OPENBLAS_NUM_THREADS": "1",  # numpy's; a worker has one core
    "ORT_DISABLE_TELEMETRY": "1",  # onnxruntime's; it also reads the machine's identity
}
"""Keeps libraries from starting threads when they are imported. Landlock would not hold for these."""


def contained_environment() -> dict[str, str]:
    """The environment for a process that will be contained."""
    return {**os.environ, **_ONE_THREAD}


def mode_of_environment() -> ContainmentMode:
    """The mode for commands that read no settings file: ``EDGE_CONTAINMENT``, by default ``try``.

    Raises ConfigError.
    """
    said = os.environ.get("EDGE_CONTAINMENT", ContainmentMode.TRY)
    try:
        return ContainmentMode(said)
    except ValueError:
        raise ConfigError(f"EDGE_CONTAINMENT: {said!r} is none of {', '.join(ContainmentMode)}") from None
