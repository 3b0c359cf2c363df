"""Turns a bank's footage into what is shared of it, and back. Pure.

What comes from a peer is hostile: each field is checked, and an error names it. Texts about a source, notes
and the bank's own ids stay here, because they may name people.
"""

from __future__ import annotations

import re
from typing import Final

from edge.contract.gen import share_pb2
from edge.domain import BankSeverity
from edge.errors import InvalidInput, LimitExceeded
from edge.match import AudioPrint, Entry, EntryKind, Footage, HashRun, Variant
from edge.match.entry import MAX_LABEL
from edge.match.pdq.hasher import HASH_BYTES

MAX_ENTRY_BYTES: Final = 8 << 20
"""Largest entry that is shared: footage of about five hours."""
MAX_HASHES: Final = 200_000
_ID: Final = re.compile(r"[0-9a-f]{32}")
_MAX_WALL_MS: Final = 253_402_300_799_000


def shared_entry(footage: Footage, *, category: str, severity: str, incident: bool) -> bytes:
    """Returns the serialised entry. ``category`` is the bank's, for an entry without its own."""
    entry, sound = footage.entry, footage.audio
    return share_pb2.Entry(
        kind=entry.kind.value,
        category=entry.label or category,
        severity=severity,
        confidence=share_pb2.CONFIDENCE_CONFIRMED if incident else share_pb2.CONFIDENCE_LISTED,
        provenance=share_pb2.PROVENANCE_INCIDENT if incident else share_pb2.PROVENANCE_BANK,
        added_wall_ms=entry.added_ms,
        duration_ms=entry.duration_ms,
        hashes=b"".join(run.bits for run in footage.hashes),
        start_ms=[run.start_ms for run in footage.hashes],
        span_ms=[run.span_ms for run in footage.hashes],
        quality=[run.quality for run in footage.hashes],
        variant=[int(run.variant) for run in footage.hashes],
        sound=b"" if sound is None else sound.items,
        sound_start_ms=0 if sound is None else sound.start_ms,
    ).SerializeToString(deterministic=True)


def checked_id(text: str) -> str:
    """Raises InvalidInput."""
    if not _ID.fullmatch(text):
        raise InvalidInput("change.id", "is not 32 hexadecimal digits")
    return text


def footage_of(entry_id: str, entry: share_pb2.Entry, source: str) -> Footage:
    """Returns what a peer shares. ``source`` says from whom it is, for people here.

    Raises InvalidInput and LimitExceeded, which name the field.
    """
    count, rest = divmod(len(entry.hashes), HASH_BYTES)
    if rest:
        raise InvalidInput("entry.hashes", f"has {len(entry.hashes)} bytes, not a multiple of {HASH_BYTES}")
    if count > MAX_HASHES:
        raise LimitExceeded("entry.hashes", MAX_HASHES, count, "hashes")
    for name in ("start_ms", "span_ms", "quality", "variant"):
        if len(getattr(entry, name)) != count:
            raise InvalidInput(f"entry.{name}", f"has {len(getattr(entry, name))} values for {count} hashes")
    if not count and not entry.sound:
        raise InvalidInput("entry", "has neither hashes nor audio")
    if entry.kind not in [kind.value for kind in EntryKind]:
        raise InvalidInput("entry.kind", f"{entry.kind[:40]!r} is none of {', '.join(EntryKind)}")
    for name in ("added_wall_ms", "duration_ms"):
        if not 0 <= getattr(entry, name) <= _MAX_WALL_MS:
            raise LimitExceeded(f"entry.{name}", _MAX_WALL_MS, getattr(entry, name), "ms")
    if len(entry.category) > MAX_LABEL:
        raise LimitExceeded("entry.category", MAX_LABEL, len(entry.category), "characters")
    if BankSeverity.of(entry.severity) is None:
        raise InvalidInput("entry.severity", f"{entry.severity[:40]!r} is none of {', '.join(BankSeverity)}")
    return Footage(
        Entry(
            entry_id,
            EntryKind(entry.kind),
            label=entry.category,
            source=source,
            duration_ms=entry.duration_ms,
            added_ms=entry.added_wall_ms,
        ),
        tuple(
            HashRun(
                entry.hashes[n * HASH_BYTES : (n + 1) * HASH_BYTES],
                entry.start_ms[n],
                entry.span_ms[n],
                entry.quality[n],
                _variant(entry.variant[n]),
            )
            for n in range(count)
        ),
        AudioPrint(entry.sound, entry.sound_start_ms) if entry.sound else None,
    )


def _variant(number: int) -> Variant:
    try:
        return Variant(number)
    except ValueError:
        raise InvalidInput("entry.variant", f"{number} is none") from None
