"""The policy of a first start: the model's thresholds, and what an operator's file says otherwise."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.detect import default_model_directory
from edge.detect.default_policy import default_policy, first_policy
from edge.errors import ConfigError
from edge.policy import Mode


def test_without_a_file_the_detector_is_in_shadow() -> None:
    first = first_policy(default_model_directory(), None)
    assert first == default_policy(default_model_directory())
    assert first.mode is Mode.KNOWN_FOOTAGE


def test_a_file_names_the_fields_that_differ(tmp_path: Path) -> None:
    file = tmp_path / "first.json"
    file.write_text('{"mode": "enforce", "categories": {"fight": {"cut_at": 0.95}}}')
    first, usual = first_policy(default_model_directory(), file), default_policy(default_model_directory())
    assert first.mode is Mode.ENFORCE
    assert first.categories["fight"] == usual.categories["fight"].model_copy(update={"cut_at": 0.95})
    assert first.model_copy(update={"mode": usual.mode, "categories": usual.categories}) == usual


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ('{"mode": "sometimes"}', "policy.mode"),
        ("[]", "is no JSON object"),
        ("{", "is no JSON"),
        ("[" * 60_000, "is no JSON"),
    ],
)
def test_a_wrong_file_is_named_with_the_field(tmp_path: Path, text: str, named: str) -> None:
    file = tmp_path / "first.json"
    file.write_text(text)
    with pytest.raises(ConfigError, match=named) as raised:
        first_policy(default_model_directory(), file)
    assert str(file) in str(raised.value)
    assert "first_policy" in str(raised.value)
