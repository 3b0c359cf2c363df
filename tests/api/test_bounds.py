"""Every bound names the field and the limit."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.api import bounds
from edge.errors import InvalidInput, LimitExceeded


@given(st.text(max_size=12))
def test_text_passes_whole_or_not_at_all(value: str) -> None:
    if len(value) > 8:
        with pytest.raises(LimitExceeded, match=r"name: .* 8 characters"):
            bounds.text("name", value, 8)
    elif any(ord(c) < 32 or 127 <= ord(c) < 160 for c in value):
        with pytest.raises(InvalidInput, match="name: control character"):
            bounds.text("name", value, 8)
    else:
        assert bounds.text("name", value, 8) == value


def test_required_text() -> None:
    with pytest.raises(InvalidInput, match="app: must not be empty"):
        bounds.text("app", "", 8, required=True)


def test_attributes_are_counted_and_bounded() -> None:
    assert bounds.attributes("attributes", {"a": "b"}, 32, 512) == {"a": "b"}
    with pytest.raises(LimitExceeded, match="32 entries"):
        bounds.attributes("attributes", {str(n): "" for n in range(33)}, 32, 512)
    with pytest.raises(LimitExceeded, match=r"attributes\[key\]"):
        bounds.attributes("attributes", {"key": "x" * 513}, 32, 512)
