"""Reason words: unknown ones stay readable and decide nothing."""

from __future__ import annotations

import json
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.reasons import CloseReason, DegradedReason, EndReason, OpenWord, UnconfirmedReason, VerdictReason

KINDS = (VerdictReason, DegradedReason, CloseReason, EndReason, UnconfirmedReason)


@given(st.sampled_from(KINDS), st.text(max_size=64))
def test_a_word_stays_as_it_is(kind: type[OpenWord], text: str) -> None:
    word = kind(text)
    assert (word, str(word), word.value, json.dumps(word)) == (text, text, text, json.dumps(text))
    assert pickle.loads(pickle.dumps(word)) == word
    assert len({word, text}) == 1, "it counts as the same word"
    listed = [member for member in kind if member is word]
    assert listed == [member for member in kind if member.value == text]


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_word_is_refused(kind: type[OpenWord]) -> None:
    with pytest.raises(ValueError, match="is not a valid"):
        kind(None)  # type: ignore[arg-type]


def test_what_was_not_due_and_audio_are_no_loss_of_video() -> None:
    kept = {
        "gave_way",
        "timestamps",
        "audio_broken",
        "audio_unsupported",
        "audio_too_much",
        "audio_too_large",
        "audio_late",
        "picture_late",
    }
    assert {reason.value for reason in DegradedReason if not reason.is_loss} == kept
    assert DegradedReason("broken_media").is_loss
