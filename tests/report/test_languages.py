"""The report in other languages: every text has a translation with the same placeholders."""

from __future__ import annotations

import json
import string
from pathlib import Path

import pytest

from edge.domain import Action
from edge.report.figures import Quantile
from edge.report.html import highlights, render
from edge.report.languages import LANGUAGES, direction, translation
from edge.report.report import Counting, Report
from edge.report.words import NOTES, duration, period, sections

CATALOGUES = Path(__file__).resolve().parents[2] / "edge" / "report" / "catalogues"


def report() -> Report:
    counting = Counting()
    for number in range(20):
        counting.incident(
            {
                "shadow": False,
                "action": Action.CUT.value,
                "category": "fight",
                "reason": "detector",
                "app": "live",
                "state": "overturned",
                "reviewed_ms": 1000 * number,
                "created_ms": 0,
                "cut_confirmed_ms": 100 * number,
                "cut_unconfirmed_ms": None,
            }
        )
    return counting.done(0, 86_400_000, 86_400_000)


def asked() -> set[str]:
    """Every text that a report asks for."""
    found: set[str] = set()

    def t(text: str) -> str:
        found.add(text)
        return text

    made = report()
    sections(made, t)
    highlights(made, t)
    period(made, t)
    for ms in (1, 1_000, 120_000, 7_200_000, 172_800_000):
        duration(ms, t)
    return found | set(NOTES)


def _fields(text: str) -> set[str | None]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


@pytest.mark.parametrize("language", [each for each in LANGUAGES if each != "en"])
def test_each_text_is_translated_with_its_placeholders(language: str) -> None:
    texts = json.loads((CATALOGUES / f"{language}.json").read_text("utf-8"))
    assert asked() - texts.keys() == set()
    assert [text for text, other in texts.items() if _fields(text) != _fields(other)] == []
    assert direction(language) == "rtl"


def test_the_file_has_its_language_and_direction() -> None:
    english, arabic = render(report()), render(report(), "ar")
    assert '<html lang="en" dir="ltr">' in english
    assert '<html lang="ar" dir="rtl">' in arabic
    assert "قطع نُقض: 20" in arabic
    assert "cuts overturned" not in arabic
    assert "cuts overturned: 20" in english
    assert translation("nothing")("flags") == "flags"
    assert isinstance(report().cuts.time_to_cut.p50, Quantile)
