"""Parses fields of hash lists from text and JSON. InvalidInput names the wrong field."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any

from edge.errors import InvalidInput
from edge.match.entry import AudioPrint, Entry, EntryKind, Footage, HashRun, Variant
from edge.match.pdq.hasher import parse_hex


def parse_footage(document: Mapping[str, Any]) -> Footage:
    hashes = document.get("hashes")
    sound = parse_audio_print(document.get("sound"))
    if not isinstance(hashes, list) or not (hashes or sound):
        raise InvalidInput("hashes", "wants a list of [hash, start_ms, span_ms, quality, variant]")
    runs = []
    for fields in hashes:
        if not isinstance(fields, list) or len(fields) != 5:
            raise InvalidInput("hashes", "wants a list of [hash, start_ms, span_ms, quality, variant]")
        digits, start, span, quality, variant = fields
        runs.append(
            HashRun(
                parse_hex(str(digits)),
                integer("start_ms", start),
                integer("span_ms", span),
                integer("quality", quality),
                variant_of(str(variant)),
            )
        )
    entry = Entry(
        text_of(document, "id"),
        kind_of(text_of(document, "kind", "image")),
        label=text_of(document, "label", ""),
        source=text_of(document, "source", ""),
        note=text_of(document, "note", ""),
        duration_ms=integer("duration_ms", document.get("duration_ms", 0)),
        added_ms=integer("added_ms", document.get("added_ms", 0)),
    )
    return Footage(entry, tuple(runs), sound)


def parse_audio_print(value: Any) -> AudioPrint | None:
    """Parses ``{"start_ms": …, "items": base64 of uint32}``. Returns None for None."""
    if value is None:
        return None
    if not isinstance(value, dict):
        raise InvalidInput("sound", "wants an object with start_ms and items")
    try:
        items = base64.b64decode(text_of(value, "items"), validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidInput("sound.items", f"is not base64: {error}") from None
    return AudioPrint(items, integer("sound.start_ms", value.get("start_ms", 0)))


def parse_json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidInput("JSON", str(error)) from None


def text_of(document: Mapping[str, Any], name: str, default: str | None = None) -> str:
    value = document.get(name, default)
    if not isinstance(value, str):
        raise InvalidInput(name, f"wants text, got {value!r:.80}")
    return value


def integer(name: str, value: Any) -> int:
    try:
        if isinstance(value, bool):
            raise ValueError
        given = float(value) if isinstance(value, str) and "." in value else value
        number = int(given)
        if isinstance(given, float) and given != number:
            raise ValueError
    except (TypeError, ValueError, OverflowError):  # JSON's 1e999 is infinite
        raise InvalidInput(name, f"wants a whole number, got {value!r:.80}") from None
    if not 0 <= number < 2**53:
        raise InvalidInput(name, f"{number} is out of range")
    return number


def quality_of(text: str) -> int:
    """Parses a quality. Some tools write it with a decimal point, or a comma; it is rounded down."""
    try:
        quality = float(text.replace(",", "."))
        whole = int(quality)
    except (ValueError, OverflowError):
        raise InvalidInput("quality", f"wants a whole number, got {text!r:.80}") from None
    if 0 < quality < 1:
        raise InvalidInput("quality", f"wants 0 to 100, got {text!r:.80}: multiply such a list's by 100")
    return whole


def milliseconds(text: str) -> int:
    try:
        seconds = float(text.replace(",", "."))
    except ValueError:
        raise InvalidInput("seconds", f"wants a number, got {text!r:.80}") from None
    if not 0 <= seconds < 2**32:
        raise InvalidInput("seconds", f"{text[:80]} is out of range")
    return round(seconds * 1000)


def variant_of(word: str) -> Variant:
    try:
        return Variant[word.upper()]
    except KeyError:
        raise InvalidInput("variant", f"{word[:80]!r} is no known variant") from None


def kind_of(word: str) -> EntryKind:
    try:
        return EntryKind(word.lower())
    except ValueError:
        raise InvalidInput("kind", f"{word[:80]!r} is not video, image or sound") from None
