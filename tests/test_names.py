"""Allowed characters of names, and when two names are the same account."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from precis_i18n import get_profile

from edge.errors import InvalidInput, LimitExceeded
from edge.names import check_name, compared, normal_text, stored_name

SAME = ("victim.", "victim/", "victim./", "ｖｉｃｔｉｍ", "victim\u00a0", "victim\u3000", "𝐯𝐢𝐜𝐭𝐢𝐦", " victim")
UNSEEN = {
    "zero-width space": "vic\u200btim",
    "zero-width non-joiner": "vic\u200ctim",
    "zero-width joiner": "victim\u200d",
    "word joiner": "victim\u2060",
    "byte order mark": "\ufeffvictim",
    "soft hyphen": "vic\u00adtim",
    "right-to-left mark": "victim\u200f",
    "right-to-left override": "\u202emitciv",
    "isolate": "vic\u2066tim",
    "tag": "victim\U000e0061",
    "variation selector": "victim\ufe0f",
    "combining grapheme joiner": "vic\u034ftim",
    "Hangul filler": "victim\u3164",
    "Braille blank": "victim\u2800",
    "Mongolian vowel separator": "vic\u180etim",
    "control": "vic\x07tim",
    "line separator": "victim\u2028x",
    "private": "victim\ue000",
    "surrogate": "victim\ud800",
    "noncharacter": "victim\ufdd0",
}


@pytest.mark.parametrize("name", SAME)
def test_names_that_are_the_same_account(name: str) -> None:
    assert compared(check_name("user", name).strip()) == "victim"


@pytest.mark.parametrize("name", UNSEEN.values(), ids=UNSEEN)
def test_no_account_has_what_cannot_be_seen(name: str) -> None:
    with pytest.raises(InvalidInput, match=r"user: U\+[0-9A-F]{4,6} at position \d+ .*cannot be seen"):
        check_name("user", name)


@pytest.mark.parametrize(
    "name",
    [
        "anna",
        "live/show",
        "two words",
        "a.b-c_d~e",
        "łódź",
        "محمد",
        "نامه\u200cها",
        "क्\u200dष",
        "🎮player",
        "محمد1",
        "דוד a",
        "名前",
    ],
)
def test_names_that_platforms_have_stay_as_they_are(name: str) -> None:
    assert check_name("user", name) == name
    assert compared(name) == unicodedata.normalize("NFC", name)


def test_case_tells_accounts_apart_unless_it_is_mapped() -> None:
    assert compared("Victim") != compared("victim")
    for upper, lower in (
        ("Victim", "victim"),
        ("Two Words", "two words"),
        ("ÉVA", "éva"),
        ("ＶＩＣＴＩＭ", "victim"),
    ):
        assert compared(upper, case_mapped=True) == compared(lower, case_mapped=True) == lower


def test_a_name_of_ends_alone_keeps_them() -> None:
    assert compared("...") == "..."
    assert compared("/") != compared(".")


@given(st.text(max_size=40), st.booleans())
def test_the_compared_form_is_stable(name: str, case_mapped: bool) -> None:
    name = normal_text(name)
    form = compared(name, case_mapped=case_mapped)
    assert compared(form, case_mapped=case_mapped) == form
    assert compared(compared(name), case_mapped=True) == compared(name, case_mapped=True)


@given(st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=40))
def test_ascii_takes_a_short_way_to_the_form_of_the_profile(name: str) -> None:
    for profile, case_mapped in (("UsernameCasePreserved", False), ("UsernameCaseMapped", True)):
        form = get_profile(profile).enforce(name)
        assert compared(name, case_mapped=case_mapped) == (form.rstrip("./") or form)


LONGER = ("\ufb2c", "\ufdfa", "\U0001d160")
"""Composed (NFC) or compared (NFKC), each is several characters."""


@given(st.lists(st.sampled_from([*LONGER, "a", "\u00e9", "e\u0301"]), min_size=1, max_size=40).map("".join))
def test_no_form_of_a_name_is_longer_than_its_limit(name: str) -> None:
    longest = max(len(normal_text(name)), len(compared(normal_text(name))))
    if longest > 20:
        with pytest.raises(LimitExceeded, match=f"broadcaster: {longest} characters"):
            stored_name("broadcaster", name, 20)
    else:
        assert stored_name("broadcaster", name, 20) == normal_text(name)
