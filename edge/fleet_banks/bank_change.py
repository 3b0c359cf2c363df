"""What one bank change says, and how the ledger stores it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from edge.errors import BankError
from edge.ledger.bank_changes import BankChangeRow, NewBankChange
from edge.match.bank.manifest import SegmentName
from edge.match.bank.mark_notes import MarkNote

MOST_IDS: Final = 1000
"""Most entries that one change withdraws or marks."""
SAID_IDS: Final = 100
"""Most added entries that the audit log names."""

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
EntryId = Annotated[str, Field(min_length=1, max_length=128)]
Count = Annotated[int, Field(ge=0)]


class _Detail(BaseModel):
    # A newer gate may say more. What this one does not know is left out.
    model_config = ConfigDict(frozen=True, extra="ignore")


class SettingsChanged(_Detail):
    """The bank was made, or some of its settings changed."""

    kind: Literal["settings"] = "settings"
    settings: dict[str, Any]
    note: MarkNote | None = None
    """Why it was switched on or off."""


class FeedsRead(_Detail):
    """How far import sources have been read."""

    kind: Literal["checkpoints"] = "checkpoints"
    checkpoints: dict[Annotated[str, Field(max_length=256)], Annotated[str, Field(max_length=1024)]]


class EntriesAdded(_Detail):
    """A segment's entries were added. An entry of the same id is replaced."""

    kind: Literal["added"] = "added"
    segment: SegmentName
    bytes: Count
    ids: tuple[str, ...] = ()
    """The first hundred, for people."""
    sources: tuple[str, ...] = ()
    """What those say of where they come from."""


class EntriesWithdrawn(_Detail):
    kind: Literal["withdrawn"] = "withdrawn"
    ids: Annotated[tuple[EntryId, ...], Field(max_length=MOST_IDS)]


class MarkedEntry(_Detail):
    entry: EntryId
    mark: str
    """``disabled`` or ``quarantined``; a newer gate may have others, which are left out."""
    on: bool
    note: MarkNote | None = None


class EntriesMarked(_Detail):
    kind: Literal["marked"] = "marked"
    marks: Annotated[tuple[MarkedEntry, ...], Field(max_length=MOST_IDS)]


class BankDeleted(_Detail):
    kind: Literal["deleted"] = "deleted"


class BankSealed(_Detail):
    """What all changes before this one came to."""

    kind: Literal["sealed"] = "sealed"
    manifest: Digest
    """SHA-256 of the file with the bank's manifest."""
    segments: tuple[Digest, ...]
    """Files that the manifest names."""
    hashes: Count
    entries: Count


BankChange = (
    SettingsChanged | FeedsRead | EntriesAdded | EntriesWithdrawn | EntriesMarked | BankDeleted | BankSealed
)
_CHANGE: Final[TypeAdapter[BankChange]] = TypeAdapter(Annotated[BankChange, Field(discriminator="kind")])
KINDS: Final = frozenset(("settings", "checkpoints", "added", "withdrawn", "marked", "deleted", "sealed"))


def read_change(row: BankChangeRow) -> BankChange | None:
    """Returns what a row says; None: a newer gate's kind. Raises BankError for one that was changed."""
    where = f"change {row.number} of bank {row.bank}"
    if not row.intact:
        raise BankError(f"{where}: damaged (digest differs)")
    if row.kind not in KINDS:
        return None
    try:
        return _CHANGE.validate_python({**json.loads(row.detail), "kind": row.kind})
    except (ValidationError, ValueError, TypeError, RecursionError) as error:
        first = error.errors(include_url=False)[0]["msg"] if isinstance(error, ValidationError) else error
        raise BankError(f"{where}: does not keep the format: {first}") from None


def new_change(change: BankChange, who: str) -> NewBankChange:
    detail = change.model_dump(mode="json", exclude={"kind"})
    return NewBankChange(change.kind, who[:128], _json(detail), _json(_audited(change, detail)))


def _audited(change: BankChange, detail: Mapping[str, Any]) -> Mapping[str, Any]:
    """What people need of a change that the log holds. The rest can be read in the bank."""
    if isinstance(change, EntriesAdded):
        return {
            "entries": change.segment.entries,
            "hashes": change.segment.hashes,
            "segment": change.segment.digest,
            "ids": change.ids,
            "sources": change.sources,
        }
    return detail


def _json(detail: Mapping[str, Any]) -> str:
    return json.dumps(detail, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
