"""Makes segments of entries that are part of others, or of none."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from edge.match import Footage
from edge.match.bank.bank_update import CHUNK_HASHES
from edge.match.bank.manifest import SegmentName
from edge.match.bank.segment import Segment
from edge.match.bank.segment_builder import SegmentBuilder


def segments_of(items: Iterable[Footage], scratch: Path) -> Iterator[tuple[Segment, SegmentName]]:
    """Yields segments of at most half a million hashes, and one entry. Each is in the file ``scratch`` until
    the next."""
    builder = SegmentBuilder()
    for item in items:
        builder.add_footage(item)
        if len(builder) >= CHUNK_HASHES:
            yield _made(builder, scratch)
            builder = SegmentBuilder()
    if builder.entries:
        yield _made(builder, scratch)
    scratch.unlink(missing_ok=True)


def _made(builder: SegmentBuilder, scratch: Path) -> tuple[Segment, SegmentName]:
    digest = builder.write_to(scratch)
    segment = Segment.open(scratch, verify=False)
    name = SegmentName(file=f"{digest}.seg", digest=digest, hashes=segment.hashes, entries=segment.entries)
    return segment, name
