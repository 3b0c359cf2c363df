"""Text that somebody else wrote, made safe to show: on a terminal, in a log line, on a page."""

from __future__ import annotations

import json
import re

from precis_i18n.unicode import UnicodeData

_UNICODE = UnicodeData()
_ASCII = re.compile(r"[ -~]*")


def is_invisible(character: str) -> bool:
    """Whether a reader cannot see the character, or it changes how others are shown.

    These are control characters, bidirectional marks, tag characters, line separators, surrogates, private
    and unassigned code points, spaces other than U+0020, and every default-ignorable code point, such as a
    soft hyphen or a zero-width space.
    """
    return not character.isprintable() or _UNICODE.default_ignorable(ord(character))


def printable(value: object, *, lines: bool = False) -> str:
    """The text of ``value`` with every invisible character written as its escape, such as ``\\u202e``.

    ``lines``: line feeds and tabs stay.
    """
    text = str(value)
    if _ASCII.fullmatch(text):
        return text
    return "".join(
        each.encode("unicode_escape").decode("ascii")
        if is_invisible(each) and not (lines and each in "\n\t")
        else each
        for each in text
    )


def printable_json(document: str) -> str:
    """The JSON document with every invisible character as a JSON escape. A parser reads the same values."""
    return "".join(json.dumps(each)[1:-1] if is_invisible(each) else each for each in document)
