"""What a broadcaster is told, in English and Arabic, from the catalogue under ``messages/``.

One JSON file a language, every file with the same keys and the same ``{placeholders}``. An operator's own
files go before it, key by key: how to appeal here, the rule that a category breaks. Dates, categories and
rules stand in Unicode isolates (UAX #9), so that they cannot reorder the text around them in a
right-to-left paragraph.
"""

from __future__ import annotations

import functools
import itertools
import json
import string
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path

from edge.domain import PERMANENT_MS, Block
from edge.errors import ConfigError, InvalidInput

KEYS = ("blocked", "cut", "capacity", "ledger_down", "draining")
_WITH_APPEAL = frozenset({"blocked", "cut"})
_MAX_CATEGORY = 64
_MAX_RULE = 256
_MAX_TEXT = 1024
_MAX_FILE_BYTES = 64 * 1024
_REORDERING = frozenset(map(chr, (*range(0x202A, 0x202F), *range(0x2066, 0x206A))))
"""Embeddings, overrides and isolates: one that is left open reorders all that follows."""
_LANGUAGES = ("en", "ar")
_NAMED = ("category.", "rule.")
"""Keys of which an operator may add any: what a category is called, and which rule it breaks."""
_MINUTE_MS = 60_000
_LRI, _FSI, _PDI = "\u2066", "\u2068", "\u2069"


@dataclass(frozen=True, slots=True)
class Notice:
    """One message in both languages."""

    en: str
    ar: str


def notice(
    key: str,
    *,
    until_ms: int | None = None,
    category: str | None = None,
    review_by_ms: int | None = None,
) -> Notice:
    """The message for a broadcaster: what happened, why, when live access returns, how to appeal.

    ``until_ms``: wall milliseconds; PERMANENT_MS or more reads "permanently", None or 0 says nothing.
    ``category``: its name in the catalogue (``category.NAME``), or as it stands when it has none.
    ``review_by_ms``: set for a provisional block: until then a person may still change it.
    Raises InvalidInput for a key that is not one of KEYS.
    """
    if key not in KEYS:
        raise InvalidInput("notice", f"{key[:64]!r} is not one of {', '.join(KEYS)}")
    return Notice(
        en=_say(catalogue("en"), key, until_ms or 0, category or "", review_by_ms or 0),
        ar=_say(catalogue("ar"), key, until_ms or 0, category or "", review_by_ms or 0),
    )


def block_notice(key: str, block: Block | None, wall_ms: int, *, category: str | None = None) -> Notice:
    """The same for what a block does; ``category`` stands in where there is no block."""
    if block is None:
        return notice(key, category=category)
    return notice(
        key,
        until_ms=block.until_ms,
        category=block.category or category,
        review_by_ms=block.review_by_ms if block.provisional_at(wall_ms) else None,
    )


def _say(messages: Mapping[str, str], key: str, until_ms: int, category: str, review_by_ms: int) -> str:
    # A stream can be stopped without a block (the gate cannot watch it): nothing was withdrawn then.
    opening = "stopped" if key == "cut" and not until_ms else key
    sentences = [messages[opening]]
    if key in _WITH_APPEAL:
        if category:
            name = messages.get(f"category.{category}", category)
            sentences.append(messages["reason"].format(category=_isolated(name, _MAX_CATEGORY)))
            if rule := messages.get(f"rule.{category}"):
                sentences.append(messages["rule"].format(rule=_isolated(rule, _MAX_RULE)))
        if until_ms:
            sentences += _how_long(messages, until_ms, review_by_ms)
        sentences.append(messages["appeal"])
    return " ".join(sentences)


def _how_long(messages: Mapping[str, str], until_ms: int, review_by_ms: int) -> list[str]:
    date = "" if until_ms >= PERMANENT_MS else f"{_LRI}{_utc(until_ms)}{_PDI}"
    if review_by_ms and until_ms <= review_by_ms and date:
        return [messages["provisional_until"].format(date=date)]
    end = messages["until"].format(date=date) if date else messages["permanent"]
    return [messages["provisional"], end] if review_by_ms else [end]


def _utc(wall_ms: int) -> str:
    """Rounded up to the minute: nobody is told a moment at which the block still holds."""
    whole = min(-(-wall_ms // _MINUTE_MS) * _MINUTE_MS, PERMANENT_MS)
    return datetime.fromtimestamp(whole / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _isolated(text: str, limit: int) -> str:
    """In an isolate, without control and bidirectional format characters, which could break out of it."""
    return f"{_FSI}{''.join(c for c in text[:limit] if unicodedata.category(c)[0] != 'C')}{_PDI}"


def own_messages(directory: Path) -> dict[str, Mapping[str, str]]:
    """By language, an operator's own words: ``en.json`` and ``ar.json`` of a folder.

    Both have the same keys: some of the catalogue's, with its placeholders, ``category.NAME`` and
    ``rule.NAME``. Raises ConfigError.
    """
    own = {language: _own(directory / f"{language}.json") for language in _LANGUAGES}
    for language, other in itertools.permutations(_LANGUAGES, 2):
        if missing := sorted(set(own[other]) - set(own[language])):
            raise ConfigError(f"{directory}/{language}.json: {missing[0]!r} is missing, {other}.json has it")
    return own


def use_messages(directory: Path | None) -> None:
    """From now on this process puts an operator's words before the catalogue; None: the catalogue alone.

    Raises ConfigError, and then nothing has changed.
    """
    own = {} if directory is None else own_messages(directory)
    _operators.clear()
    _operators.update(own)
    catalogue.cache_clear()


_operators: dict[str, Mapping[str, str]] = {}
"""By language."""


def _own(path: Path) -> Mapping[str, str]:
    try:
        text = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}") from None
    if len(text) > _MAX_FILE_BYTES:
        raise ConfigError(f"{path}: {len(text)} bytes is over the limit of {_MAX_FILE_BYTES} bytes")
    try:
        messages = json.loads(text)
    except (ValueError, RecursionError):
        raise ConfigError(f"{path}: is not JSON in UTF-8") from None
    if not isinstance(messages, dict):
        raise ConfigError(f"{path}: must be an object of texts")
    shipped = _read("en")
    for key, value in messages.items():
        if not isinstance(value, str) or not value.strip() or len(value) > _MAX_TEXT:
            raise ConfigError(f"{path}: {key!r} must be a text of 1 to {_MAX_TEXT} characters")
        if any(c in _REORDERING or unicodedata.category(c) == "Cc" for c in value):
            raise ConfigError(f"{path}: {key!r} holds control characters, or such that reorder text")
        if key not in shipped and not key.startswith(_NAMED):
            raise ConfigError(f"{path}: {key!r} is none of {', '.join(shipped)}, category.NAME, rule.NAME")
        if not key.startswith(_NAMED) and _fields(value) != _fields(shipped[key]):
            raise ConfigError(f"{path}: {key!r} must use {_fields(shipped[key])}, and no other braces")
    return messages


@functools.cache
def catalogue(language: str) -> Mapping[str, str]:
    """All messages of a language. Raises ConfigError when its file is not as the English one."""
    return {**_shipped(language), **_operators.get(language, {})}


def _shipped(language: str) -> Mapping[str, str]:
    messages = _read(language)
    expected = messages if language == "en" else _shipped("en")
    for key, text in expected.items():
        if key not in messages:
            raise ConfigError(f"messages/{language}.json: {key!r} is missing")
        if _placeholders(messages[key]) != _placeholders(text):
            raise ConfigError(f"messages/{language}.json: {key!r} must use {_placeholders(text)}")
    return messages


def _read(language: str) -> Mapping[str, str]:
    source = resources.files("edge.enforce").joinpath("messages", f"{language}.json")
    messages: dict[str, str] = json.loads(source.read_text(encoding="utf-8"))
    return messages


def _fields(text: str) -> list[str]:
    """Every replacement as it is written, in alphabetical order."""
    try:
        parsed = list(string.Formatter().parse(text))
    except ValueError:
        return ["{"]
    return sorted(
        {
            f"{n}{':' if spec else ''}{spec or ''}{'!' if c else ''}{c or ''}"
            for _, n, spec, c in parsed
            if n is not None
        }
    )


def _placeholders(text: str) -> list[str]:
    return sorted({name for _, name, _, _ in string.Formatter().parse(text) if name})
