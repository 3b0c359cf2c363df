from __future__ import annotations

import itertools
import json
import re
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.domain import PERMANENT_MS, Block, SubjectKind
from edge.errors import ConfigError, InvalidInput
from edge.notices.catalogue import catalogue, use_messages
from edge.notices.notice import KEYS, block_notice, notice
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
    assert {f"category.{name}" for name in (*Policy().categories, "gunfire", "explosion", "firearm")} <= set(
        messages
    )


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


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Callable[[dict[str, str], dict[str, str]], Path]]:
    def write(en: dict[str, str], ar: dict[str, str]) -> Path:
        for language, messages in (("en", en), ("ar", ar)):
            (tmp_path / f"{language}.json").write_text(json.dumps(messages), encoding="utf-8")
        return tmp_path

    yield write
    use_messages(None)


def test_an_operator_says_which_rule_and_how_to_appeal_in_their_own_words(
    own: Callable[[dict[str, str], dict[str, str]], Path],
) -> None:
    before = notice("cut", until_ms=DATED, category="fight")
    english = {"appeal": "Write to appeals@example.org.", "rule.fight": "4.2 {no} violence"}
    use_messages(own(english, {"appeal": "اكتب إلى الدعم.", "rule.fight": "القاعدة ٤"}))
    said = notice("cut", until_ms=DATED, category="fight")
    assert said.en.endswith("Write to appeals@example.org.")
    assert "Reason: \u2068physical violence\u2069. Rule: \u20684.2 {no} violence\u2069." in said.en
    assert "\u2068القاعدة ٤\u2069" in said.ar
    assert said.ar.endswith("اكتب إلى الدعم.")
    assert balanced(said.en)
    assert balanced(said.ar)
    assert "Rule" not in notice("cut", until_ms=DATED, category="other").en
    use_messages(None)
    assert notice("cut", until_ms=DATED, category="fight") == before


@pytest.mark.parametrize(
    ("en", "ar", "named"),
    [
        ({"appeal": "x"}, {}, "ar.json: 'appeal' is missing, en.json has it"),
        ({"nothing": "x"}, {"nothing": "x"}, "'nothing' is none of"),
        ({"until": "Back on {day}."}, {"until": "x"}, "'until' must use ['date']"),
        ({"until": "{date:>99999999}"}, {"until": "x"}, "'until' must use ['date']"),
        ({"until": "{date.__class__}"}, {"until": "x"}, "'until' must use ['date']"),
        ({"appeal": "{"}, {"appeal": "x"}, "'appeal' must use []"),
        ({"appeal": " "}, {"appeal": "x"}, "'appeal' must be a text of 1 to 1024 characters"),
        ({"appeal": "x" * 1025}, {"appeal": "x"}, "'appeal' must be a text of 1 to 1024 characters"),
        ({"rule.fight": "a\u202eb"}, {"rule.fight": "x"}, "'rule.fight' holds control characters"),
    ],
)
def test_own_words_that_cannot_be_used_are_refused_whole(
    en: dict[str, str],
    ar: dict[str, str],
    named: str,
    own: Callable[[dict[str, str], dict[str, str]], Path],
) -> None:
    before = notice("cut", until_ms=DATED, category="fight")
    with pytest.raises(ConfigError, match=re.escape(named)):
        use_messages(own(en, ar))
    assert notice("cut", until_ms=DATED, category="fight") == before


def test_a_folder_without_them_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=re.escape("en.json: No such file")):
        use_messages(tmp_path)
