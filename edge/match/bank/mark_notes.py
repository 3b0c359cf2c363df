"""Why a bank's entries are disabled or quarantined, and why the bank is off: ``NAME.notes`` beside it.

It is for people alone: nothing is matched by it, and a file that is gone or damaged costs no more than the
reasons. So it is no part of the manifest, which every version reads.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from edge.match.bank.array_file import replace_file
from edge.match.bank.manifest import SUFFIX
from edge.settings_file import open_regular

NOTES: Final = ".notes"
THE_BANK: Final = ""
"""In the place of an entry's id: the note is about the bank as a whole."""
MOST_NOTES: Final = 10_000
"""The newest are kept."""
MAX_REASON: Final = 512
_MAX_BYTES: Final = 16 * 1024 * 1024


class MarkNote(BaseModel):
    """Who marked something, why and when."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    by: Annotated[str, Field(max_length=128)] = ""
    reason: Annotated[str, Field(max_length=MAX_REASON)] = ""
    wall_ms: Annotated[int, Field(ge=0)] = 0


_NOTES: Final = TypeAdapter(dict[str, MarkNote])


def notes_path(bank: Path) -> Path:
    """The notes of ``DIR/NAME.bank``."""
    return bank.with_name(bank.name.removesuffix(SUFFIX) + NOTES)


def read_notes(bank: Path) -> Mapping[str, MarkNote]:
    """Notes by entry id. Empty where there are none that can be read."""
    try:
        with open_regular(notes_path(bank)) as file:
            text = file.read(_MAX_BYTES + 1)
        return _NOTES.validate_json(text) if len(text) <= _MAX_BYTES else {}
    except (OSError, ValidationError):
        return {}


def write_notes(bank: Path, ids: Iterable[str], note: MarkNote | None) -> None:
    """Notes why these are marked. None: they are not marked any more. The caller holds the bank's lock."""
    before = read_notes(bank)
    notes = dict(before)
    for entry_id in ids:
        notes.pop(entry_id, None)
        if note is not None:
            notes[entry_id] = note
    if notes == before:
        return
    newest = sorted(notes.items(), key=lambda one: -one[1].wall_ms)[:MOST_NOTES]
    text = json.dumps({entry_id: one.model_dump() for entry_id, one in newest}, ensure_ascii=False, indent=1)
    replace_file(notes_path(bank), lambda out: out.write(text.encode()))
