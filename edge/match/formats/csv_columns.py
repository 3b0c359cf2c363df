"""Finds out how a CSV list separates its fields and which column each field is. Pure.

Lists come with a header or without. Python-threatexchange (``tx dataset --csv``) names its columns in its own
way, pdq-photo-hasher writes ``hash,quality,path`` without a header, or ``hash=…,quality=…,filename=…``, and
spreadsheets separate by semicolon or tab. A spreadsheet's first line may be ``sep=;`` alone.
"""

from __future__ import annotations

import csv
import re
from typing import Final, NamedTuple

_SEPARATORS: Final = (",", ";", "\t", "|")
_DECLARED: Final = re.compile(r'"?sep=(.?)"?', re.IGNORECASE)
_NAMES: Final = {
    "id": "entry",
    "category": "label",
    "timestamp_ms": "start_ms",
    "pdq": "hash",
    "pdq_hash": "hash",
    "pdqhash": "hash",
    "hashvalue": "hash",
    "hash_value": "hash",
    "signal_value": "hash",
    "indicator": "hash",
    "hash_type": "signal_type",
    "hashtype": "signal_type",
    "algorithm": "signal_type",
}
_TX_NAMES: Final = {"signal_str": "hash", "collab": "source", "tags": "note", "category": "opinion"}
_HASH: Final = re.compile(r"[0-9a-fA-F]{64}")
_QUALITY: Final = re.compile(r"\d{1,3}(\.\d*)?")
_KEYED: Final = re.compile(r"([a-z]+)=.*", re.IGNORECASE)
_MAX_COLUMNS: Final = 64


class CsvColumns(NamedTuple):
    separator: str
    names: tuple[str, ...]
    has_header: bool
    is_keyed: bool = False
    """Each value has its column's name before it: ``quality=100``."""


def declares_separator(line: str) -> bool:
    """Whether a line does nothing but name the separator. The one of a tab has lost it."""
    return _DECLARED.fullmatch(line) is not None


def csv_columns(first_line: str) -> CsvColumns | None:
    """The columns of a list that begins with this line. None if none of them is a hash, or two are.

    The separator is the one by which one of them is, so a line that names it can be left out.
    """
    for separator in _SEPARATORS:
        fields = [field.strip() for field in next(csv.reader([first_line], delimiter=separator), [])]
        if len(fields) > _MAX_COLUMNS:
            continue
        words = [
            re.sub(r"[ -]", "_", field.lower()) or f"#{number}"
            for number, field in enumerate(fields, start=1)
        ]
        known = _TX_NAMES if "signal_str" in words else _NAMES
        names = tuple(known.get(word, word) for word in words)
        if "hash" in names:
            return CsvColumns(separator, names, True) if len(set(names)) == len(names) else None
        keys = [_KEYED.fullmatch(field) for field in fields]
        if fields and fields[0].lower().startswith("hash=") and all(keys):
            names = tuple(found[1].lower().replace("filename", "source") for found in keys if found)
            return (
                CsvColumns(separator, names, False, is_keyed=True) if len(set(names)) == len(names) else None
            )
        if sum(bool(_HASH.fullmatch(field)) for field in fields) == 1:
            return CsvColumns(separator, _unnamed(fields), False)
    return None


def _unnamed(fields: list[str]) -> tuple[str, ...]:
    """Columns by their content: the hash, the number after it as its quality, the first other text as its
    source."""
    hash_at = next(n for n, field in enumerate(fields) if _HASH.fullmatch(field))
    names = {hash_at: "hash"}
    if hash_at + 1 < len(fields) and _QUALITY.fullmatch(fields[hash_at + 1]):
        names[hash_at + 1] = "quality"
    source = next((n for n, field in enumerate(fields) if n not in names and field), None)
    if source is not None:
        names[source] = "source"
    return tuple(names.get(n, f"#{n + 1}") for n in range(len(fields)))
