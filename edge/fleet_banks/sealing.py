"""Seals a bank: says in one change what all before it came to, so that a gate that joins reads little.

A gate at the end of a bank's line of changes seals it once enough has gathered. Whoever is behind goes on
with the changes while they are there, and loads the sealed bank where they are gone.
"""

from __future__ import annotations

import hashlib
import io
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from edge.durable_files import link_file
from edge.errors import BankError
from edge.fleet_banks.bank_change import (
    KINDS,
    BankSealed,
    Count,
    EntriesWithdrawn,
    new_change,
    read_change,
)
from edge.fleet_banks.files import store_segment, stored_manifest, stored_segment
from edge.fleet_banks.gate_bank import GateBank
from edge.fleet_banks.made_segments import segments_of
from edge.ledger import Ledger
from edge.ledger.bank_changes import WITHDRAWN, BankChangeRow, BankPosition
from edge.ledger.base import GATE
from edge.match import Bank
from edge.match.bank.bank_difference import bank_difference, parts_of
from edge.match.bank.manifest import LOCAL_CHECKPOINT, SUFFIX, BankManifest, write_manifest
from edge.match.bank.mark_notes import THE_BANK, MarkNote, read_notes

SEAL_AFTER: Final = 100
"""Changes after which the gate that told the last one seals the bank. Others do at twice as many."""


class _Document(BaseModel):
    """The file that a sealed change names."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    format: Literal[1]
    bank: BankManifest
    bytes: dict[str, Count]
    """Size of each segment's file, by digest."""
    notes: dict[str, MarkNote]


def seal(ledger: Ledger, bank: GateBank, wall_ms: int, *, told: bool) -> BankPosition:
    """Seals a bank where its time has come. ``bank`` is settled at the end of its line.

    ``told``: this gate has told the last change. Raises StaleVersion where another gate was faster.
    """
    position, here = bank.position, bank.here
    sealed = ledger.bank_sealed(bank.name)
    since = position.number - (0 if sealed is None else sealed.number)
    if here is None or since < (SEAL_AFTER if told else 2 * SEAL_AFTER):
        return position
    if ledger.bank_kinds(bank.name) - KINDS:  # a newer gate does, which knows what they come to
        return position
    common = bank.common
    assert common is not None
    sizes = {
        name.digest: store_segment(ledger, segment.path, name, wall_ms) for segment, name in parts_of(common)
    }
    points = {
        name: value
        for name, value in common.manifest.checkpoints.items()
        if not name.startswith(LOCAL_CHECKPOINT)
    }
    document = _Document(
        format=1,
        bank=common.manifest.model_copy(update={"checkpoints": points}),
        bytes=sizes,
        notes=dict(read_notes(here.path)),
    )
    text = document.model_dump_json().encode()
    change = BankSealed(
        manifest=hashlib.sha256(text).hexdigest(),
        segments=tuple(sizes),
        hashes=common.manifest.hashes,
        entries=common.manifest.entries,
    )
    ledger.put_bank_file(change.manifest, io.BytesIO(text), wall_ms)
    return ledger.seal_bank(bank.name, position, new_change(change, GATE), wall_ms)


def take_sealed(
    ledger: Ledger, bank: GateBank, row: BankChangeRow, folder: Path, coming: Callable[[int, int], None]
) -> None:
    """Brings a gate that is behind to the place of a sealed change. ``folder`` is for files on the way, and
    ``coming`` is told how many bytes of how many of one have come.

    Raises BankError for one that is damaged.
    """
    sealed = read_change(row)
    assert isinstance(sealed, BankSealed)
    document = _document(stored_manifest(ledger, sealed.manifest), bank.name)
    work = folder / f".{bank.name}.sealed"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(mode=0o700, parents=True)
    try:
        known = {name.digest: segment.path for segment, name in parts_of(bank.common)}
        for name in document.bank.segments:
            path = work / name.file
            if name.digest in known:
                link_file(known[name.digest], path)
                continue
            size = document.bytes.get(name.digest, 0)
            with stored_segment(ledger, name, size, path.with_suffix(".part"), coming) as segment:
                link_file(segment.path, path)
        write_manifest(work / f"{bank.name}{SUFFIX}", document.bank)
        _take(ledger, bank, Bank.open(work / bank.name, verify=False), document, row, work / "made.part")
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _take(
    ledger: Ledger, bank: GateBank, sealed: Bank, document: _Document, row: BankChangeRow, scratch: Path
) -> None:
    first = bank.position.number + 1
    note = document.notes.get(THE_BANK)
    bank.take_settings(sealed.info.model_dump(mode="json"), note, None)
    for withdrawn in withdrawals(ledger, bank.name, first, row.number):
        bank.take_withdrawn(withdrawn.ids, None)
    difference = bank_difference(bank.common, sealed, LOCAL_CHECKPOINT)
    if difference.withdrawn:
        bank.take_withdrawn(difference.withdrawn, None)
    for segment, name in difference.whole:
        bank.take_segment(segment, name, None)
    for segment, name in segments_of(difference.added, scratch):
        bank.take_segment(segment, name, None)
    bank.take_marks(difference.marks, document.notes, None)
    bank.take_checkpoints(difference.checkpoints, row.position)


def withdrawals(ledger: Ledger, bank: str, first: int, end: int) -> Iterator[EntriesWithdrawn]:
    """What was withdrawn between two changes, as far as the log still has it."""
    while rows := ledger.bank_changes(bank, first=first, kind=WITHDRAWN):
        for row in rows:
            change = read_change(row) if row.number < end else None
            if isinstance(change, EntriesWithdrawn):
                yield change
        first = rows[-1].number + 1


def _document(text: bytes, bank: str) -> _Document:
    try:
        document = _Document.model_validate_json(text)
    except ValidationError as error:
        raise BankError(f"sealed bank {bank}: {error.errors(include_url=False)[0]['msg']}") from None
    if document.bank.name != bank:
        raise BankError(f"sealed bank {bank}: holds the bank {document.bank.name!r}")
    return document
