"""The console's texts: one catalogue file a language, ``catalogues/LANGUAGE.json``.

All files have the same keys and the same ``{placeholders}``. ``language.name`` and ``language.direction``
(``ltr`` or ``rtl``) describe the language itself, so that another language is one more file.
"""

from __future__ import annotations

import datetime
import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Final

from markupsafe import Markup, escape

from edge.domain import PERMANENT_MS
from edge.printable import printable

DEFAULT: Final = "en"


@dataclass(frozen=True, slots=True)
class Words:
    """The texts of one language."""

    language: str
    texts: Mapping[str, str]

    @property
    def direction(self) -> str:
        return self.texts["language.direction"]

    def __call__(self, key: str, **values: object) -> Markup:
        """The text with its placeholders filled. Values other than Markup are escaped and isolated."""
        text = Markup(escape(self.texts[key]))
        return text.format(**{name: isolated(value) for name, value in values.items()}) if values else text

    def named(self, kind: str, word: object) -> Markup:
        """The text of a word of the gate, such as a category. A word without a text is shown as it is."""
        text = self.texts.get(f"{kind}.{word}")
        return isolated(word) if text is None else Markup(escape(text))


def isolated(value: object) -> Markup:
    """Text that somebody else wrote: escaped, and isolated, so that it reorders nothing around it."""
    return value if isinstance(value, Markup) else Markup("<bdi>{}</bdi>").format(printable(value))


def iso(wall_ms: int) -> str:
    """A wall time as browsers read it."""
    said = datetime.datetime.fromtimestamp(min(wall_ms, PERMANENT_MS) / 1000, datetime.UTC)
    return said.isoformat(timespec="seconds").replace("+00:00", "Z")


@functools.cache
def languages() -> Mapping[str, Words]:
    """Every language that has a catalogue, the default one first."""
    folder = resources.files("edge.console").joinpath("catalogues")
    found = {
        file.name.removesuffix(".json"): json.loads(file.read_text(encoding="utf-8"))
        for file in folder.iterdir()
        if file.name.endswith(".json")
    }
    order = sorted(found, key=lambda language: (language != DEFAULT, language))
    return {language: Words(language, found[language]) for language in order}


def preferred(accepted: str) -> str:
    """The language of an ``Accept-Language`` value that has a catalogue, or the default."""
    weighed: list[tuple[float, str]] = []
    for part in accepted[:256].split(","):
        tag, _, quality = part.strip().partition(";q=")
        try:
            weight = float(quality or 1)
        except ValueError:
            continue
        language = tag.strip().lower().partition("-")[0]
        if language in languages() and 0 < weight <= 1:
            weighed.append((-weight, language))
    return min(weighed, default=(0.0, DEFAULT), key=lambda one: one[0])[1]
