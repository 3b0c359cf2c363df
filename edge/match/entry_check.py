"""Checks new bank entries against benign banks and against what streams of the last day have shown.

A test card, a street, a logo or an intro that is banked as violating would cut everybody who shows it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from edge.match.bank.bank_set import BankSet
from edge.match.bank.guards import EntryFinding
from edge.match.bank.new_entries import NewEntries
from edge.match.entry import BankPurpose
from edge.match.index.hamming import Codes, Positions
from edge.match.index.join import join
from edge.match.recent_footage import Views

MOST_PAIRS = 200_000
"""Most pairs of a hash and a stream that are looked at. An entry with more has been shown by many."""
NEW_WEIGHT = 0.1
"""Of a stream of which nothing is known, or that has no clean record. A hundred of them decide nothing."""


@dataclass(frozen=True, slots=True)
class CalmPart:
    """What a stream had shown before the incident that an entry is of."""

    stream: int
    """Its ``stream_tag``."""
    until_pts_ms: int


def check_entries(
    views: Views,
    news: Sequence[NewEntries],
    banks: BankSet,
    weights: Mapping[int, float],
    calm_parts: Mapping[str, CalmPart],
    now_ms: int,
) -> Iterator[tuple[str, str, EntryFinding]]:
    """Yields bank, id and finding of each new entry of which there is something to find.

    ``weights`` says by its tag what a stream counts, and ``calm_parts`` by its id where an entry is from.
    """
    benign = [o for o in banks.banks if o.bank.info.opinion is BankPurpose.BENIGN and o.usable(now_ms)]
    benign_codes = [segment.codes for o in benign for segment in o.bank.segments]
    for new in news:
        streams: dict[str, set[int]] = defaultdict(set)
        calm: dict[str, int] = defaultdict(int)
        for position, view in _seen(views, new):
            tag, pts_ms = int(views.streams[view]), int(views.pts_ms[view])
            for entry_id in _entries_at(new, position):
                streams[entry_id].add(tag)
                part = calm_parts.get(entry_id)
                if part is not None and part.stream == tag and pts_ms < part.until_pts_ms:
                    calm[entry_id] += 1
        share = _benign_share(new.unchanged, benign_codes)
        for entry_id in streams.keys() | share.keys():
            tags = streams[entry_id]
            own = calm_parts.get(entry_id)
            others = tags if own is None else tags - {own.stream}
            finding = EntryFinding(
                benign_share=share.get(entry_id, 0.0),
                streams=len(others),
                weight=sum(weights.get(tag, NEW_WEIGHT) for tag in others),
                own_calm=calm[entry_id],
                wall_ms=now_ms,
            )
            yield new.bank.bank.name, entry_id, finding


def _seen(views: Views, new: NewEntries) -> Iterator[tuple[int, int]]:
    """Yields the place of a hash and the number of a view of it that was passed, one for each stream."""
    passed = np.flatnonzero(views.passed)
    pairs = join(views.codes[passed], new.codes)
    seen, tags = passed[pairs.large], views.streams[passed[pairs.large]].astype(np.int64)
    _, first = np.unique((pairs.small.astype(np.int64) << 32) | tags, return_index=True)
    for at in first[:MOST_PAIRS]:
        yield int(new.positions[pairs.small[at]]), int(seen[at])


def _benign_share(new: NewEntries, benign: Sequence[Codes]) -> dict[str, float]:
    near = np.zeros(len(new.positions), np.bool_)
    for codes in benign:
        if len(codes) > len(near):
            near[join(codes, new.codes).small] = True
        else:
            near[join(new.codes, codes).large] = True
    if not near.any():
        return {}
    hashes, found = _counted(new, new.positions), _counted(new, new.positions[near])
    return {entry_id: count / hashes[entry_id] for entry_id, count in found.items()}


def _counted(new: NewEntries, positions: Positions) -> dict[str, int]:
    counted: dict[str, int] = defaultdict(int)
    for position in positions:
        for entry_id in _entries_at(new, int(position)):
            counted[entry_id] += 1
    return counted


def _entries_at(new: NewEntries, position: int) -> set[str]:
    segment = new.bank.bank.segments[new.segment]
    return {reference.entry.id for reference in segment.references(position)}
