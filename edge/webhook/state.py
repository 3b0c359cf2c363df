"""The delivery state: a small local file that survives restarts of the gate.

The ledger is the queue. The file holds only how far the gate has read it, and which of those events wait. So
after a crash at any moment an event may be sent again under the same id, but none is lost.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, fields
from pathlib import Path

from edge.durable_files import append_durably, write_file
from edge.errors import ConfigError
from edge.settings_file import read_settings_file
from edge.turns import in_turns

NAME = "webhook"
MAX_FILE_BYTES = 64 * 1024 * 1024


@dataclass(slots=True)
class Waiting:
    """An event that is not delivered yet."""

    id: str
    number: int
    """Number of its audit entry."""
    since_ms: int
    """Wall time when the gate first took it up."""
    attempts: int = 0
    next_ms: int = 0
    """Earliest wall time of the next attempt."""


_NAMES = tuple(each.name for each in fields(Waiting))


@dataclass(slots=True)
class DeliveryState:
    cursor: int
    """Number of the last audit entry that was taken up."""
    waiting: dict[str, Waiting] = field(default_factory=dict)
    """By id, oldest first."""


def load(directory: Path) -> DeliveryState | None:
    """Loads the state. Returns None before the first start. Raises ConfigError for an unusable file."""
    path = directory / f"{NAME}.json"
    try:
        if not path.exists():
            return None
        values = json.loads(read_settings_file(path, MAX_FILE_BYTES))
        waiting = (Waiting(**each) for each in values["waiting"])
        return DeliveryState(int(values["cursor"]), {each.id: each for each in waiting})
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ConfigError(
            f"{path}: is damaged; remove it, and deliveries begin with the next decision"
        ) from None


async def copy_of(state: DeliveryState) -> DeliveryState:
    """A copy that another thread can ``save`` while the original changes.

    It is made in slices. An event that is taken up meanwhile may be missing, since ``cursor`` is read first:
    it is taken up again under its id.
    """
    copy = DeliveryState(state.cursor)
    async for each in in_turns(tuple(state.waiting.values())):
        copy.waiting[each.id] = Waiting(each.id, each.number, each.since_ms, each.attempts, each.next_ms)
    return copy


def save(directory: Path, state: DeliveryState) -> None:
    """Writes the state atomically; it is on disk on return. Raises OSError."""
    waiting = [{name: getattr(each, name) for name in _NAMES} for each in state.waiting.values()]
    text = json.dumps({"cursor": state.cursor, "waiting": waiting})
    write_file(directory / f"{NAME}.json", text.encode())


def bury(directory: Path, letters: str, max_bytes: int) -> None:
    """Appends dead letters to their file; they are on disk on return. ``max_bytes`` bounds it together with
    the file before it. Raises OSError."""
    path = directory / "webhook.dead.jsonl"
    if path.exists() and path.stat().st_size > max_bytes // 2:
        path.replace(path.with_suffix(".jsonl.1"))
    append_durably(path, letters.encode())
