"""Writes footage in the formats of hash lists."""

from __future__ import annotations

import base64
import csv
import json
from collections.abc import Iterable, Iterator
from typing import IO, Any

from edge.errors import InvalidInput
from edge.match.entry import Footage
from edge.match.formats.hash_lists import HashListFormat

CSV_COLUMNS = (
    *("entry", "kind", "label", "start_ms", "span_ms", "quality", "hash", "variant"),
    *("duration_ms", "added_ms", "source", "note"),
)


def write_hash_list(items: Iterable[Footage], out: IO[str], form: HashListFormat) -> int:
    """Writes footage. Returns the number of entries written.

    ``pdq`` holds hashes alone, and ``vpdq`` a single video. Only ``jsonl`` holds the audio of entries.
    Raises InvalidInput when the format cannot hold the footage.
    """
    table = csv.writer(out, lineterminator="\n")
    if form is HashListFormat.CSV:
        table.writerow(CSV_COLUMNS)
    count = 0
    for count, item in enumerate(items, 1):
        match form:
            case HashListFormat.CSV:
                table.writerows(_csv_rows(item))
            case HashListFormat.JSONL:
                out.write(_compact(footage_document(item)) + "\n")
            case HashListFormat.PDQ:
                out.writelines(f"{run.bits.hex()}\n" for run in item.hashes)
            case HashListFormat.VPDQ_JSON:
                out.write(
                    _compact([f"{r.bits.hex()},{r.quality},{r.start_ms / 1000:.3f}" for r in item.hashes])
                    + "\n"
                )
            case HashListFormat.VPDQ:
                if count > 1:
                    raise InvalidInput("format", "vpdq holds one video; export a single entry")
                for frame, r in enumerate(item.hashes):
                    out.write(f"{frame},{r.quality},{r.bits.hex()},{r.start_ms / 1000:.3f}\n")
            case HashListFormat.STOPNCII:
                raise InvalidInput("format", "stopncii is read, not written")
    return count


def _csv_rows(item: Footage) -> Iterator[tuple[object, ...]]:
    e = item.entry
    for r in item.hashes:
        run = (r.start_ms, r.span_ms, r.quality, r.bits.hex(), r.variant.word)
        yield (e.id, e.kind, e.label, *run, e.duration_ms, e.added_ms, e.source, e.note)


def footage_document(item: Footage) -> dict[str, Any]:
    """The footage as a record of ``jsonl``."""
    entry = item.entry
    document: dict[str, Any] = {"id": entry.id, "kind": entry.kind}
    for name in ("label", "source", "note", "duration_ms", "added_ms"):
        if value := getattr(entry, name):
            document[name] = value
    document["hashes"] = [
        [r.bits.hex(), r.start_ms, r.span_ms, r.quality, r.variant.word] for r in item.hashes
    ]
    if item.audio is not None:
        items = base64.b64encode(item.audio.items).decode()
        document["sound"] = {"start_ms": item.audio.start_ms, "items": items}
    return document


def _compact(document: Any) -> str:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"))
