"""Reads hash lists of other organisations, one line or record at a time. Every error names the line.

| Format | Content |
|---|---|
| ``vpdq`` | vPDQ text of one video, a line per frame: ``frame,quality,hash,seconds``, also by ``;`` or tab |
| ``vpdq-json`` | python-threatexchange vPDQ signals, one line per video: ``["hash,quality,seconds", …]`` |
| ``pdq`` | one hash per line, as in plain lists and from ``tx hash`` (``pdq HASH``); ``#`` comments |
| ``csv`` | one line per hash, grouped by entry; the file ``csv_columns`` says with which columns |
| ``stopncii`` | a page of StopNCII's FetchHashes, with withdrawals and its position in the feed |
| ``jsonl`` | this project's own format: one object per line and entry, complete, audio included |
"""

from __future__ import annotations

import contextlib
import csv
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from edge.errors import InvalidInput
from edge.match.bank.bank_update import Change, Withdrawal
from edge.match.bank.segment_builder import entry_key
from edge.match.entry import Entry, EntryKind, Footage, HashRun
from edge.match.fingerprint import MIN_QUALITY, printable
from edge.match.formats.csv_columns import CsvColumns, csv_columns, declares_separator
from edge.match.formats.hash_list_fields import (
    integer,
    kind_of,
    milliseconds,
    parse_footage,
    parse_json,
    quality_of,
    text_of,
    variant_of,
)
from edge.match.formats.resumable_lines import MAX_LINE_BYTES, START, Cursor, Lines
from edge.match.pdq.hasher import parse_hex
from edge.settings_file import open_regular

MAX_DOCUMENT_BYTES = 256 * 1024 * 1024
"""Largest page of StopNCII, which is read whole."""
_NOT_VIOLATING = ("NEGATIVE_CLASS", "DISPUTED")
_NO_LONGER = ("withdrawn", "deleted")
_PDQ_TYPES: Final = ("pdq", "hash_pdq")
_OTHER_HASHES: Final = re.compile(r"md5|sha-?\d|photodna|tmk|vpdq|[adp]hash", re.IGNORECASE)
_PDQ_LINE: Final = re.compile(r"(?:pdq[\s:]\s*)?([0-9a-f]{64})(?:\s*#.*)?", re.IGNORECASE)


class HashListFormat(StrEnum):
    VPDQ = "vpdq"
    VPDQ_JSON = "vpdq-json"
    PDQ = "pdq"
    CSV = "csv"
    STOPNCII = "stopncii"
    JSONL = "jsonl"


@dataclass(slots=True)
class Import:
    """Reads one file. Iterate it, then read the counts of skipped records and the feed's position.

    Iterating raises InvalidInput, which begins with ``FILE:LINE``.
    """

    path: Path
    format: HashListFormat
    entry_id: str | None = None
    """Id of the video of a ``vpdq`` file. None means the file's name."""
    label: str = ""
    added_ms: int = 0
    min_quality: int = MIN_QUALITY
    progress: Callable[[int], None] | None = None
    """Called now and then with the number of bytes read so far."""
    low_quality: int = 0
    """Number of hashes left out because their quality is under ``min_quality``."""
    other_kinds: int = 0
    """Number of records left out because they are no PDQ hashes."""
    not_violating: int = 0
    """Number of hashes left out because their list says that they are false positives or disputed."""
    checkpoints: dict[str, str] = field(default_factory=dict)
    """Position in the feed. Store it together with the entries that were read."""
    cursor: Cursor = START
    """Where to start. While iterating: the place up to which the changes have been returned."""
    _lines: Lines | None = None

    def __iter__(self) -> Iterator[Change]:
        readers: Mapping[HashListFormat, Callable[[Lines], Iterator[Change]]] = {
            HashListFormat.VPDQ: self._vpdq,
            HashListFormat.VPDQ_JSON: self._vpdq_json,
            HashListFormat.PDQ: self._pdq,
            HashListFormat.CSV: self._csv,
            HashListFormat.STOPNCII: self._stopncii,
            HashListFormat.JSONL: self._jsonl,
        }
        try:
            with open_regular(self.path) as file:
                lines = self._lines = Lines(file, self.cursor, self.progress)
                for change in readers[self.format](lines):
                    self.cursor = lines.resume_at or lines.at
                    yield change
                self.cursor = lines.resume_at or lines.at
        except OSError as error:
            raise InvalidInput(str(self.path), error.strerror or str(error)) from None
        except csv.Error as error:
            begin = self._lines and self._lines.resume_at
            line = begin.line + 1 if begin else 1
            problem = (
                f"a quotation mark opens a value and does not close it ({error}); double those of a value"
            )
            raise InvalidInput(f"{self.path}:{line}", problem) from None
        except UnicodeDecodeError:
            raise self._wrong(_not_text(self.path)) from None
        except InvalidInput as error:
            if error.field.startswith(f"{self.path}:"):
                raise
            raise self._wrong(str(error)) from None

    def _wrong(self, problem: str) -> InvalidInput:
        line = 1 if self._lines is None or self.format is HashListFormat.STOPNCII else self._lines.at.line
        return InvalidInput(f"{self.path}:{line}", problem)

    def _run(self, digits: str, quality: int, start_ms: int = 0, **more: Any) -> HashRun | None:
        run = HashRun(parse_hex(digits), start_ms, quality=quality, **more)
        if quality < self.min_quality:
            self.low_quality += 1
            return None
        return run

    def _video(self, entry_id: str, runs: Iterable[HashRun]) -> Iterator[Footage]:
        kept = tuple(runs)
        if kept:
            end = max(run.start_ms + run.span_ms for run in kept)
            entry = Entry(
                entry_id,
                EntryKind.VIDEO,
                label=self.label,
                source=printable(self.path.name),
                duration_ms=end,
                added_ms=self.added_ms,
            )
            yield Footage(entry, kept)

    def _vpdq(self, lines: Lines) -> Iterator[Change]:
        if lines.at != START:
            # The file is one entry. Once lines were added to it, the whole entry is a new one.
            if next(lines, None) is None:
                return
            lines.rewind()
        runs = []
        for line in lines:
            fields = _vpdq_fields(line)
            if len(fields) != 4:
                raise self._wrong(f"wants frame,quality,hash,seconds; got {len(fields)} fields")
            run = self._run(fields[2], quality_of(fields[1]), milliseconds(fields[3]))
            if run is not None:
                runs.append(run)
        yield from self._video(self.entry_id or self.path.stem, runs)

    def _vpdq_json(self, lines: Lines) -> Iterator[Change]:
        for line in lines:
            features = parse_json(line)
            if not isinstance(features, list) or not all(isinstance(f, str) for f in features):
                raise self._wrong('wants a list of "hash,quality,seconds"')
            runs = []
            for feature in features:
                fields = feature.split(",")
                if len(fields) != 3:
                    raise self._wrong(f"wants hash,quality,seconds; got {len(fields)} fields")
                run = self._run(fields[0], quality_of(fields[1]), milliseconds(fields[2]))
                if run is not None:
                    runs.append(run)
            name = self.entry_id or self.path.stem
            yield from self._video(name if lines.at.line == 1 else f"{name}#{lines.at.line}", runs)

    def _pdq(self, lines: Lines) -> Iterator[Change]:
        for line in lines:
            if not line.startswith("#"):
                found = _PDQ_LINE.fullmatch(line)
                yield self._image(parse_hex(found[1] if found else line))

    def _image(self, bits: bytes, label: str = "") -> Footage:
        entry = Entry(bits.hex(), EntryKind.IMAGE, label=label or self.label)
        return Footage(entry, (HashRun(bits),))

    def _csv(self, lines: Lines) -> Iterator[Change]:
        start = lines.at
        lines.rewind()
        first, begin = next(lines, ""), START
        while _says_nothing(first):
            begin = lines.at
            first = next(lines, "")
        found = csv_columns(first)
        if found is None:
            raise self._wrong(f"wants a header with a column hash, and none twice; got {first!r:.200}")
        columns = found.names
        if not found.has_header:
            lines.go_to(begin)
        csv.field_size_limit(MAX_LINE_BYTES)  # of all readers of this process; lines are bounded already
        rows = csv.reader(lines, delimiter=found.separator, strict=True)
        apart = _Apart()
        if start != START:
            for imported in rows:
                if lines.at.offset_bytes > start.offset_bytes:
                    break
                apart.imported(dict(zip(columns, imported, strict=False)))
            lines.go_to(start)
        open_entry: Entry | None = None
        runs: list[HashRun] = []
        while True:
            lines.resume_at = lines.at
            if (row := next(rows, None)) is None:
                break
            if not any(map(str.strip, row)):
                continue
            values = self._csv_values(row, found)
            is_pdq = values.get("signal_type", "pdq").lower() in _PDQ_TYPES
            if not values["hash"] or not is_pdq or _OTHER_HASHES.search(values.get("type", "")):
                self.other_kinds += 1
                continue
            if values.get("opinion", "").upper() in _NOT_VIOLATING:
                self.not_violating += 1
                continue
            entry = self._csv_entry(values)
            if entry != open_entry:
                apart.begin(values, entry, open_entry)
                if open_entry is not None and runs:
                    yield Footage(open_entry, tuple(runs))
                open_entry, runs = entry, []
            run = self._run(
                values["hash"],
                quality_of(values.get("quality") or "100"),
                integer("start_ms", values.get("start_ms") or "0"),
                span_ms=integer("span_ms", values.get("span_ms") or "0"),
                variant=variant_of(values.get("variant") or "original"),
            )
            if run is not None:
                runs.append(run)
        lines.resume_at = None
        if open_entry is not None and runs:
            yield Footage(open_entry, tuple(runs))

    def _csv_values(self, row: list[str], found: CsvColumns) -> dict[str, str]:
        columns = found.names
        if len(row) > len(columns) and not found.has_header and columns[-1] == "source":
            # A path that is not quoted may hold the separator.
            row = [*row[: len(columns) - 1], found.separator.join(row[len(columns) - 1 :])]
        if len(row) != len(columns):
            model = "the header" if found.has_header else "the first line"
            raise self._wrong(f"has {len(row)} fields, {model} {len(columns)}")
        if found.is_keyed:
            row = [field.partition("=")[2] for field in row]
        return {name: value.strip() for name, value in zip(columns, row, strict=True)}

    def _csv_entry(self, values: Mapping[str, str]) -> Entry:
        bits = parse_hex(values["hash"])
        kind = values.get("kind") or (EntryKind.VIDEO if values.get("start_ms") else EntryKind.IMAGE)
        return Entry(
            values.get("entry") or bits.hex(),
            kind_of(kind),
            label=values.get("label") or self.label,
            source=values.get("source", ""),
            note=values.get("note", ""),
            duration_ms=integer("duration_ms", values.get("duration_ms") or "0"),
            added_ms=integer("added_ms", values.get("added_ms") or "0"),
        )

    def _stopncii(self, lines: Lines) -> Iterator[Change]:
        done = lines.at.line
        page = parse_json(lines.whole(MAX_DOCUMENT_BYTES))
        records = page.get("hashRecords") if isinstance(page, dict) else None
        if not isinstance(records, list):
            raise self._wrong("wants an object with a list hashRecords")
        for number, record in enumerate(records[done:], done):
            lines.resume_at = Cursor(lines.at.offset_bytes, number + 1)
            try:
                yield from self._stopncii_record(record)
            except InvalidInput as error:
                raise self._wrong(f"hashRecords[{number}].{error}") from None
        for name in ("nextSetTimestamp", "nextPageToken"):
            if page.get(name) is not None:
                self.checkpoints[f"stopncii.{name}"] = str(page[name])[:1024]

    def _stopncii_record(self, record: Any) -> Iterator[Change]:
        if not isinstance(record, dict):
            raise InvalidInput("record", "is not an object")
        if record.get("signalType") != "ImagePDQ":
            self.other_kinds += 1
            return
        bits = parse_hex(text_of(record, "hashValue"), "hashValue")
        cases = record.get("caseNumbers") or {}
        states = list(cases.values()) if isinstance(cases, dict) else []
        gone = str(record.get("hashStatus", "")).lower() in _NO_LONGER
        if gone or (states and all(str(state).lower() in _NO_LONGER for state in states)):
            yield Withdrawal(bits.hex())
        else:
            yield self._image(bits)

    def _jsonl(self, lines: Lines) -> Iterator[Change]:
        for line in lines:
            document = parse_json(line)
            if not isinstance(document, dict):
                raise self._wrong("wants an object")
            if document.get("withdrawn") is True:
                yield Withdrawal(text_of(document, "id"))
                continue
            yield parse_footage(document)


class _Apart:
    """Finds CSV rows of one entry that are not together or contradict each other.

    All but the first such group would be lost. A plain image, whose hash is its only name, may come again.
    """

    def __init__(self) -> None:
        self._begun: set[int] = set()
        """Keys of the entries that have begun."""
        self._last: int | None = None
        """Key of the entry of the last row of an earlier import."""

    def imported(self, values: Mapping[str, str]) -> None:
        """Takes a row of an earlier import."""
        name = _own_name(values)
        self._last = entry_key(name) if name else None
        if self._last is not None:
            self._begun.add(self._last)

    def begin(self, values: Mapping[str, str], entry: Entry, before: Entry | None) -> None:
        """Takes a row that begins another entry. Raises InvalidInput where rows would be lost."""
        last, self._last = self._last, None
        if not _own_name(values):
            return
        if before is not None and before.id == entry.id:
            name = next(f.name for f in fields(Entry) if getattr(before, f.name) != getattr(entry, f.name))
            here, there = getattr(entry, name), getattr(before, name)
            problem = (
                f"rows of entry {entry.id!r} want the same, got {str(here)!r:.80} after {str(there)!r:.80}"
            )
            raise InvalidInput(name, problem)
        key = entry_key(entry.id)
        if key == last:
            problem = f"{entry.id!r} goes on after what was imported before; import all of the file, without"
            raise InvalidInput("entry", f"{problem} --resume and with --existing replace")
        if key in self._begun:
            raise InvalidInput("entry", f"rows of {entry.id!r} are not together; sort by entry")
        self._begun.add(key)


def _own_name(values: Mapping[str, str]) -> str:
    """Returns the entry name of a CSV row. Empty where the hash is its only name."""
    name = values.get("entry", "").strip()
    return "" if name.lower() == values.get("hash", "").strip().lower() else name


def sniff(path: Path) -> HashListFormat:
    """Guesses the format of a file. Raises InvalidInput when none fits."""
    try:
        with open_regular(path) as file:
            lines = Lines(file, START)
            head = next((line for line in lines if not _says_nothing(line)), "")
    except OSError as error:
        raise InvalidInput(str(path), error.strerror or str(error)) from None
    except UnicodeDecodeError:
        raise InvalidInput(str(path), _not_text(path)) from None
    if head.startswith("["):
        return HashListFormat.VPDQ_JSON
    if head.startswith("{"):
        return HashListFormat.JSONL if _is_own_record(head) else HashListFormat.STOPNCII
    fields = _vpdq_fields(head)
    if len(fields) == 4 and len(fields[2]) == 64:
        return HashListFormat.VPDQ
    if _PDQ_LINE.fullmatch(head):
        return HashListFormat.PDQ
    with contextlib.suppress(csv.Error):  # a carriage return within the line, for example
        if csv_columns(head) is not None:
            return HashListFormat.CSV
    raise InvalidInput(f"{path}:1", "has no known format; name the format with --format")


def _says_nothing(line: str) -> bool:
    return line.startswith("#") or declares_separator(line)


def _vpdq_fields(line: str) -> list[str]:
    separator = next((each for each in ";\t" if each in line), ",")
    return [field.strip() for field in line.split(separator)]


def _is_own_record(head: str) -> bool:
    """Whether a line is a whole object with an id. A page of StopNCII has none, or has further lines."""
    try:
        document = parse_json(head)
    except InvalidInput:
        return False
    return "id" in document


def _not_text(path: Path) -> str:
    with open_regular(path) as file:
        head = file.read(4)
    if head.startswith(b"\x1f\x8b"):
        return "is compressed by gzip; unpack it first"
    if head.startswith(b"PK"):
        return "is a ZIP archive or a workbook; unpack it, or save its sheet as CSV UTF-8"
    return "is neither UTF-8 nor UTF-16 text; save it as CSV UTF-8"
