from __future__ import annotations

import itertools
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.domain import PERMANENT_MS, Block, SubjectKind
from edge.enforce import block_notice, notice
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


def test_a_provisional_block_says_what_ends_it() -> None:
    said = notice("cut", until_ms=DATED, category="fight", review_by_ms=DATED)
    assert "holds until a person has reviewed it, at the latest until \u20662027-01-15 08:00 UTC" in said.en
    assert "Live access returns" not in said.en
    assert "مؤقت" in said.ar
    assert "\u20662027-01-15 08:00 UTC\u2069" in said.ar


@pytest.mark.parametrize("until_ms", [DATED, PERMANENT_MS])
def test_a_provisional_block_that_stands_says_that_a_person_will_look(until_ms: int) -> None:
    said = notice("blocked", until_ms=until_ms, review_by_ms=DATED - 1)
    assert "provisional" in said.en
    assert ("permanently" in said.en) == (until_ms == PERMANENT_MS)
    assert catalogue("ar")["provisional"] in said.ar


def test_what_a_block_says_depends_on_the_time() -> None:
    block = Block(
        "bl1", SubjectKind.BROADCASTER, "anna", "", "detector", "fight", 0, DATED, "in1", "gate",
        provisional=True, full_until_ms=DATED, review_by_ms=DATED - MINUTE_MS,
    )  # fmt: skip
    assert "provisional" in block_notice("blocked", block, 0).en
    assert "provisional" not in block_notice("blocked", block, DATED - MINUTE_MS).en
    assert "physical violence" in block_notice("blocked", block, 0).en
    assert block_notice("cut", None, 0, category="fight") == notice("cut", category="fight")


def test_an_unknown_key_is_named() -> None:
    with pytest.raises(InvalidInput, match="notice: 'nonsense'"):
        notice("nonsense")


times = st.integers(0, 2 * PERMANENT_MS)


@given(st.sampled_from(KEYS), times, st.text(max_size=200), times)
def test_nothing_breaks_out_of_its_isolate(key: str, until_ms: int, category: str, review_by_ms: int) -> None:
    said = notice(key, until_ms=until_ms, category=category, review_by_ms=review_by_ms)
    for text in (said.en, said.ar):
        assert balanced(text)
        assert all(c in ISOLATES | {PDI} or unicodedata.category(c)[0] != "C" for c in text)
