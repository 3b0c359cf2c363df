"""Which decisions have become events, and which events wait: a small local file that survives the gate.

The ledger is the queue. This file holds only how far it was read and what of that was not delivered, so
that a crash at any moment sends an event again under the same id, and never loses one.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, fields
from pathlib import Path

from edge.errors import ConfigError
from edge.evidence.durable import appearing

NAME = "webhook"
MAX_FILE_BYTES = 64 * 1024 * 1024


@dataclass(slots=True)
class Waiting:
    """An event that was not delivered yet."""

    id: str
    number: int
    """Of its audit entry."""
    since_ms: int
    """When the gate first took it up; wall time."""
    attempts: int = 0
    next_ms: int = 0
    """Not before; wall time."""


_NAMES = tuple(each.name for each in fields(Waiting))


@dataclass(slots=True)
class DeliveryState:
    cursor: int
    """Number of the last audit entry that was taken up."""
    waiting: dict[str, Waiting] = field(default_factory=dict)
    """By id, oldest first."""


def load(directory: Path) -> DeliveryState | None:
    """None before the first start. Raises ConfigError for a file that cannot be used."""
    path = directory / f"{NAME}.json"
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ConfigError(f"{path}: is over the limit of {MAX_FILE_BYTES} bytes")
        values = json.loads(path.read_text(encoding="utf-8"))
        waiting = (Waiting(**each) for each in values["waiting"])
        return DeliveryState(int(values["cursor"]), {each.id: each for each in waiting})
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}") from None
    except (ValueError, KeyError, TypeError):
        raise ConfigError(
            f"{path}: is damaged; remove it, and deliveries begin with the next decision"
        ) from None


def copy_of(state: DeliveryState) -> DeliveryState:
    """For ``save`` in another thread, while the original goes on changing."""
    waiting = {
        key: Waiting(each.id, each.number, each.since_ms, each.attempts, each.next_ms)
        for key, each in state.waiting.items()
    }
    return DeliveryState(state.cursor, waiting)


def save(directory: Path, state: DeliveryState) -> None:
    """On disk, whole, when it returns. Raises OSError."""
    waiting = [{name: getattr(each, name) for name in _NAMES} for each in state.waiting.values()]
    text = json.dumps({"cursor": state.cursor, "waiting": waiting})
    with appearing(directory, NAME, ".json") as (partial, _):
        partial.write_text(text, encoding="utf-8")
