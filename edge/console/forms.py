"""Forms that browsers send: bounded and parsed. Reasons: a catalogue, so that they can be counted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl

from starlette.requests import Request

from edge.errors import InvalidInput, LimitExceeded

_MAX_BYTES: Final = 16 * 1024
_MAX_FIELDS: Final = 64
_TYPE: Final = "application/x-www-form-urlencoded"

REASONS: Final[Mapping[str, tuple[str, ...]]] = {
    "confirm": ("violence", "weapon", "harm", "known", "other"),
    "overturn": ("sport", "fiction", "news", "nothing", "other"),
    "escalate": ("unsure", "severe", "authorities", "other"),
    "strike": ("violence", "weapon", "harm", "known", "other"),
    "block": ("violence", "weapon", "harm", "evasion", "other"),
    "cut": ("violence", "weapon", "harm", "other"),
    "lift": ("mistake", "appeal", "served", "other"),
    "pardon": ("mistake", "appeal", "other"),
    "grant": ("mistake", "sport", "fiction", "news", "other"),
    "deny": ("violence", "weapon", "harm", "known", "other"),
}
"""Words for why, by what is done. Their texts are in the catalogues as ``reason.WORD``."""


async def read_form(request: Request) -> Mapping[str, str]:
    """Reads a form. Of a repeated field the last value counts. Raises InvalidInput and LimitExceeded."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _TYPE:
        raise InvalidInput("content-type", f"must be {_TYPE}")
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MAX_BYTES:
            raise LimitExceeded("form", _MAX_BYTES, len(body), "bytes")
    try:
        return dict(parse_qsl(body.decode("ascii"), True, max_num_fields=_MAX_FIELDS, errors="strict"))
    except ValueError:  # a UnicodeDecodeError is one, too
        raise InvalidInput("form", f"must be URL-encoded UTF-8 with at most {_MAX_FIELDS} fields") from None


def reason_of(form: Mapping[str, str], done: str, texts: Mapping[str, str]) -> str:
    """The reason for the record: the catalogue's text in the default language, and the person's own words.

    Raises InvalidInput for a word that is not in the catalogue, and for ``other`` without a note.
    """
    word, note = form.get("reason", ""), form.get("note", "").strip()
    if word not in REASONS[done]:
        raise InvalidInput("reason", f"is none of {', '.join(REASONS[done])}")
    if word == "other":
        if not note:
            raise InvalidInput("note", "say why, where no reason of the list fits")
        return note
    return f"{texts[f'reason.{word}']}: {note}" if note else texts[f"reason.{word}"]
