from __future__ import annotations

import itertools
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.domain import PERMANENT_MS
from edge.enforce import notice
from edge.enforce.notices import KEYS, catalogue
from edge.errors import InvalidInput
from edge.policy import Policy

ISOLATES = {"\u2066", "\u2067", "\u2068"}
PDI = "\u2069"
MINUTE_MS = 60_000
DATED = 1_800_000_000_000  # 2027-01-15 08:00:00 UTC


def balanced(text: str) -> bool:
    depth = 0
    for character in text:
        depth += (character in ISOLATES) - (character == PDI)
        if depth < 0:
            return False
    return depth == 0


@pytest.mark.parametrize("language", ["en", "ar"])
def test_every_key_and_category_of_the_default_policy_has_a_text(language: str) -> None:
    messages = catalogue(language)
    assert set(messages) == set(catalogue("en"))
    assert {f"category.{name}" for name in Policy().categories} <= set(messages)


@pytest.mark.parametrize("key", KEYS)
def test_both_languages_speak_their_own_script(key: str) -> None:
    said = notice(key, until_ms=DATED, category="fight")
    assert said.en.isascii() or set(said.en) - set(map(chr, range(128))) <= ISOLATES | {PDI}
    arabic = [c for c in said.ar if unicodedata.bidirectional(c) == "AL"]
    assert len(arabic) > len(said.ar) / 2
    assert "{" not in said.en + said.ar


@pytest.mark.parametrize("key", ["blocked", "cut"])
def test_reason_return_and_appeal(key: str) -> None:
    said = notice(key, until_ms=DATED, category="fight")
    assert "\u2068physical violence\u2069" in said.en
    assert "\u20662027-01-15 08:00 UTC\u2069" in said.en
    assert "\u20662027-01-15 08:00 UTC\u2069" in said.ar
    assert "appeal" in said.en
    assert catalogue("ar")["appeal"] in said.ar


def test_the_date_is_never_before_the_block_ends() -> None:
    assert "08:01 UTC" in notice("blocked", until_ms=DATED + 1).en


@pytest.mark.parametrize("until_ms", [PERMANENT_MS, PERMANENT_MS + 1, 10**18])
def test_permanent(until_ms: int) -> None:
    said = notice("blocked", until_ms=until_ms)
    assert "permanently" in said.en
    assert catalogue("ar")["permanent"] in said.ar
    assert "UTC" not in said.en + said.ar


@pytest.mark.parametrize(("key", "until_ms"), list(itertools.product(KEYS, [None, 0])))
def test_without_a_block_no_date_and_no_word_of_one(key: str, until_ms: int | None) -> None:
    said = notice(key, until_ms=until_ms)
    assert "UTC" not in said.en + said.ar
    assert "permanently" not in said.en


def test_a_stop_without_a_block_does_not_claim_one() -> None:
    assert "withdrawn" not in notice("cut", until_ms=0, category="").en
    assert "withdrawn" in notice("cut", until_ms=DATED, category="").en


def test_an_unknown_key_is_named() -> None:
    with pytest.raises(InvalidInput, match="notice: 'nonsense'"):
        notice("nonsense")


@given(st.sampled_from(KEYS), st.integers(0, 2 * PERMANENT_MS), st.text(max_size=200))
def test_nothing_breaks_out_of_its_isolate(key: str, until_ms: int, category: str) -> None:
    said = notice(key, until_ms=until_ms, category=category)
    for text in (said.en, said.ar):
        assert balanced(text)
        assert all(c in ISOLATES | {PDI} or unicodedata.category(c)[0] != "C" for c in text)
