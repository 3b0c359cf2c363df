"""Names that look alike: the skeleton of Unicode Technical Standard 39, section 4. Pure."""

from __future__ import annotations

import unicodedata
from functools import cache
from typing import Final

_MARK: Final = "\u200e"
"""The data set sets right-to-left characters between these."""
_JOINERS: Final = dict.fromkeys(map(ord, "\u200c\u200d"))


def load_tables() -> None:
    """Builds the tables of ``skeleton``, which takes a tenth of a second. Else the first name pays for it."""
    _ascii_prototypes()


def skeleton(name: str) -> str:
    """What names that look alike have in common, in lower case. It is for comparison, never for showing."""
    if name.isascii():
        table, longer = _ascii_prototypes()
        name = name.translate(table)
        for character, shape in longer:
            name = name.replace(character, shape)
        return name.lower()
    decomposed = unicodedata.normalize("NFD", name).translate(_JOINERS)
    return unicodedata.normalize("NFD", decomposed.translate(_prototypes())).lower()


@cache
def _ascii_prototypes() -> tuple[dict[int, str], tuple[tuple[str, str], ...]]:
    """The same for ASCII alone, which is most names: one character for another, and those that need more."""
    ours = {chr(code): shape for code, shape in _prototypes().items() if code < 128}
    single = {ord(each): shape for each, shape in ours.items() if len(shape) == 1 and shape.isascii()}
    return single, tuple((each, shape) for each, shape in ours.items() if ord(each) not in single)


@cache
def _prototypes() -> dict[int, str]:
    """What stands in the skeleton for each confusable character, by code point.

    The library gives pairs of a character and its prototype without their direction. A prototype of several
    characters can only be the prototype of its group. Else the first character of the group stands for it.
    """
    from confusable_homoglyphs.confusables import confusables_data

    alike = {
        text.strip(_MARK): {other["c"].strip(_MARK) for other in others}
        for text, others in confusables_data.items()
    }
    found = {}
    for text, near in alike.items():
        if len(text) == 1:
            group = {text, *near}.union(*(alike.get(other, ()) for other in near))
            prototype = min(group, key=lambda each: (-len(each), each))
            if prototype != text:
                found[ord(text)] = prototype
    return {code: "".join(found.get(ord(each), each) for each in shape) for code, shape in found.items()}
