"""Files of banks on their way between a gate's folder and the ledger. Digests are checked before use."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from edge.errors import BankError, LimitExceeded
from edge.ledger import Ledger
from edge.match.bank.array_file import verify_file
from edge.match.bank.manifest import MAX_MANIFEST_BYTES, SegmentName
from edge.match.bank.segment import Segment, open_segment

MOST_BYTES: Final = 1 << 33
"""Largest segment that a gate takes in."""
_SAY_BYTES: Final = 64 << 20
"""Bytes after which ``coming`` is told how many of how many have come."""


def _unsaid(done: int, of: int) -> None:
    """Where nobody asks for progress."""


def store_segment(ledger: Ledger, path: Path, name: SegmentName, wall_ms: int) -> int:
    """Stores a segment's file. Returns its size in bytes. Raises BankError for a damaged one."""
    with path.open("rb") as file:
        if verify_file(path, every_byte=True) != name.digest:
            raise BankError(f"{path}: not the segment that the manifest names (digest differs)")
        ledger.put_bank_file(name.digest, file, wall_ms)
        return file.tell()


@contextmanager
def stored_segment(
    ledger: Ledger, name: SegmentName, size: int, scratch: Path, coming: Callable[[int, int], None] = _unsaid
) -> Iterator[Segment]:
    """Yields a stored segment, every byte verified, in the file ``scratch``, which goes afterwards.

    Raises BankError for one that is not whole or not what its digest says.
    """
    if size > MOST_BYTES:
        raise LimitExceeded("segment of the fleet's bank", MOST_BYTES, size, "bytes")
    try:
        with scratch.open("wb") as out:
            scratch.chmod(0o600)
            said = 0
            for content in ledger.bank_file(name.digest):
                out.write(content)
                if out.tell() > size:
                    break
                if out.tell() - said >= _SAY_BYTES:
                    said = out.tell()
                    coming(said, size)
        if scratch.stat().st_size != size:
            raise BankError(f"segment {name.digest}: stored with {scratch.stat().st_size} of {size} bytes")
        segment = open_segment(scratch, name)
        if (segment.hashes, segment.entries) != (name.hashes, name.entries):
            raise BankError(f"segment {name.digest}: its change states other numbers of hashes and entries")
        yield segment
    finally:
        scratch.unlink(missing_ok=True)


def stored_manifest(ledger: Ledger, digest: str) -> bytes:
    """A stored manifest. Raises BankError where it is not what its digest says."""
    text = bytearray()
    for content in ledger.bank_file(digest):
        text += content
        if len(text) > MAX_MANIFEST_BYTES:
            break
    if hashlib.sha256(text).hexdigest() != digest:
        raise BankError(f"manifest {digest}: damaged, or not whole")
    return bytes(text)
