"""Only URLs of the allowed schemes are pulled, and FFmpeg may open nothing else for them."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.errors import InvalidInput, LimitExceeded
from edge.pullers.pull_url import PullUrl

SCHEMES = ("rtmp", "rtmps", "http", "https")


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "/etc/passwd",
        "rtmp:///no-host",
        "concat:a|b",
        "",
        "lavfi://x/testsrc",
        "rtsp://host/x",
        "srt://host:1",
        "rtmpe://host/x",
        "hls+http://host/x",
    ],
)
def test_schemes_are_those_allowed(url: str) -> None:
    with pytest.raises(InvalidInput, match="url: wants scheme://host"):
        PullUrl.parse(url)


@pytest.mark.parametrize(
    "url",
    [
        "rtmp://host/x\nfile:///etc/passwd",
        "\trtmp://host/x",
        "rt\nmp://host/x",
        "rtmp://ho st/x",
        "rtmp://host/\x00",
        "rtmp://host/\u202e",
        "rtmp://allowed\\@other/x",
    ],
)
def test_what_two_parsers_read_differently_is_refused(url: str) -> None:
    with pytest.raises(InvalidInput, match="has a space"):
        PullUrl.parse(url)


@pytest.mark.parametrize("url", ["rtmp://host:99999/x", "rtmp://[::1/x", "rtmp://user@/x"])
def test_a_host_that_is_none(url: str) -> None:
    with pytest.raises(InvalidInput, match="url"):
        PullUrl.parse(url)


def test_url_is_bounded() -> None:
    with pytest.raises(LimitExceeded, match="url"):
        PullUrl.parse("rtmp://host/" + "x" * 3000)


def test_what_is_shown_holds_no_secret() -> None:
    url = PullUrl.parse("RTMP://anna:s3cret@[::1]:1936/live/x?key=s3cret")
    assert url.shown == "rtmp://[::1]:1936/live/x"
    assert url.url == "rtmp://anna:s3cret@[::1]:1936/live/x?key=s3cret"


@pytest.mark.parametrize("scheme", SCHEMES)
def test_ffmpeg_may_use_what_the_scheme_runs_over_and_no_more(scheme: str) -> None:
    options = PullUrl.parse(f"{scheme}://host/x").options("page")
    protocols = options["protocol_whitelist"].split(",")
    assert protocols[0] == scheme
    others = set(protocols[1:])
    assert others <= {"tcp", "tls"}
    assert not {"hls", "dash", "concat", "sdp"} & set(options["format_whitelist"].split(","))
    assert ("rtmp_pageurl" in options) == scheme.startswith("rtmp")


@pytest.mark.parametrize(
    ("url", "reached", "told"),
    [
        ("rtmp://a.example/live/x?k=1", "rtmp://192.0.2.1/live/x?k=1", "rtmp://a.example:1935/live"),
        (
            "rtmp://u:p@a.example:19/live/i/x",
            "rtmp://u:p@192.0.2.1:19/live/i/x",
            "rtmp://a.example:19/live/i",
        ),
        ("rtmp://a.example/live/mp4:d/x", "rtmp://192.0.2.1/live/mp4:d/x", "rtmp://a.example:1935/live"),
        (
            "rtmp://a.example/live/x?u=a/b",
            "rtmp://192.0.2.1/live/x?u=a/b",
            "rtmp://a.example:1935/live/x?u=a",
        ),
        ("rtmp://a.example/live", "rtmp://192.0.2.1/live", "rtmp://a.example:1935/live"),
        ("http://u@a.example:81/x.flv?a", "http://u@192.0.2.1:81/x.flv?a", "Host: a.example:81\r\n"),
        ("http://a.example/x.flv", "http://192.0.2.1/x.flv", "Host: a.example\r\n"),
    ],
)
def test_a_server_that_is_reached_by_its_address_learns_the_name(url: str, reached: str, told: str) -> None:
    at, address, options = PullUrl.parse(url).at("192.0.2.1")
    assert address == "192.0.2.1"
    assert at == reached
    assert [value for _, value in options] == [told]


@pytest.mark.parametrize("url", ["rtmp://192.0.2.9/x", "http://[2001:db8::1]/x", "https://a.example/x"])
def test_an_address_stays_and_a_name_for_a_certificate_too(url: str) -> None:
    assert PullUrl.parse(url).at("192.0.2.1") == (url, "192.0.2.1", ())


@given(
    st.one_of(
        st.text(max_size=40),
        st.builds("{}{}{}".format, st.sampled_from([*SCHEMES, "file"]), st.text(max_size=4), st.text()),
        st.builds("{}://{}".format, st.sampled_from([*SCHEMES, "file", "RTMP", "rtsp"]), st.text()),
    )
)
def test_a_url_is_refused_or_goes_to_a_host_under_an_allowed_scheme(url: str) -> None:
    try:
        parsed = PullUrl.parse(url)
    except InvalidInput:
        return
    assert parsed.scheme in SCHEMES
    assert parsed.url.startswith(f"{parsed.scheme}://")
    assert parsed.url.lower() == url.lower()
    assert urlsplit(parsed.url).hostname
