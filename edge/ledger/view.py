"""The admission view: active blocks in memory, so that Admit never waits for a database. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

from edge.domain import Block, Publish, SubjectKind
from edge.errors import InvalidInput
from edge.ledger.packed import PackedBlocks

STREAM_KEY_ATTRIBUTE = "stream_key"


class AdmissionView:
    """Blocks by subject; a check looks at one bucket a subject kind (and one a network).

    What was loaded is packed; what was added since, and every address range, is kept as objects.
    """

    def __init__(self) -> None:
        self.load(())

    def __len__(self) -> int:
        return len(self._by_id) + int(np.count_nonzero(self._stands))

    def load(self, blocks: Iterable[Block]) -> None:
        """Replace everything. ``blocks``: each id once."""
        self._by_subject: dict[tuple[SubjectKind, str], tuple[Block, ...]] = {}
        self._by_id: dict[str, Block] = {}
        self._networks: dict[str, ipaddress.IPv4Network | ipaddress.IPv6Network] = {}
        self._loaded = PackedBlocks(())
        self._stands: npt.NDArray[np.bool_] = np.zeros(0, dtype=np.bool_)
        """By row of ``_loaded``: neither removed nor forgotten."""
        loaded = PackedBlocks(self._packable(blocks))
        self._stands = np.ones(len(loaded), dtype=np.bool_)
        self._loaded = loaded

    def _packable(self, blocks: Iterable[Block]) -> Iterator[Block]:
        for block in blocks:
            if _is_network(block):
                self.add(block)
            elif block.lifted_ms is None:
                yield block

    def add(self, block: Block) -> None:
        """A block that stands, or that has changed; one that was lifted is removed."""
        self.remove(block.id)
        if block.lifted_ms is not None:
            return
        key = (block.subject_kind, block.subject)
        self._by_id[block.id] = block
        self._by_subject[key] = (*self._by_subject.get(key, ()), block)
        if _is_network(block):
            self._networks[block.subject] = parse_network(block.subject)

    def remove(self, block_id: str) -> None:
        row = self._loaded.row_of(block_id)
        if row is not None:
            self._stands[row] = False
        block = self._by_id.pop(block_id, None)
        if block is None:
            return
        key = (block.subject_kind, block.subject)
        left = tuple(other for other in self._by_subject[key] if other.id != block_id)
        if left:
            self._by_subject[key] = left
        else:
            del self._by_subject[key]
            self._networks.pop(block.subject, None)

    def check(self, publish: Publish, wall_ms: int) -> Block | None:
        """The block that keeps this publish out longest, or None."""
        longest: Block | None = None
        for kind, subject in self._keys(publish):
            for block in self._named(kind, subject):
                applies = block.active_at(wall_ms) and block.app in ("", publish.app)
                if applies and (longest is None or block.until_ms > longest.until_ms):
                    longest = block
        return longest

    def expire(self, wall_ms: int) -> int:
        """Forget blocks that have ended; returns how many."""
        ended = [block.id for block in self._by_id.values() if not block.active_at(wall_ms)]
        for block_id in ended:
            self.remove(block_id)
        rows = self._stands & (self._loaded.until_ms <= wall_ms)
        self._stands &= ~rows
        return len(ended) + int(np.count_nonzero(rows))

    def _named(self, kind: SubjectKind, subject: str) -> Iterator[Block]:
        yield from self._by_subject.get((kind, subject), ())
        for row, block in self._loaded.find(kind, subject):
            if self._stands[row]:
                yield block

    def _keys(self, publish: Publish) -> Iterator[tuple[SubjectKind, str]]:
        yield SubjectKind.BROADCASTER, publish.broadcaster
        stream_key = publish.attributes.get(STREAM_KEY_ATTRIBUTE)
        if stream_key:
            yield SubjectKind.STREAM_KEY, stream_key
        if publish.address:
            yield SubjectKind.ADDRESS, publish.address
            if self._networks:
                try:
                    address = ipaddress.ip_address(publish.address)
                except ValueError:
                    return
                for subject, network in self._networks.items():
                    if address.version == network.version and address in network:
                        yield SubjectKind.ADDRESS, subject


def _is_network(block: Block) -> bool:
    return block.subject_kind is SubjectKind.ADDRESS and "/" in block.subject


def parse_network(subject: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    """An address range such as ``192.0.2.0/24``. Raises InvalidInput."""
    try:
        return ipaddress.ip_network(subject)
    except ValueError as error:
        raise InvalidInput("subject", str(error)) from None
