"""Finds what is new in a bank: entries that an earlier state of it did not have, or had with other hashes.

A bank's segments are merged and written again without anything new in them. So segments are compared by what
they hold.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from edge.match.bank.bank_set import BankSet, OpenBank
from edge.match.bank.segment import Segment
from edge.match.index.hamming import Codes, Positions

_SECRETS: Final = np.array([secrets.randbits(64) | 1 for _ in range(4)], np.uint64)
"""Nobody outside can make two codes that are taken for one."""


@dataclass(frozen=True, slots=True)
class NewEntries:
    """The new entries of one segment of a bank."""

    bank: OpenBank
    segment: int
    """Its number in the bank."""
    positions: Positions
    """Places of their hashes in the segment."""

    @property
    def unchanged(self) -> NewEntries:
        """Those of frames as they were shown. They are few, and find most of what there is to find."""
        segment = self.bank.bank.segments[self.segment]
        return replace(self, positions=self.positions[segment.are_unchanged(self.positions)])

    @property
    def codes(self) -> Codes:
        """Their hashes, uint64 (n, 4)."""
        return self.bank.bank.segments[self.segment].codes[self.positions]


def new_entries(before: BankSet, now: BankSet) -> Iterator[NewEntries]:
    """Yields what is new in each bank, one segment after the other. A bank that is new, was switched on, or
    means something else now, is new whole.

    Reads whole segments: about a second for ten million hashes.
    """
    old = {opened.bank.name: opened.bank for opened in before.banks}
    for opened in now.banks:
        bank = old.get(opened.bank.name)
        same = bank is not None and bank.info.enabled and bank.info.opinion is opened.bank.info.opinion
        earlier = bank.segments if bank is not None and same else ()
        known = {segment.digest for segment in earlier}
        for number, segment in enumerate(opened.bank.segments):
            if segment.digest not in known and len(segment):
                positions = new_positions(segment, earlier)
                if len(positions):
                    yield NewEntries(opened, number, positions)


def new_positions(segment: Segment, earlier: Sequence[Segment]) -> Positions:
    """Returns the places of the hashes of all entries that are new, or have a new hash."""
    new = _are_new(_mixed(segment.codes), [_mixed(each.codes) for each in earlier])
    owners = segment.owners
    if owners is None:
        return np.flatnonzero(new)
    code, entry = owners
    new_entry = _are_new(segment.entry_keys, [each.entry_keys for each in earlier if not each.plain])
    new_entry[entry[new[code]]] = True
    return np.unique(code[new_entry[entry]])


def _are_new(
    these: npt.NDArray[np.uint64], others: Sequence[npt.NDArray[np.uint64]]
) -> npt.NDArray[np.bool_]:
    if not others:
        return np.ones(len(these), np.bool_)
    return np.isin(these, np.concatenate(others), invert=True)


def _mixed(codes: Codes) -> npt.NDArray[np.uint64]:
    return np.asarray((codes * _SECRETS).sum(axis=1, dtype=np.uint64))
