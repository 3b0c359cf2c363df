"""AMF0 as publishers send it, and as an attacker would."""

from __future__ import annotations

import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.errors import InvalidInput, LimitExceeded
from edge.ingest import amf

VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.floats(allow_nan=False), st.text(max_size=20)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text(min_size=1, max_size=8), inner, max_size=4)
    ),
    max_leaves=3,
)


@given(st.lists(VALUES, max_size=4))
def test_what_is_encoded_is_decoded(values: list[amf.AmfValue]) -> None:
    assert amf.decode(amf.encode(*values)) == values


@given(st.binary(max_size=300))
def test_random_bytes_give_values_or_a_named_error(payload: bytes) -> None:
    with contextlib.suppress(InvalidInput):
        amf.decode(payload)


def test_the_connect_command_of_an_encoder_with_enhanced_rtmp() -> None:
    properties: dict[str, amf.AmfValue] = {
        "app": "live",
        "fourCcList": ["av01", "vp09", "hvc1"],
        "videoFunction": 1.0,
    }
    assert amf.decode(amf.encode("connect", 1.0, properties)) == ["connect", 1.0, properties]


def test_metadata_comes_as_an_array_with_an_approximate_count() -> None:
    body = struct.pack(">BI", 8, 99) + b"\x00\x05width\x00" + struct.pack(">d", 640) + b"\x00\x00\x09"
    assert amf.decode(amf.encode("onMetaData") + body) == ["onMetaData", {"width": 640.0}]


def test_a_message_in_arabic_survives() -> None:
    assert amf.decode(amf.encode("تم قطع البث")) == ["تم قطع البث"]


@pytest.mark.parametrize(
    "payload",
    [
        b"\x03" + b"\x00\x01a\x03" * 50,
        b"\x05" * 1000,
        struct.pack(">BI", 0x0A, 2**31),
    ],
)
def test_depth_and_count_are_bounded(payload: bytes) -> None:
    with pytest.raises(LimitExceeded):
        amf.decode(payload)


@pytest.mark.parametrize("payload", [b"\x02\x00\x09abc", b"\x00\x01", b"\x03\x00\x01a", b"\x0d", b"\x0b"])
def test_truncated_and_unknown_values_are_named(payload: bytes) -> None:
    with pytest.raises(InvalidInput):
        amf.decode(payload)
