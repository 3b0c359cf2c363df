"""The texts of notices: the catalogue under ``messages/``, with an operator's own texts in front.

Each language has one JSON file. All files have the same keys and the same ``{placeholders}``.
"""

from __future__ import annotations

import functools
import itertools
import json
import string
import unicodedata
from collections.abc import Mapping
from importlib import resources
from pathlib import Path

from edge.errors import ConfigError
from edge.settings_file import read_settings_file

_MAX_TEXT = 1024
_MAX_FILE_BYTES = 64 * 1024
_REORDERING = frozenset(map(chr, (*range(0x202A, 0x202F), *range(0x2066, 0x206A))))
"""Bidirectional embeddings, overrides and isolates. An unclosed one reorders all text that follows."""
_LANGUAGES = ("en", "ar")
_NAMED = ("category.", "rule.")
"""Prefixes of keys that an operator may add freely: names of categories, and the rules they break."""


def own_messages(directory: Path) -> dict[str, Mapping[str, str]]:
    """Reads an operator's own texts, ``en.json`` and ``ar.json`` of a folder, by language.

    Both files must have the same keys. Allowed are the catalogue's keys with its placeholders,
    ``category.NAME`` and ``rule.NAME``. Raises ConfigError.
    """
    own = {language: _own(directory / f"{language}.json") for language in _LANGUAGES}
    for language, other in itertools.permutations(_LANGUAGES, 2):
        if missing := sorted(set(own[other]) - set(own[language])):
            raise ConfigError(f"{directory}/{language}.json: {missing[0]!r} is missing, {other}.json has it")
    return own


def use_messages(directory: Path | None) -> None:
    """Puts an operator's texts before the catalogue, for this process. None restores the catalogue alone.

    Changes nothing if it raises ConfigError.
    """
    own = {} if directory is None else own_messages(directory)
    _operators.clear()
    _operators.update(own)
    catalogue.cache_clear()


_operators: dict[str, Mapping[str, str]] = {}
"""The operator's texts by language."""


def _own(path: Path) -> Mapping[str, str]:
    try:
        messages = json.loads(read_settings_file(path, _MAX_FILE_BYTES))
    except (ValueError, RecursionError):
        raise ConfigError(f"{path}: is not JSON in UTF-8") from None
    if not isinstance(messages, dict):
        raise ConfigError(f"{path}: must be an object of texts")
    shipped = _read("en")
    for key, value in messages.items():
        if not isinstance(value, str) or not value.strip() or len(value) > _MAX_TEXT:
            raise ConfigError(f"{path}: {key!r} must be a text of 1 to {_MAX_TEXT} characters")
        if any(c in _REORDERING or unicodedata.category(c) in ("Cc", "Cs") for c in value):
            raise ConfigError(
                f"{path}: {key!r} holds control characters, half a character, or such that reorder text"
            )
        if key not in shipped and not key.startswith(_NAMED):
            raise ConfigError(f"{path}: {key!r} is none of {', '.join(shipped)}, category.NAME, rule.NAME")
        if not key.startswith(_NAMED) and _fields(value) != _fields(shipped[key]):
            raise ConfigError(f"{path}: {key!r} must use {_fields(shipped[key])}, and no other braces")
    return messages


@functools.cache
def catalogue(language: str) -> Mapping[str, str]:
    """All texts of a language. Raises ConfigError if its file does not match the English one."""
    return {**_shipped(language), **_operators.get(language, {})}


def _shipped(language: str) -> Mapping[str, str]:
    messages = _read(language)
    expected = messages if language == "en" else _shipped("en")
    for key, text in expected.items():
        if key not in messages:
            raise ConfigError(f"messages/{language}.json: {key!r} is missing")
        if _fields(messages[key]) != _fields(text):
            raise ConfigError(f"messages/{language}.json: {key!r} must use {_fields(text)}")
    return messages


def _read(language: str) -> Mapping[str, str]:
    source = resources.files("edge.notices").joinpath("messages", f"{language}.json")
    messages: dict[str, str] = json.loads(source.read_text(encoding="utf-8"))
    return messages


def _fields(text: str) -> list[str]:
    """Every placeholder as written, sorted."""
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
