"""Every bound names the field and the limit."""

from __future__ import annotations

from pathlib import Path

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.api import bounds
from edge.contract.gen import gate_pb2, gate_pb2_grpc
from edge.errors import InvalidInput, LimitExceeded
from tests.api.test_broken_calls import served


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


@pytest.mark.parametrize("character", ["\ufb2c", "\ufdfa"])
@pytest.mark.parametrize("field", ["name", "broadcaster", "stream_key"])
async def test_no_name_grows_beyond_what_the_ledger_holds(tmp_path: Path, field: str, character: str) -> None:
    """PostgreSQL takes no longer name, and a violation under it would not get on record."""
    given = {"name": "show", "broadcaster": "", "stream_key": ""} | {field: character * 256}
    asked = gate_pb2.AdmitRequest(
        server="s",
        connection="1",
        app="live",
        name=given["name"],
        broadcaster=given["broadcaster"],
        attributes={"stream_key": given["stream_key"]},
    )
    async with served(tmp_path) as (_, address), grpc.aio.insecure_channel(address) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await gate_pb2_grpc.GateStub(channel).Admit(asked)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert field in (caught.value.details() or "")
