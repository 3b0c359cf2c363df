"""Exports the audit log to JSON lines or CSV. The file holds the chain, so anybody can verify it offline."""

from __future__ import annotations

import csv
import dataclasses
import io
import itertools
import json
from collections.abc import Callable, Iterable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import TextIO

from edge.errors import InvalidInput
from edge.ledger.audit import AuditRow
from edge.settings_file import open_regular

FIELDS = tuple(field.name for field in dataclasses.fields(AuditRow))
MAX_LINE_CHARS = 4 * 1024 * 1024
_NUMBERS = frozenset({"number", "wall_ms"})


class ExportFormat(StrEnum):
    JSONL = "jsonl"
    CSV = "csv"


def write_rows(rows: Iterable[AuditRow], file: TextIO, form: ExportFormat) -> int:
    """Streams rows to a file and returns how many. ``detail`` stays the exact text that the digest covers."""
    written = 0
    table = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL)
    if form is ExportFormat.CSV:
        table.writerow(FIELDS)
    for row in rows:
        if form is ExportFormat.CSV:
            table.writerow([getattr(row, name) for name in FIELDS])
        else:
            json.dump(dataclasses.asdict(row), file, ensure_ascii=False, separators=(",", ":"))
            file.write("\n")
        written += 1
    return written


def read_rows(path: Path, advance: Callable[[int], object] = lambda characters: None) -> Iterator[AuditRow]:
    """Reads the rows of an export in either format. Raises InvalidInput, which names the line.

    ``advance`` receives the number of characters read.
    """
    try:
        with io.TextIOWrapper(open_regular(path), encoding="utf-8", newline="\n") as file:
            lines = _lines(file, path, advance)
            first = next(lines, "")
            if first.lstrip().startswith("{") or not first:
                yield from _from_json(first, lines, path)
            else:
                yield from _from_csv(first, lines, path)
    except OSError as error:
        raise InvalidInput(str(path), error.strerror or str(error)) from None
    except UnicodeDecodeError as error:
        raise InvalidInput(str(path), f"is not UTF-8 text: {error.reason}") from None


def _lines(file: TextIO, path: Path, advance: Callable[[int], object]) -> Iterator[str]:
    while line := file.readline(MAX_LINE_CHARS):
        if len(line) == MAX_LINE_CHARS:
            raise InvalidInput(str(path), f"has a line over the limit of {MAX_LINE_CHARS} characters")
        advance(len(line))
        yield line


def _from_json(first: str, lines: Iterator[str], path: Path) -> Iterator[AuditRow]:
    for number, line in enumerate(itertools.chain((first,), lines), start=1):
        if line.strip():
            yield _row(_object(line, path, number), path, number)


def _object(line: str, path: Path, number: int) -> dict[str, object]:
    try:
        values = json.loads(line)
    except (ValueError, RecursionError):
        raise InvalidInput(f"{path}:{number}", "is no JSON object of an audit row") from None
    if not isinstance(values, dict):
        raise InvalidInput(f"{path}:{number}", "is no JSON object of an audit row")
    return values


def _from_csv(first: str, lines: Iterator[str], path: Path) -> Iterator[AuditRow]:
    csv.field_size_limit(MAX_LINE_CHARS)
    try:
        header = next(csv.reader([first]), [])
    except csv.Error as error:
        raise InvalidInput(f"{path}:1", str(error)) from None
    if tuple(header) != FIELDS:
        raise InvalidInput(f"{path}:1", f"the columns must be {','.join(FIELDS)}")
    table = csv.reader(lines)
    try:
        for cells in table:
            if len(cells) != len(FIELDS):
                raise InvalidInput(f"{path}:{table.line_num + 1}", f"has {len(cells)} columns")
            yield _row(dict(zip(FIELDS, cells, strict=True)), path, table.line_num + 1)
    except csv.Error as error:
        raise InvalidInput(f"{path}:{table.line_num + 1}", str(error)) from None


def _row(values: dict[str, object], path: Path, line: int) -> AuditRow:
    try:
        return AuditRow(
            **{
                name: int(str(values[name])) if name in _NUMBERS else str(values[name])  # type: ignore[arg-type]
                for name in FIELDS
            }
        )
    except KeyError as error:
        raise InvalidInput(f"{path}:{line}", f"{error.args[0]} is missing") from None
    except ValueError:
        raise InvalidInput(f"{path}:{line}", "number and wall_ms must be whole numbers") from None
