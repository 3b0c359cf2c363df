"""The catalogues: the same keys and placeholders in each, and every text that a page asks for."""

from __future__ import annotations

import re
import string
from pathlib import Path

import pytest

from edge.console.forms import REASONS
from edge.console.words import Words, isolated, languages, preferred
from edge.domain import IncidentState, ModelKind, SignalSource, SubjectKind, Tier
from edge.policy import Policy
from edge.reasons import VerdictReason

ROOM = Path(__file__).resolve().parents[2] / "edge" / "console"
SOURCES = [path.read_text("utf-8") for suffix in ("*.html", "*.py") for path in sorted(ROOM.rglob(suffix))]
WHOLE = {key for text in SOURCES for key in re.findall(r"""["']([a-z_]+(?:\.[\w]+)*)["']""", text)}
BEGUN = {
    prefix
    for text in SOURCES
    for prefix in re.findall(r"""t\(["']([\w.]+\.)["'] ~""", text)
    + [f"{kind}." for kind in re.findall(r"""t\.named\(["'](\w+)["']""", text)]
    + re.findall(r"""done\(f?["']([\w.]+\.)\{""", text)
    + re.findall(r"""done\(f?["'](done\.block_)\{""", text)
}


def _fields(text: str) -> list[str]:
    return sorted({name for _, name, _, _ in string.Formatter().parse(text) if name is not None})


@pytest.mark.parametrize("words", languages().values(), ids=languages())
def test_each_language_has_every_text_with_its_placeholders(words: Words) -> None:
    english = languages()["en"].texts
    assert words.texts.keys() == english.keys()
    assert {key for key in english if _fields(words.texts[key]) != _fields(english[key])} == set()
    assert words.direction in ("ltr", "rtl")
    assert [key for key, text in words.texts.items() if not text.strip()] == []


def test_every_text_that_a_page_asks_for_is_there_and_no_other() -> None:
    asked = {key for text in SOURCES for key in re.findall(r"""\bt\(\s*["']([\w.]+[\w])["']""", text)}
    known = languages()["en"].texts.keys()
    assert asked - known == set()
    assert len(asked) > 100
    for prefix in BEGUN:
        assert any(key.startswith(prefix) for key in known), prefix
    unused = {key for key in known if key not in WHOLE and not key.startswith(tuple(BEGUN))}
    assert unused == set()


@pytest.mark.parametrize("words", languages().values(), ids=languages())
def test_every_word_of_the_gate_has_a_text(words: Words) -> None:
    for kind, values in (
        ("because", [each for each in VerdictReason if each is not VerdictReason.NONE]),
        ("state", IncidentState),
        ("source", SignalSource),
        ("kind", ModelKind),
        ("subject", SubjectKind),
        ("tier", Tier),
        ("reason", {word for known in REASONS.values() for word in known}),
        ("category", Policy().categories),
    ):
        assert [each for each in values if f"{kind}.{each}" not in words.texts] == []


def test_what_others_wrote_is_escaped_and_isolated() -> None:
    words = languages()["en"]
    assert words("then.strike", broadcaster="<b>\u202e") == r"<bdi>&lt;b&gt;\u202e</bdi> gets a strike."
    assert words("then.strike", broadcaster="{0.__class__}") == "<bdi>{0.__class__}</bdi> gets a strike."
    assert words.named("category", "<i>") == "<bdi>&lt;i&gt;</bdi>"
    assert isolated("a") == "<bdi>a</bdi>"


@pytest.mark.parametrize(
    ("accepted", "language"),
    [
        ("", "en"),
        ("ar", "ar"),
        ("fr, ar-EG;q=0.8, en;q=0.5", "ar"),
        ("ar;q=0.2,en", "en"),
        ("ar;q=x, ar;q=0", "en"),
    ],
)
def test_the_language_is_the_browser_s(accepted: str, language: str) -> None:
    assert preferred(accepted) == language
