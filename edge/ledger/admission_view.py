"""The admission view: active blocks in memory, so Admit never waits for a database. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt

from edge.confusables import skeleton
from edge.domain import Block, Publish, SubjectKind
from edge.ledger.block_index import BlockIndex, BlockRow, Unknown, row_of
from edge.ledger.subjects import (
    STREAM_KEY_ATTRIBUTE,
    UNLISTED_KIND,
    attribute_subject,
    lookup_key,
    names_account,
    parse_address,
    subject_key,
    unlisted_keys,
)
from edge.names import compared

_BITS = {4: 32, 6: 128}
_Key = tuple[str, str]
_UNNOTED = frozenset({SubjectKind.BROADCASTER.value, SubjectKind.STREAM_KEY.value})
_LACKING_MS = 60_000
"""A clock that ran ahead by less than this may hide ended blocks; that is not worth a reload of all
blocks."""


class AdmissionView:
    """Active blocks, indexed by subject.

    A check reads one bucket for each identity of a publish. For an address it also reads one bucket for each
    prefix length that any blocked network has. It looks up an attribute only when some block names that
    attribute. Loaded blocks are packed; blocks added later are kept as objects.
    """

    def __init__(self) -> None:
        self._changed: set[str] | None = None
        self.case_mapped = False
        """Whether names of broadcasters that differ only in case are one account, by ``names.case``."""
        self.load(())

    def __len__(self) -> int:
        return len(self._by_id) + int(np.count_nonzero(self._stands))

    def load(self, blocks: Iterable[Block]) -> None:
        """Replaces everything. ``blocks`` holds each id once."""
        self.load_rows(row_of(block) for block in blocks if block.lifted_ms is None)

    def load_rows(
        self, rows: Iterable[BlockRow], wall_ms: int = 0, unknown: Unknown = lambda row, why: None
    ) -> None:
        """Replaces everything with active blocks as the ledger stores them.

        ``wall_ms`` is the time of the query: blocks that had ended by then are not among the rows.
        ``unknown`` is told of each row that this gate does not know.
        """
        self._by_subject: dict[_Key, tuple[Block, ...]] = {}
        self._by_id: dict[str, Block] = {}
        self._by_skeleton: dict[str, set[str]] = {}
        """Ids of the added blocks of broadcasters by the ``skeleton`` of the name."""
        self._prefixes: dict[int, set[int]] = {4: set(), 6: set()}
        """Prefix lengths by IP version. They and ``_attributes`` only grow: a stale entry costs one look
        into an empty bucket."""
        self._attributes: set[str] = set()
        self._unlisted: bool = False
        """Whether a block may be of a kind that only a newer gate knows."""
        self._forgotten_ms = wall_ms
        """The view holds every block that ends later than this."""
        self._loaded = BlockIndex(())
        self._stands: npt.NDArray[np.bool_] = np.zeros(0, dtype=np.bool_)
        """By row of ``_loaded``: true while the block is neither removed nor expired."""
        loaded = BlockIndex(self._noted(rows), unknown)
        self._stands = np.ones(len(loaded), dtype=np.bool_)
        self._loaded = loaded

    def _noted(self, rows: Iterable[BlockRow]) -> Iterator[BlockRow]:
        for row in rows:
            if row[1] not in _UNNOTED:
                self._note(row[1], row[2])
            yield row

    def _note(self, kind: str, subject: str) -> None:
        if not isinstance(subject, str) or kind in _UNNOTED:
            return
        if kind == SubjectKind.ATTRIBUTE:
            self._attributes.add(subject.partition("=")[0])
            return
        if kind != SubjectKind.ADDRESS:
            self._unlisted = True
        if "/" in subject:
            prefix = subject.rpartition("/")[2]
            if prefix.isascii() and prefix.isdigit() and len(prefix) < 4:
                self._prefixes[6 if ":" in subject else 4].add(min(int(prefix), 128))

    def add_block(self, block: Block) -> None:
        """Adds or replaces a block. Removes it if it was lifted."""
        self.remove(block.id)
        if block.lifted_ms is not None:
            return
        key = lookup_key(block.subject_kind, block.subject)
        self._by_id[block.id] = block
        self._by_subject[key] = (*self._by_subject.get(key, ()), block)
        if block.subject_kind is SubjectKind.BROADCASTER:
            self._by_skeleton.setdefault(skeleton(compared(block.subject)), set()).add(block.id)
        self._note(block.subject_kind, block.subject)

    def update(self, block: Block) -> None:
        """Replaces a block that the view already holds. Ignores any other, so a block lifted meanwhile stays
        lifted."""
        row = self._loaded.row_of(block.id)
        if block.id in self._by_id or (row is not None and self._stands[row]):
            self.add_block(block)

    def remove(self, block_id: str) -> None:
        if self._changed is not None:
            self._changed.add(block_id)
        self._remove_loaded(block_id)
        block = self._by_id.pop(block_id, None)
        if block is None:
            return
        key = lookup_key(block.subject_kind, block.subject)
        if block.subject_kind is SubjectKind.BROADCASTER:
            shape = skeleton(compared(block.subject))
            self._by_skeleton[shape].discard(block_id)
            if not self._by_skeleton[shape]:
                del self._by_skeleton[shape]
        left = tuple(other for other in self._by_subject[key] if other.id != block_id)
        if left:
            self._by_subject[key] = left
        else:
            del self._by_subject[key]

    def _remove_loaded(self, block_id: str) -> None:
        row = self._loaded.row_of(block_id)
        if row is not None:
            self._stands[row] = False

    def check(self, publish: Publish, wall_ms: int) -> Block | None:
        """The block that bars this publish longest, or None."""
        standing = (
            block
            for kind, subject in self._keys(publish)
            for block in self._named(kind, subject)
            if block.active_at(wall_ms)
            and block.app in ("", publish.app)
            and names_account(block, publish.broadcaster, case_mapped=self.case_mapped)
        )
        return max(standing, key=lambda block: block.until_ms, default=None)

    def resembling(self, publish: Publish, wall_ms: int) -> Block | None:
        """A block of another broadcaster whose name looks like the one of this publish; None where none is.

        It bars nobody: people may have names alike.
        """
        if not self._by_skeleton and not self._loaded.broadcasters:
            return None
        shape = skeleton(compared(publish.broadcaster))
        added = (self._by_id[block_id] for block_id in self._by_skeleton.get(shape, ()))
        loaded = (block for row, block in self._loaded.find_alike(shape) if self._stands[row])
        return next(
            (
                block
                for block in (*added, *loaded)
                if block.active_at(wall_ms)
                and block.app in ("", publish.app)
                and not names_account(block, publish.broadcaster, case_mapped=self.case_mapped)
            ),
            None,
        )

    def expire(self, wall_ms: int) -> int:
        """Drops blocks that have ended. Returns how many."""
        ended = [block.id for block in self._by_id.values() if not block.active_at(wall_ms)]
        for block_id in ended:
            self.remove(block_id)
        self._forgotten_ms = max(self._forgotten_ms, wall_ms)
        rows = self._stands & (self._loaded.until_ms <= wall_ms)
        self._stands &= ~rows
        return len(ended) + int(np.count_nonzero(rows))

    def lacks(self, wall_ms: int) -> bool:
        """Whether blocks still active at this time may be missing.

        That happens when the clock ran ahead while blocks were loaded or expired.
        """
        return self._forgotten_ms - wall_ms > _LACKING_MS

    def added(self) -> frozenset[str]:
        """Ids of the blocks added since the view was loaded."""
        return frozenset(self._by_id)

    @contextmanager
    def changes(self) -> Iterator[set[str]]:
        """Collects the ids of blocks added, changed or removed inside the ``with`` block. Does not nest."""
        self._changed = changed = set[str]()
        try:
            yield changed
        finally:
            self._changed = None

    def replace_loaded(self, fresh: AdmissionView, changed: Iterable[str]) -> None:
        """Replaces the loaded part by that of a fresh view. Keeps the blocks added here since.

        ``fresh`` was loaded without the blocks in ``added()`` at that moment. ``changed`` holds the ids from
        ``changes`` since then; for those this view is newer than ``fresh``.
        """
        self._loaded, self._stands = fresh._loaded, fresh._stands
        self._forgotten_ms = fresh._forgotten_ms
        for version, lengths in fresh._prefixes.items():
            self._prefixes[version] |= lengths
        self._attributes |= fresh._attributes
        self._unlisted |= fresh._unlisted
        for block_id in changed:
            self._remove_loaded(block_id)

    def _named(self, kind: str, key: str) -> Iterator[Block]:
        yield from self._by_subject.get((kind, key), ())
        for row, block in self._loaded.find(kind, key):
            if self._stands[row]:
                yield block

    def _keys(self, publish: Publish) -> Iterator[_Key]:
        """Every ``lookup_key`` by which a block may name the publish."""
        for kind, subject in self._subjects(publish):
            yield kind.value, subject_key(kind, subject)
        if self._unlisted:
            yield from ((UNLISTED_KIND, key) for key in unlisted_keys(publish))
            yield from ((UNLISTED_KIND, network) for network in self._networks(publish.address))

    def _subjects(self, publish: Publish) -> Iterator[tuple[SubjectKind, str]]:
        yield SubjectKind.BROADCASTER, publish.broadcaster
        stream_key = publish.attributes.get(STREAM_KEY_ATTRIBUTE)
        if stream_key:
            yield SubjectKind.STREAM_KEY, stream_key
        if self._attributes:
            for name, value in publish.attributes.items():
                if name in self._attributes:
                    yield SubjectKind.ATTRIBUTE, attribute_subject(name, value)
        if publish.address:
            yield SubjectKind.ADDRESS, publish.address
            address = parse_address(publish.address)
            if address is not None and str(address) != publish.address:
                yield SubjectKind.ADDRESS, str(address)
            yield from ((SubjectKind.ADDRESS, network) for network in self._networks(publish.address))

    def _networks(self, text: str) -> Iterator[str]:
        address = parse_address(text)
        if address is None:
            return
        number, bits = int(address), _BITS[address.version]
        kind = ipaddress.IPv4Address if address.version == 4 else ipaddress.IPv6Address
        for prefix in self._prefixes[address.version]:
            host = max(0, bits - prefix)
            yield f"{kind(number >> host << host)}/{prefix}"
