"""Reads a hash list as pages: what ``bank import`` reads. A list with a wrong line gives none."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import IO, Final

from edge.errors import InvalidInput
from edge.exchange.page import Shared, SharedPage
from edge.match import HashListFormat, Import, Withdrawal, sniff

_CHANGES: Final = 5_000
"""Changes of one page."""


def format_named(word: str) -> HashListFormat | None:
    """None for an empty word: the file shows its format itself. Raises InvalidInput."""
    if not word:
        return None
    try:
        return HashListFormat(word)
    except ValueError:
        raise InvalidInput("option format", f"{word[:80]!r} is none of {', '.join(HashListFormat)}") from None


def path_of(file: IO[bytes]) -> Path:
    """The path of a file without a name, which leaves nothing behind however the process ends."""
    return Path(f"/proc/self/fd/{file.fileno()}")


def pages_of(
    path: Path, form: HashListFormat | None, name: str, stem: str, checkpoint: str
) -> Iterator[SharedPage]:
    """Yields a whole file, once all of it has been read. Only the last page has the checkpoint: a file whose
    taking was interrupted is taken again.

    ``name`` is how errors call the file, and ``stem`` names the video of a list of one video. Raises
    InvalidInput, which names the line.
    """
    try:
        if path.stat().st_size == 0:
            yield SharedPage((), checkpoint)
            return
        form = form or sniff(path)
        for _ in Import(path, form, stem):
            pass  # A wrong line on the last page must not leave half of a list.
        listed = Import(path, form, stem)
        changes: list[Shared | Withdrawal] = []
        for change in listed:
            if isinstance(change, Withdrawal):
                changes.append(change)
            elif change.entry.source == path.name:
                changes.append(Shared(replace(change, entry=replace(change.entry, source=stem))))
            else:
                changes.append(Shared(change))
            if len(changes) >= _CHANGES:
                yield SharedPage(tuple(changes), "")
                changes = []
    except InvalidInput as error:
        raise InvalidInput(error.field.replace(str(path), name), error.problem) from None
    left_out = {
        "other signal types": listed.other_kinds,
        "low quality": listed.low_quality,
        "not violating": listed.not_violating,
    }
    yield SharedPage(tuple(changes), checkpoint, {name: count for name, count in left_out.items() if count})
