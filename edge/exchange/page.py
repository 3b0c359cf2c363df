"""What a kind of exchange delivers: pages of changes, each with the checkpoint after it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

from edge.errors import InvalidInput, LimitExceeded
from edge.match import Entry, EntryKind, Footage, HashRun, Withdrawal
from edge.match.pdq.hasher import parse_hex
from edge.policy import ExchangeOpinion
from edge.printable import printable

MAX_CHANGES: Final = 50_000
"""Most changes of a page."""
MAX_CHECKPOINT: Final = 4096
MAX_TAGS: Final = 64
_TAG_CHARACTERS: Final = 128


@dataclass(frozen=True, slots=True)
class Shared:
    """Footage that an exchange shares, and what it says of it. ``footage.entry.id`` names it there."""

    footage: Footage
    opinion: ExchangeOpinion = ExchangeOpinion.POSITIVE
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SharedPage:
    """Changes in order. All of them are taken, or none."""

    changes: tuple[Shared | Withdrawal, ...]
    checkpoint: str
    """Where to go on after this page, in the kind's own words. Empty: only from the beginning."""
    left_out: Mapping[str, int] = field(default_factory=dict)
    """Records that cannot be used here, by their signal type."""

    def __post_init__(self) -> None:
        if len(self.changes) > MAX_CHANGES:
            raise LimitExceeded("page", MAX_CHANGES, len(self.changes), "changes")
        if len(self.checkpoint) > MAX_CHECKPOINT:
            raise LimitExceeded("page.checkpoint", MAX_CHECKPOINT, len(self.checkpoint), "characters")


class ExchangeSource(Protocol):
    """One exchange, opened."""

    def pages(self, checkpoint: str) -> Iterator[SharedPage]:
        """Yields what has changed since a checkpoint until nothing is left. Empty: all that there is.

        What no page names from an empty checkpoint to the end is gone from the exchange. Raises
        CheckpointStale if changes since the checkpoint cannot be told: then everything is asked for. Raises
        ExchangeFailed or InvalidInput otherwise; the pages before stay taken.
        """
        ...


def shared_hash(
    digits: str,
    opinion: ExchangeOpinion = ExchangeOpinion.POSITIVE,
    tags: Iterable[str] = (),
    *,
    entry_id: str = "",
) -> Shared:
    """A single PDQ hash, by its 64 hexadecimal digits. Without an id it is named by its hash."""
    bits = parse_hex(digits)
    entry = Entry(entry_id or bits.hex(), EntryKind.IMAGE)
    return Shared(Footage(entry, (HashRun(bits),)), opinion, clean_tags(tags))


def clean_tags(tags: Iterable[str]) -> tuple[str, ...]:
    """Tags in order and each once, printable and bounded. Raises LimitExceeded for too many."""
    if not tags:
        return ()
    found = sorted({printable(str(tag))[:_TAG_CHARACTERS] for tag in tags})
    if len(found) > MAX_TAGS:
        raise LimitExceeded("tags", MAX_TAGS, len(found), "tags")
    return tuple(found)


def read_checkpoint(text: str) -> dict[str, object]:
    """Parses a checkpoint that a kind has written as JSON. Empty for an empty one. Raises InvalidInput."""
    try:
        found = json.loads(text or "{}")
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise InvalidInput("checkpoint", "is none of this kind of exchange")
    return found
