"""Indexes live streams by their subjects, so that a new block finds its streams at once.

A fleet that was away brings hundreds of blocks at its return. A scan of every stream for each block would
hold the event loop, and every Admit, for seconds.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import TypeVar

from edge.domain import Block, Publish, StreamId, SubjectKind
from edge.errors import InvalidInput
from edge.ledger import STREAM_KEY_ATTRIBUTE, attribute_subject, parse_address, parse_network
from edge.ledger.subjects import UNLISTED_KIND, lookup_key, subject_key, unlisted_keys

_Key = TypeVar("_Key", bound=Hashable)
_Address = tuple[int, int]
"""IP version and the address as a number."""


class SubjectIndex:
    """Streams by each of their subjects. A block takes one lookup, a network one scan of all addresses."""

    def __init__(self) -> None:
        self._exact: dict[tuple[str, str], set[StreamId]] = {}
        self._addresses: dict[_Address, set[StreamId]] = {}

    def add_stream(self, stream_id: StreamId, publish: Publish) -> None:
        for key in _subjects(publish):
            self._exact.setdefault(key, set()).add(stream_id)
        address = _address(publish)
        if address is not None:
            self._addresses.setdefault(address, set()).add(stream_id)

    def remove(self, stream_id: StreamId, publish: Publish) -> None:
        for key in _subjects(publish):
            _discard(self._exact, key, stream_id)
        address = _address(publish)
        if address is not None:
            _discard(self._addresses, address, stream_id)

    def named_by(self, block: Block) -> set[StreamId]:
        """Streams whose publish has the block's subject, in any app."""
        kind, key = lookup_key(block.subject_kind, block.subject)
        named = set(self._exact.get((kind, key), ()))
        if kind in (SubjectKind.ADDRESS, UNLISTED_KIND):
            named |= self._addressed_by(block.subject)
        return named

    def _addressed_by(self, subject: str) -> set[StreamId]:
        if "/" not in subject:
            address = parse_address(subject)
            place = None if address is None else (address.version, int(address))
            return set() if place is None else set(self._addresses.get(place, ()))
        try:
            network = parse_network(subject)
        except InvalidInput:
            return set()
        first, last = int(network.network_address), int(network.broadcast_address)
        return {
            stream_id
            for (version, number), streams in self._addresses.items()
            if version == network.version and first <= number <= last
            for stream_id in streams
        }


def _subjects(publish: Publish) -> Iterator[tuple[str, str]]:
    """Every ``lookup_key`` of a publish except those of its address."""
    named = [(SubjectKind.BROADCASTER, publish.broadcaster)]
    for name, value in publish.attributes.items():
        if name == STREAM_KEY_ATTRIBUTE:
            named.append((SubjectKind.STREAM_KEY, value))
        named.append((SubjectKind.ATTRIBUTE, attribute_subject(name, value)))
    for kind, subject in named:
        yield kind.value, subject_key(kind, subject)
    for key in unlisted_keys(publish):
        yield UNLISTED_KIND, key


def _address(publish: Publish) -> _Address | None:
    address = parse_address(publish.address) if publish.address else None
    return None if address is None else (address.version, int(address))


def _discard(streams: dict[_Key, set[StreamId]], key: _Key, stream_id: StreamId) -> None:
    left = streams.get(key)
    if left is not None:
        left.discard(stream_id)
        if not left:
            del streams[key]
