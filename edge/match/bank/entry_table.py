"""The entries of a segment on disk. Each is a JSON object and is parsed on demand."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edge.errors import BankError, InvalidInput
from edge.match.bank.segment_builder import ENTRY_FIELDS
from edge.match.entry import Entry, EntryKind

_MAX_PARSED = 1024
"""Most parsed entries that are kept. A full cache is cleared: keeping an LRU order would slow every query."""

log = logging.getLogger(__name__)
"""A logger of the standard library. In commands, which set up no logging, its lines go to stderr."""


class EntryTable:
    """Reads the entries of one segment by number.

    ``first`` holds the offset of each entry in ``text``, uint64 ``(n + 1,)``. The offsets must be ascending
    and inside ``text``.
    """

    def __init__(self, path: Path, first: npt.NDArray[np.uint64], text: npt.NDArray[np.uint8]) -> None:
        self._path = path
        self._first = first
        self._text = text
        self._parsed: dict[int, Entry | str] = {}
        """Recent entries, or their errors. A frame of known footage has hundreds of references to one
        entry."""
        self._said = False

    def read(self, number: int) -> Entry:
        """Returns an entry. Raises BankError where its format is wrong or this version does not know its
        kind."""
        found = self._get(number)
        if isinstance(found, str):
            raise BankError(found)
        return found

    def find(self, number: int) -> Entry | None:
        """Returns an entry for a query. An unreadable entry must not end the query, so it returns None.

        The first unreadable entry is logged.
        """
        found = self._get(number)
        if not isinstance(found, str):
            return found
        if not self._said:
            self._said = True
            log.error("%s; it matches nothing, and no other such entry of this file is reported", found)
        return None

    def readable(self, number: int) -> bool:
        return self.find(number) is not None

    def _get(self, number: int) -> Entry | str:
        found = self._parsed.get(number)
        if found is None:
            if len(self._parsed) >= _MAX_PARSED:
                self._parsed.clear()
            found = self._parsed[number] = self._parse(number)
        return found

    def _parse(self, number: int) -> Entry | str:
        first, last = int(self._first[number]), int(self._first[number + 1])
        try:
            document = json.loads(self._text[first:last].tobytes())
            known = {k: v for k, v in document.items() if k in ENTRY_FIELDS}
            return Entry(**{**known, "kind": EntryKind(known["kind"])})
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError, InvalidInput) as error:
            return f"{self._path}: entry {number} does not keep the format: {error!r:.200}"
