"""What the arguments of a publish URL say of a publish."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.domain import Publish
from edge.errors import InvalidInput, LimitExceeded
from edge.hooks.arguments import PublishArguments

ARGUMENTS = PublishArguments("account", ("tenant", "device"))


def publish(query: dict[str, Any], arguments: PublishArguments = ARGUMENTS, user: str = "") -> Publish:
    return arguments.publish(
        query, server="srs", connection="c1", app="live", name="show", address="192.0.2.1", user=user
    )


def test_named_arguments_become_attributes() -> None:
    made = publish({"account": "a1", "key": "sek", "tenant": "kids", "device": "d9", "other": "x"})
    assert made.broadcaster == "a1"
    assert made.attributes == {"stream_key": "sek", "tenant": "kids", "device": "d9"}


@pytest.mark.parametrize(
    ("query", "user", "broadcaster"),
    [
        ({"account": "a1"}, "logged-in", "a1"),
        ({"account": ""}, "logged-in", "logged-in"),
        ({"user": "u1"}, "", "live/show"),
    ],
)
def test_the_broadcaster(query: dict[str, str], user: str, broadcaster: str) -> None:
    assert publish(query, user=user).broadcaster == broadcaster


@given(st.dictionaries(st.sampled_from(["tenant", "device", "user", "key", "stream_key", "x"]), st.just("v")))
def test_nothing_else_becomes_one(query: dict[str, str]) -> None:
    said = {name: query[name] for name in ("tenant", "device") if name in query}
    assert publish(query).attributes == said | ({"stream_key": "v"} if "key" in query else {})


@pytest.mark.parametrize(
    ("value", "error"), [("x" * 513, LimitExceeded), ("a\nb", InvalidInput), (["a"], InvalidInput)]
)
def test_hostile_values_are_refused_by_name(value: Any, error: type[InvalidInput]) -> None:
    with pytest.raises(error) as refused:
        publish({"tenant": value})
    assert refused.value.field == "tenant"
