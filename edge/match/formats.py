"""Hash lists of others, read one line or record at a time, with the line in every error.

| Format | What |
|---|---|
| ``vpdq`` | vPDQ text of one video, a line a frame: ``frame,quality,hash,seconds`` |
| ``vpdq-json`` | python-threatexchange vPDQ signals, a line a video: ``["hash,quality,seconds", …]`` |
| ``pdq`` | a hash a line, as in plain lists and python-threatexchange PDQ signals; ``#`` comments |
| ``csv`` | a header line and a line a hash; the column ``hash`` is enough |
| ``stopncii`` | a page of StopNCII's FetchHashes, with withdrawals and its position in the feed |
| ``jsonl`` | this project's own: an object a line and entry, nothing lost |
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, TextIO

from edge.errors import InvalidInput, LimitExceeded
from edge.match.bank import Withdrawal
from edge.match.entry import Entry, EntryKind, Footage, HashRun, Variant
from edge.match.fingerprint import MIN_QUALITY, printable
from edge.match.pdq import parse_hex

MAX_LINE = 64 * 1024 * 1024
"""A line of ``vpdq-json`` or ``jsonl`` holds a whole video."""
MAX_DOCUMENT_BYTES = 256 * 1024 * 1024
"""A page of StopNCII is read whole."""
_CSV_NAMES = {
    "id": "entry",
    "category": "label",
    "timestamp_ms": "start_ms",
    "pdq": "hash",
    "pdq_hash": "hash",
}
_NO_LONGER = ("withdrawn", "deleted")

Change = Footage | Withdrawal


class Format(StrEnum):
    VPDQ = "vpdq"
    VPDQ_JSON = "vpdq-json"
    PDQ = "pdq"
    CSV = "csv"
    STOPNCII = "stopncii"
    JSONL = "jsonl"


@dataclass(slots=True)
class Import:
    """One file being read: iterate it, then ask what was left out and how far the feed got.

    Iterating raises InvalidInput with ``FILE:LINE`` in front of what is wrong.
    """

    path: Path
    format: Format
    entry_id: str | None = None
    """Id of the one video of a ``vpdq`` file; the file's name when None."""
    label: str = ""
    added_ms: int = 0
    min_quality: int = MIN_QUALITY
    progress: Callable[[int], None] | None = None
    """Called with the number of bytes read so far, now and then."""
    low_quality: int = 0
    """Hashes left out because their quality is under ``min_quality``."""
    other_kinds: int = 0
    """Records left out because they are no PDQ hashes."""
    checkpoints: dict[str, str] = field(default_factory=dict)
    """Position in the feed, to be stored with what was read."""
    _line: int = 0

    def __iter__(self) -> Iterator[Change]:
        readers: Mapping[Format, Callable[[TextIO], Iterator[Change]]] = {
            Format.VPDQ: self._vpdq,
            Format.VPDQ_JSON: self._vpdq_json,
            Format.PDQ: self._pdq,
            Format.CSV: self._csv,
            Format.STOPNCII: self._stopncii,
            Format.JSONL: self._jsonl,
        }
        try:
            with self.path.open(encoding="utf-8", newline="") as file:
                yield from readers[self.format](file)
        except OSError as error:
            raise InvalidInput(str(self.path), error.strerror or str(error)) from None
        except csv.Error as error:
            raise self._wrong(str(error)) from None
        except UnicodeDecodeError:
            raise self._wrong("is not UTF-8 text") from None
        except InvalidInput as error:
            if error.field.startswith(f"{self.path}:"):
                raise
            raise self._wrong(str(error)) from None

    def _wrong(self, problem: str) -> InvalidInput:
        return InvalidInput(f"{self.path}:{self._line}", problem)

    def _lines(self, file: TextIO) -> Iterator[str]:
        """Lines that say something; bounded, counted, reported."""
        while line := file.readline(MAX_LINE + 1):
            self._line += 1
            if len(line) > MAX_LINE:
                raise LimitExceeded("line", MAX_LINE, len(line), "characters")
            if self.progress is not None and self._line % 4096 == 0:
                self.progress(file.buffer.tell())
            line = line.strip()
            if line:
                yield line

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

    def _vpdq(self, file: TextIO) -> Iterator[Change]:
        runs = []
        for line in self._lines(file):
            fields = line.split(",")
            if len(fields) != 4:
                raise self._wrong(f"wants frame,quality,hash,seconds; got {len(fields)} fields")
            run = self._run(fields[2], _integer("quality", fields[1]), _milliseconds(fields[3]))
            if run is not None:
                runs.append(run)
        yield from self._video(self.entry_id or self.path.stem, runs)

    def _vpdq_json(self, file: TextIO) -> Iterator[Change]:
        for line in self._lines(file):
            features = _json(line)
            if not isinstance(features, list) or not all(isinstance(f, str) for f in features):
                raise self._wrong('wants a list of "hash,quality,seconds"')
            runs = []
            for feature in features:
                fields = feature.split(",")
                if len(fields) != 3:
                    raise self._wrong(f"wants hash,quality,seconds; got {len(fields)} fields")
                run = self._run(fields[0], _integer("quality", fields[1]), _milliseconds(fields[2]))
                if run is not None:
                    runs.append(run)
            name = self.entry_id or self.path.stem
            yield from self._video(name if self._line == 1 else f"{name}#{self._line}", runs)

    def _pdq(self, file: TextIO) -> Iterator[Change]:
        for line in self._lines(file):
            if not line.startswith("#"):
                yield self._image(parse_hex(line))

    def _image(self, bits: bytes, label: str = "") -> Footage:
        entry = Entry(bits.hex(), EntryKind.IMAGE, label=label or self.label)
        return Footage(entry, (HashRun(bits),))

    def _csv(self, file: TextIO) -> Iterator[Change]:
        rows = csv.reader(self._lines(file))
        header = [name.strip().lower() for name in next(rows, [])]
        columns = [_CSV_NAMES.get(name, name) for name in header]
        if "hash" not in columns or len(set(columns)) < len(columns):
            raise self._wrong(f"wants a header with a column hash, and none twice; got {','.join(header)!r}")
        open_entry: Entry | None = None
        runs: list[HashRun] = []
        for row in rows:
            if len(row) != len(columns):
                raise self._wrong(f"has {len(row)} fields, the header {len(columns)}")
            values = {name: value.strip() for name, value in zip(columns, row, strict=True)}
            entry = self._csv_entry(values)
            if entry != open_entry:
                if open_entry is not None and runs:
                    yield Footage(open_entry, tuple(runs))
                open_entry, runs = entry, []
            run = self._run(
                values["hash"],
                _integer("quality", values.get("quality") or "100"),
                _integer("start_ms", values.get("start_ms") or "0"),
                span_ms=_integer("span_ms", values.get("span_ms") or "0"),
                variant=_variant(values.get("variant") or "original"),
            )
            if run is not None:
                runs.append(run)
        if open_entry is not None and runs:
            yield Footage(open_entry, tuple(runs))

    def _csv_entry(self, values: Mapping[str, str]) -> Entry:
        bits = parse_hex(values["hash"])
        kind = values.get("kind") or (EntryKind.VIDEO if values.get("start_ms") else EntryKind.IMAGE)
        return Entry(
            values.get("entry") or bits.hex(),
            _kind(kind),
            label=values.get("label") or self.label,
            source=values.get("source", ""),
            note=values.get("note", ""),
            duration_ms=_integer("duration_ms", values.get("duration_ms") or "0"),
            added_ms=_integer("added_ms", values.get("added_ms") or "0"),
        )

    def _stopncii(self, file: TextIO) -> Iterator[Change]:
        text = file.read(MAX_DOCUMENT_BYTES + 1)
        self._line = 1
        if len(text) > MAX_DOCUMENT_BYTES:
            raise LimitExceeded("page", MAX_DOCUMENT_BYTES, len(text), "characters")
        page = _json(text)
        records = page.get("hashRecords") if isinstance(page, dict) else None
        if not isinstance(records, list):
            raise self._wrong("wants an object with a list hashRecords")
        for number, record in enumerate(records):
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
        bits = parse_hex(_text(record, "hashValue"), "hashValue")
        cases = record.get("caseNumbers") or {}
        states = list(cases.values()) if isinstance(cases, dict) else []
        gone = str(record.get("hashStatus", "")).lower() in _NO_LONGER
        if gone or (states and all(str(state).lower() in _NO_LONGER for state in states)):
            yield Withdrawal(bits.hex())
        else:
            yield self._image(bits)

    def _jsonl(self, file: TextIO) -> Iterator[Change]:
        for line in self._lines(file):
            document = _json(line)
            if not isinstance(document, dict):
                raise self._wrong("wants an object")
            if document.get("withdrawn") is True:
                yield Withdrawal(_text(document, "id"))
                continue
            yield _footage(document)


def sniff(path: Path) -> Format:
    """The format that a file looks like; InvalidInput when none fits."""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            head = next((line.strip() for line in _some_lines(file) if not line.startswith("#")), "")
    except OSError as error:
        raise InvalidInput(str(path), error.strerror or str(error)) from None
    fields = [name.strip().lower() for name in head.split(",")]
    if head.startswith("["):
        return Format.VPDQ_JSON
    if head.startswith("{"):
        return Format.JSONL if head.startswith('{"id"') else Format.STOPNCII
    if {"hash", "pdq", "pdq_hash"} & set(fields):
        return Format.CSV
    if len(fields) == 4 and len(fields[2]) == 64:
        return Format.VPDQ
    if len(head) == 64:
        return Format.PDQ
    raise InvalidInput(f"{path}:1", "looks like no format that is known; say which with --format")


def _footage(document: Mapping[str, Any]) -> Footage:
    hashes = document.get("hashes")
    if not isinstance(hashes, list) or not hashes:
        raise InvalidInput("hashes", "wants a list of [hash, start_ms, span_ms, quality, variant]")
    runs = []
    for fields in hashes:
        if not isinstance(fields, list) or len(fields) != 5:
            raise InvalidInput("hashes", "wants a list of [hash, start_ms, span_ms, quality, variant]")
        digits, start, span, quality, variant = fields
        runs.append(
            HashRun(
                parse_hex(str(digits)),
                _integer("start_ms", start),
                _integer("span_ms", span),
                _integer("quality", quality),
                _variant(str(variant)),
            )
        )
    entry = Entry(
        _text(document, "id"),
        _kind(_text(document, "kind", "image")),
        label=_text(document, "label", ""),
        source=_text(document, "source", ""),
        note=_text(document, "note", ""),
        duration_ms=_integer("duration_ms", document.get("duration_ms", 0)),
        added_ms=_integer("added_ms", document.get("added_ms", 0)),
    )
    return Footage(entry, tuple(runs))


def _some_lines(file: TextIO) -> Iterator[str]:
    for _ in range(1000):
        line = file.readline(4096)
        if line.strip():
            yield line


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidInput("JSON", str(error)) from None


def _text(document: Mapping[str, Any], name: str, default: str | None = None) -> str:
    value = document.get(name, default)
    if not isinstance(value, str):
        raise InvalidInput(name, f"wants text, got {value!r:.80}")
    return value


def _integer(name: str, value: Any) -> int:
    try:
        if isinstance(value, bool):
            raise ValueError
        number = int(value)
    except (TypeError, ValueError):
        raise InvalidInput(name, f"wants a whole number, got {value!r:.80}") from None
    if not 0 <= number < 2**53:
        raise InvalidInput(name, f"{number} is out of range")
    return number


def _milliseconds(text: str) -> int:
    try:
        seconds = float(text)
    except ValueError:
        raise InvalidInput("seconds", f"wants a number, got {text!r:.80}") from None
    if not 0 <= seconds < 2**32:
        raise InvalidInput("seconds", f"{text[:80]} is out of range")
    return round(seconds * 1000)


def _variant(word: str) -> Variant:
    try:
        return Variant[word.upper()]
    except KeyError:
        raise InvalidInput("variant", f"{word[:80]!r} is none") from None


def _kind(word: str) -> EntryKind:
    try:
        return EntryKind(word)
    except ValueError:
        raise InvalidInput("kind", f"{word[:80]!r} is neither video nor image") from None
