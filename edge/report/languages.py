"""The report's texts in other languages: English texts to theirs, ``catalogues/LANGUAGE.json``."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping
from importlib import resources
from typing import Final

LANGUAGES: Final = ("en", "ar")
_RIGHT_TO_LEFT: Final = frozenset({"ar"})


def translation(language: str) -> Callable[[str], str]:
    """A text without a translation stays in English."""
    texts = _catalogue(language)
    return lambda text: texts.get(text, text)


def direction(language: str) -> str:
    return "rtl" if language in _RIGHT_TO_LEFT else "ltr"


@functools.cache
def _catalogue(language: str) -> Mapping[str, str]:
    if language not in LANGUAGES or language == "en":
        return {}
    file = resources.files("edge.report").joinpath("catalogues", f"{language}.json")
    texts: Mapping[str, str] = json.loads(file.read_text(encoding="utf-8"))
    return texts
