"""Markdown forms that the generated pages share."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

_CODE_SPAN = re.compile(r"(`[^`]*`)")


def cell(text: str) -> str:
    """Returns text for a table cell: on one line, without a sign that ends the cell or opens a tag."""
    parts = _CODE_SPAN.split(" ".join(text.split()))
    return "".join(part if part.startswith("`") else _escaped(part) for part in parts)


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


def code(text: str) -> str:
    """Returns literal text for a table cell, or a dash for empty text."""
    return f"`{text}`" if text else "–"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Returns a table of prepared cells, or nothing without rows."""
    lines = [f"| {' | '.join(row)} |" for row in rows]
    if not lines:
        return ""
    return "\n".join([f"| {' | '.join(header)} |", "|" + "---|" * len(header), *lines, ""])
