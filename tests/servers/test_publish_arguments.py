"""How the arguments of a publish URL become a publish."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.domain import UNPROVEN_ATTRIBUTE, Publish
from edge.errors import InvalidInput, LimitExceeded
from edge.servers.hook_body import parse_query
from edge.servers.publish_arguments import PublishArguments
from edge.servers.settings import ServerSection

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
        ({"account": "a1"}, "", "a1"),
        ({"account": "a1"}, "a1", "a1"),
        ({"account": ""}, "logged-in", "logged-in"),
        ({"account": " u\u0308 "}, "", "\u00fc"),
        ({"account": " "}, "", "live/show"),
        ({"user": "u1"}, "", "live/show"),
    ],
)
def test_the_broadcaster(query: dict[str, str], user: str, broadcaster: str) -> None:
    assert publish(query, user=user).broadcaster == broadcaster


def test_whom_the_login_names_is_not_renamed_by_an_argument() -> None:
    with pytest.raises(InvalidInput, match="user: must name whom the login names"):
        publish({"user": "innocent"}, PublishArguments(), user="u42")
    assert publish({"user": "u42"}, PublishArguments(), user="u42").broadcaster == "u42"
    assert publish({}, PublishArguments(), user=" u42 ").broadcaster == "u42"


def test_publishers_who_share_a_login_are_told_apart_by_an_argument_of_the_settings() -> None:
    assert publish({"account": "a1"}, user="everybody").broadcaster == "a1"
    assert publish({}, user="everybody").broadcaster == "everybody"


@pytest.mark.parametrize(
    "query",
    [
        "account=a1&account=a2",
        "account=a1&x=y&account=",
        "key=a&key=b",
        "tenant=a&tenant=b",
        # PHP reads the others as one argument, and the last value counts.
        "account=a1&%20account=a2",
        "%20account=a2",
        "account=a1&account[]=a2",
        "account=a1&account%00x=a2",
    ],
)
def test_what_another_reader_could_take_for_something_else_is_refused(query: str) -> None:
    with pytest.raises(InvalidInput, match="must be given once"):
        publish(dict_of(query))


@pytest.mark.parametrize("query", ["account=a1&account=a1", "account=a1&x=1&x=2", "account=a1&x[]=1&y.z=2"])
def test_what_repeats_itself_or_does_not_matter_is_let_in(query: str) -> None:
    assert publish(dict_of(query)).broadcaster == "a1"


def dict_of(query: str) -> dict[str, Any]:
    form: Any = parse_query(query)
    return form  # type: ignore[no-any-return]


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


@pytest.mark.parametrize(
    ("section", "proven"),
    [
        ({}, False),
        ({"trust_broadcaster": True}, True),
        ({"trust_broadcaster": True, "upstream_url": "http://platform/auth"}, True),
        ({"upstream_url": "http://platform/auth"}, True),
        ({"upstream_url": "http://platform/auth", "upstream_failure": "allow"}, False),
    ],
)
def test_a_name_is_proven_where_something_checks_it(section: dict[str, Any], proven: bool) -> None:
    arguments = PublishArguments.of(ServerSection.model_validate(section))
    asked = publish({"user": "u42"}, arguments)
    assert (asked.broadcaster, asked.identity_proven) == ("u42", proven)
    assert asked.attributes == ({} if proven else {UNPROVEN_ATTRIBUTE: "true"})
