"""Forms that browsers send: bounded and parsed. Reasons: a catalogue, so that they can be counted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl

from starlette.requests import Request

from edge.errors import InvalidInput, LimitExceeded

_TYPE: Final = "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True)
class FormBounds:
    """The largest form that is read."""

    max_bytes: int = 16 * 1024
    max_fields: int = 64


FORM: Final = FormBounds()
LARGE_FORM: Final = FormBounds(max_bytes=256 * 1024, max_fields=900)
"""A whole policy: 64 KiB, of which each byte may be sent as three, or all of its fields."""

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
    "bank_off": ("false_match", "copyright", "mistake", "other"),
    "bank_on": ("checked", "mistake", "other"),
    "crisis": ("attack", "other"),
    "crisis_end": ("over", "mistake", "other"),
    "policy": ("too_much", "too_little", "attack", "rules", "mistake", "other"),
}
"""Words for why, by what is done. Their texts are in the catalogues as ``reason.WORD``."""


async def read_form(request: Request, most: FormBounds = FORM) -> Mapping[str, str]:
    """Reads a form. Of a repeated field the last value counts. Raises InvalidInput and LimitExceeded."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _TYPE:
        raise InvalidInput("content-type", f"must be {_TYPE}")
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > most.max_bytes:
            raise LimitExceeded("form", most.max_bytes, len(body), "bytes")
    try:
        return dict(parse_qsl(body.decode("ascii"), True, max_num_fields=most.max_fields, errors="strict"))
    except ValueError:  # a UnicodeDecodeError is one, too
        raise InvalidInput(
            "form", f"must be URL-encoded UTF-8 with at most {most.max_fields} fields"
        ) from None


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
