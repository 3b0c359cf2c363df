"""Names of accounts: which characters one may have, and when two names are the same account. Pure.

RFC 8265 says how user names are compared, and RFC 8264 (PRECIS) which characters they may hold. Platforms
also use names that those profiles forbid, such as ``app/name`` or two words. Such names are compared in
compatibility form (NFKC).
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import Final

from precis_i18n import get_profile
from precis_i18n.context import rule_zero_width_joiner, rule_zero_width_nonjoiner
from precis_i18n.unicode import UnicodeData

from edge.errors import InvalidInput, LimitExceeded

MAX_BROADCASTER: Final = 512
"""Characters of a broadcaster's name that the ledger holds."""
_UNICODE: Final = UnicodeData()
_PRESERVED: Final = get_profile("UsernameCasePreserved")
_MAPPED: Final = get_profile("UsernameCaseMapped")
_ASCII_NAME: Final = re.compile(r"[!-~]*")
"""Both profiles leave these characters as they are, but for their case."""
_VISIBLE_ASCII: Final = re.compile(r"[ -~]*")
_REFUSED_CATEGORIES: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})
_BLANK: Final = "\u2800"
"""The Braille pattern without dots: the one visible symbol that shows nothing."""
_JOINERS: Final = {"\u200c": rule_zero_width_nonjoiner, "\u200d": rule_zero_width_joiner}
_ENDS: Final = "./ "
"""A URL or a form may gain or lose these at the end of a name."""


def check_name(field: str, name: str) -> str:
    """The name, when every character of it can be seen. Raises InvalidInput with the field and the position.

    No account has control characters, bidirectional marks, tag characters, soft hyphens, zero-width and other
    default-ignorable characters, private characters or surrogates. The two joiners may stand where Persian
    and Indic spelling needs them (RFC 5892, appendices A.1 and A.2).
    """
    if _VISIBLE_ASCII.fullmatch(name):
        return name
    for position, character in enumerate(name):
        if _is_refused(name, position):
            called = unicodedata.name(character, "a control or private character").lower()
            raise InvalidInput(
                field,
                f"U+{ord(character):04X} at position {position} ({called}) cannot be seen: no account has it",
            )
    return name


def _is_refused(name: str, position: int) -> bool:
    character = name[position]
    if (joins := _JOINERS.get(character)) is not None:
        try:
            return not joins(name, position, _UNICODE)
        except IndexError:  # at the begin or the end
            return True
    code = ord(character)
    return (
        unicodedata.category(character) in _REFUSED_CATEGORIES
        or _UNICODE.default_ignorable(code)
        or _UNICODE.noncharacter(code)
        or character == _BLANK
    )


def normal_text(text: str) -> str:
    """A name as it is stored: composed form (NFC), without surrounding blanks."""
    return unicodedata.normalize("NFC", text).strip()


def stored_name(field: str, name: str, limit: int) -> str:
    """The name as it is stored, when every character of it can be seen.

    Composed or compared, a name may be several times as long as it was sent. Raises InvalidInput, and
    LimitExceeded where one of these forms is longer than ``limit`` characters.
    """
    form = normal_text(check_name(field, name))
    longest = len(form) if _ASCII_NAME.fullmatch(form) else max(len(form), len(compared(form)))
    if longest > limit:
        raise LimitExceeded(field, limit, longest, "characters")
    return form


@lru_cache(maxsize=16_384)
def compared(name: str, *, case_mapped: bool = False) -> str:
    """The form in which names are compared, without dots, slashes and blanks at its end.

    It is that of the profile UsernameCasePreserved, or UsernameCaseMapped (RFC 8265). A name that the profile
    forbids is compared in NFKC with single blanks.
    """
    if _ASCII_NAME.fullmatch(name):
        form = name.lower() if case_mapped else name
    else:
        form = _enforced(name, case_mapped)
    return form.rstrip(_ENDS) or form


def _enforced(name: str, case_mapped: bool) -> str:
    try:
        return (_MAPPED if case_mapped else _PRESERVED).enforce(name)
    except UnicodeEncodeError:
        form = " ".join(unicodedata.normalize("NFKC", name).split())
        return unicodedata.normalize("NFKC", form.lower()) if case_mapped else form
