"""Hook bodies as nginx writes them, and as a hostile publisher distorts them."""

from __future__ import annotations

from urllib.parse import quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.errors import InvalidInput, LimitExceeded
from edge.servers.hook_body import MAX_BODY_BYTES, MAX_FIELDS, parse_form
from edge.servers.nginx_rtmp.publish import read_connection, read_publish
from edge.servers.publish_arguments import PublishArguments

ARGUMENTS = PublishArguments()

MEASURED = (
    b"app=live&flashver=FMLE/3.0%20(compatible%3B%20Lavf59.27&swfurl=&tcurl=rtmp://127.0.0.1:48985/live"
    b"&pageurl=&addr=127.0.0.1&clientid=2&call=publish&name=show&type=live"
)


def test_the_measured_body() -> None:
    publish = read_publish(parse_form(MEASURED + b"&user=u42&key=sek"), ARGUMENTS)
    assert publish.server == "nginx-rtmp"
    assert (publish.connection, publish.app, publish.name) == ("2", "live", "show")
    assert (publish.broadcaster, publish.address) == ("u42", "127.0.0.1")
    assert publish.attributes == {"stream_key": "sek"}


def test_without_accounts_the_broadcaster_is_the_stream() -> None:
    publish = read_publish(parse_form(MEASURED), ARGUMENTS)
    assert publish.broadcaster == "live/show"
    assert publish.attributes == {}


def test_another_argument_names_the_broadcaster() -> None:
    assert (
        read_publish(parse_form(MEASURED + b"&user=u1&account=a1"), PublishArguments("account")).broadcaster
        == "a1"
    )


def test_what_a_publisher_appends_never_wins() -> None:
    hostile = MEASURED + b"&user=u42&name=other&app=other&clientid=9&addr=1.2.3.4&call=publish_done&key=a"
    honest = MEASURED + b"&user=u42&key=a"
    assert read_publish(parse_form(hostile), ARGUMENTS) == read_publish(parse_form(honest), ARGUMENTS)


@pytest.mark.parametrize("repeated", [b"&user=u42&user=innocent", b"&key=a&key=b"])
def test_an_argument_that_is_given_twice_is_refused(repeated: bytes) -> None:
    with pytest.raises(InvalidInput, match="must be given once"):
        read_publish(parse_form(MEASURED + repeated), ARGUMENTS)


@given(
    st.lists(
        st.tuples(st.sampled_from(["app", "name", "clientid", "addr", "call", "x"]), st.text()), max_size=20
    )
)
def test_no_query_moves_a_publish_to_another_stream(query: list[tuple[str, str]]) -> None:
    appended = "".join(f"&{key}={quote_plus(value, errors='replace')}" for key, value in query)
    publish = read_publish(parse_form(MEASURED + appended.encode()), ARGUMENTS)
    assert (publish.connection, publish.app, publish.name, publish.address) == (
        "2",
        "live",
        "show",
        "127.0.0.1",
    )


@given(st.dictionaries(st.text(min_size=1), st.text(), max_size=MAX_FIELDS))
def test_forms_are_read_back(fields: dict[str, str]) -> None:
    body = "&".join(
        f"{quote_plus(k, errors='replace')}={quote_plus(v, errors='replace')}" for k, v in fields.items()
    )
    # A lone surrogate cannot be written: quote_plus replaces it, as the reader would.
    kept: dict[str, str] = {}
    for key, value in fields.items():
        kept.setdefault(key.encode(errors="replace").decode(), value.encode(errors="replace").decode())
    assert parse_form(body.encode()) == kept


@given(st.binary(max_size=300))
def test_any_body_is_read_or_refused(body: bytes) -> None:
    try:
        publish = read_publish(parse_form(body), ARGUMENTS)
    except InvalidInput:
        return
    assert publish.app
    assert publish.name


@pytest.mark.parametrize(
    ("body", "limit"),
    [
        (b"a" * (MAX_BODY_BYTES + 1), "8192 bytes"),
        (b"&".join([b"a=b"] * (MAX_FIELDS + 1)), "64 fields"),
        (MEASURED.replace(b"name=show", b"name=" + b"a" * 256), "255 characters"),
        (MEASURED.replace(b"app=live", b"app=" + b"a" * 128), "127 characters"),
        (MEASURED + b"&user=" + b"a" * 513, "512 characters"),
        (MEASURED + b"&key=" + b"a" * 513, "512 characters"),
    ],
)
def test_bounds(body: bytes, limit: str) -> None:
    with pytest.raises(LimitExceeded, match=limit):
        read_publish(parse_form(body), ARGUMENTS)


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        (b"name=show", b"name=", "name"),
        (b"name=show", b"name=a%20b", "name"),
        (b"name=show", b"name=a%2Fb", "name"),
        (b"name=show", b"name=a%00", "name"),
        (b"name=show", b"name=show%0A", "name"),
        (b"name=show", b"name=a%25b", "name"),
        (b"name=show", b"name=%D8%A8%D8%AB", "name"),
        (b"name=show", b"name=show.flv", "name"),
        (b"name=show", b"name=show.mp4", "name"),
        (b"name=show", b"nome=show", "name"),
        (b"app=live", b"app=..%2Flive", "app"),
        (b"app=live", b"", "app"),
        (b"clientid=2", b"clientid=", "clientid"),
        (b"clientid=2", b"clientid=-2", "clientid"),
        (b"clientid=2", b"clientid=%D9%A2", "clientid"),
        (b"clientid=2", b"clientid=" + b"2" * 21, "clientid"),
        (b"call=publish", b"call=play", "call"),
        (b"type=live", b"type=live&user=a%0Ab", "user"),
        (b"type=live", b"type=live&user=%E2%80%AEabc", "user"),
        (b"type=live", b"type=%FF", "body"),
    ],
)
def test_refused_with_the_field(old: bytes, new: bytes, field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        read_publish(parse_form(MEASURED.replace(old, new)), ARGUMENTS)
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("given_as", "address"),
    [
        ("10.1.2.3", "10.1.2.3"),
        ("10.1.2.3:5000", "10.1.2.3"),
        ("2001:db8::1", "2001:db8::1"),
        ("[2001:db8::1]:5000", "2001:db8::1"),
        ("unix:", ""),
        ("nonsense", ""),
    ],
)
def test_address_without_its_port(given_as: str, address: str) -> None:
    body = MEASURED.replace(b"addr=127.0.0.1", b"addr=" + given_as.encode())
    assert read_publish(parse_form(body), ARGUMENTS).address == address


def test_the_end_of_a_publish() -> None:
    body = MEASURED.replace(b"call=publish", b"call=publish_done")
    assert read_connection(parse_form(body), "publish_done") == ("live", "show", "2")
    with pytest.raises(InvalidInput, match="call"):
        read_connection(parse_form(MEASURED), "publish_done")
