"""Bounds on strings, maps and numbers from callers. Every error names the field and the limit."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from typing import TypeVar

from edge.errors import InvalidInput, LimitExceeded

EnumT = TypeVar("EnumT", bound=int)


def text(field: str, value: str, limit: int, *, required: bool = False, lines: bool = False) -> str:
    """Returns the value if it has at most ``limit`` characters and no control character.

    With ``lines`` it may contain line breaks and tabs. Raises InvalidInput or LimitExceeded.
    """
    if required and not value:
        raise InvalidInput(field, "must not be empty")
    if len(value) > limit:
        raise LimitExceeded(field, limit, len(value), "characters")
    for position, character in enumerate(value):
        if unicodedata.category(character) == "Cc" and not (lines and character in "\n\r\t"):
            raise InvalidInput(field, f"control character U+{ord(character):04X} at position {position}")
    return value


def attributes(
    field: str, values: Mapping[str, str], max_entries: int, max_characters: int
) -> dict[str, str]:
    """Returns a bounded copy of a caller's attributes."""
    if len(values) > max_entries:
        raise LimitExceeded(field, max_entries, len(values), "entries")
    return {
        text(f"{field} key", key, 64, required=True): text(f"{field}[{key}]", value, max_characters)
        for key, value in values.items()
    }


def member(field: str, value: EnumT, known: Iterable[EnumT]) -> EnumT:
    """Returns the value if it is one of an enum's, UNSPECIFIED included."""
    if value not in known:
        raise InvalidInput(field, f"{value} is none of its values")
    return value


def number(field: str, value: int, low: int, high: int) -> int:
    """Returns the value if it lies in [low, high]."""
    if not low <= value <= high:
        raise InvalidInput(field, f"{value} is not between {low} and {high}")
    return value
