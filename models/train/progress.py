"""What training says while it runs, and where it keeps a network between two runs."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Epoch:
    """What an epoch of fitting came to."""

    number: int
    loss: float
    seconds: float
    """Wall time."""


def tell(as_json: bool, text: str, **fields: Any) -> None:
    """Prints progress: text for people to stderr, or a line of JSON to stdout."""
    print(json.dumps(fields) if as_json else text, file=sys.stdout if as_json else sys.stderr, flush=True)


def tell_epoch(as_json: bool, epoch: Epoch, epochs: int) -> None:
    """Prints what an epoch of so many came to."""
    text = f"epoch {epoch.number} of {epochs}: loss {epoch.loss:.4f}, {epoch.seconds:.0f} s"
    tell(as_json, text, **asdict(epoch))


def print_figures(figures: Mapping[str, Any], as_json: bool) -> None:
    """Prints a result as JSON: one line for machines, indented for people."""
    print(json.dumps(figures, indent=None if as_json else 1))


def checkpoint(cache: Path, name: str) -> Path:
    """The file that keeps a network after each epoch."""
    return cache / f"{name}.pt"
