"""What a bank has come to hold, mark and say since an earlier state of it.

Segments that both states name by the same digest are not read. So the cost is that of what was written since:
new segments, and those that a compaction has replaced.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from edge.match.bank.bank import Bank
from edge.match.bank.manifest import BankInfo, SegmentName
from edge.match.bank.segment import Segment
from edge.match.bank.segment_builder import plain_entry, unique_codes
from edge.match.entry import Footage, HashRun
from edge.match.index.hamming import Codes, codes_of

MARKS: Final = ("disabled", "quarantined")
"""Fields of the manifest that hold marked entries."""

Part = tuple[Segment, SegmentName]


@dataclass(frozen=True, slots=True)
class MarkChange:
    """That an entry has a mark now, or has it no more."""

    entry: str
    mark: str
    """One of ``MARKS``."""
    on: bool


@dataclass(frozen=True)
class BankDifference:
    """What leads from one state of a bank to a later one."""

    settings: Mapping[str, Any]
    """Changed fields of BankInfo, as JSON has them. All of them for a bank that was not there."""
    checkpoints: Mapping[str, str]
    """Changed ones."""
    marks: tuple[MarkChange, ...]
    withdrawn: tuple[str, ...]
    whole: tuple[Part, ...]
    """Segments of which every entry that is not removed is new, or replaces one of the same id."""
    added: Iterable[Footage]
    """The other new entries. Read once, while both banks are open."""


def bank_difference(before: Bank | None, now: Bank, local: str) -> BankDifference:
    """Compares two opened states of a bank. Checkpoints whose name begins with ``local`` are left out."""
    old, new = parts_of(before), parts_of(now)
    old, new, gone = _without_common(old, new)
    added: Iterable[Footage] = ()
    whole: tuple[Part, ...] = ()
    if not old:
        whole = tuple(new)
    elif all(segment.plain for segment, _ in (*old, *new)):
        come, went = _plain_difference(old, new)
        gone |= {code.tobytes().hex() for code in went}
        added = (Footage(plain_entry(bits), (HashRun(bits),)) for bits in (c.tobytes() for c in come))
    else:
        stood = {item.entry.id: _content(item) for part in old for item in _left(part)}
        gone |= stood.keys()
        added = _come(stood, new)
    known = BankInfo() if before is None else before.info
    said, says = known.model_dump(mode="json"), now.info.model_dump(mode="json")
    points = {} if before is None else before.manifest.checkpoints
    return BankDifference(
        {name: value for name, value in says.items() if before is None or said[name] != value},
        {
            name: value
            for name, value in now.manifest.checkpoints.items()
            if points.get(name) != value and not name.startswith(local)
        },
        tuple(_marks(before, now)),
        tuple(sorted(entry_id for entry_id in gone if not now.has(entry_id))),
        whole,
        added,
    )


def parts_of(bank: Bank | None) -> list[Part]:
    """A bank's segments, each with what its manifest says of it."""
    return [] if bank is None else list(zip(bank.segments, bank.manifest.segments, strict=True))


def _without_common(old: list[Part], new: list[Part]) -> tuple[list[Part], list[Part], set[str]]:
    """Leaves out the segments of both states. Returns what was removed of those, too."""
    left_old, left_new, gone = list(old), list[Part](), set[str]()
    for part in new:
        removed = frozenset(part[1].removed)
        same = next(
            (
                each
                for each in left_old
                if each[1].digest == part[1].digest and removed.issuperset(each[1].removed)
            ),
            None,
        )
        if same is None:
            left_new.append(part)
        else:
            left_old.remove(same)
            gone |= removed.difference(same[1].removed)
    return left_old, left_new, gone


def _plain_difference(old: list[Part], new: list[Part]) -> tuple[Codes, Codes]:
    """Codes that have come, and those that went. Both states hold each code once."""
    stood, stand = plain_codes(old), plain_codes(new)
    return codes_left(stand, stood), codes_left(stood, stand)


def plain_codes(parts: Iterable[Part]) -> Codes:
    """The codes of plain segments that are not removed."""
    return codes_of(b"".join(segment.left_of_plain(name.removed) for segment, name in parts))


def codes_left(codes: Codes, others: Codes) -> Codes:
    """Returns the distinct ones of ``codes`` that are not among others."""
    both, inverse = unique_codes(np.concatenate((codes, others)))
    left = np.zeros(len(both), dtype=bool)
    left[inverse[: len(codes)]] = True
    left[inverse[len(codes) :]] = False
    return both[left]


def _come(stood: Mapping[str, bytes], new: list[Part]) -> Iterator[Footage]:
    for part in new:
        for item in _left(part):
            if stood.get(item.entry.id) != _content(item):
                yield item


def _left(part: Part) -> Iterator[Footage]:
    segment, name = part
    removed = frozenset(name.removed)
    return (item for item in segment.footage() if item.entry.id not in removed)


def _content(item: Footage) -> bytes:
    return hashlib.blake2b(repr(item).encode(), digest_size=16).digest()


def _marks(before: Bank | None, now: Bank) -> Iterator[MarkChange]:
    for mark in MARKS:
        had = frozenset(() if before is None else getattr(before.manifest, mark))
        has = frozenset(getattr(now.manifest, mark))
        yield from (MarkChange(entry_id, mark, True) for entry_id in sorted(has - had))
        yield from (MarkChange(entry_id, mark, False) for entry_id in sorted(had - has) if now.has(entry_id))
