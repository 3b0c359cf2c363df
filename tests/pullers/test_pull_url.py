"""Only URLs of the allowed schemes are pulled, and FFmpeg may open nothing else for them."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.errors import InvalidInput, LimitExceeded
from edge.pullers.pull_url import PullUrl

SCHEMES = ("rtmp", "rtmps", "http", "https", "rtsp", "srt")


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "/etc/passwd", "rtmp:///no-host", "concat:a|b", "", "lavfi://x/testsrc"]
)
def test_schemes_are_those_allowed(url: str) -> None:
    with pytest.raises(InvalidInput, match="url: wants scheme://host"):
        PullUrl.parse(url, ("rtmp", "rtmps"))


@pytest.mark.parametrize(
    "url",
    [
        "rtmp://host/x\nfile:///etc/passwd",
        "\trtmp://host/x",
        "rt\nmp://host/x",
        "rtmp://ho st/x",
        "rtmp://host/\x00",
        "rtmp://host/\u202e",
    ],
)
def test_what_two_parsers_read_differently_is_refused(url: str) -> None:
    with pytest.raises(InvalidInput, match="space or a control"):
        PullUrl.parse(url, SCHEMES)


@pytest.mark.parametrize("url", ["rtmp://host:99999/x", "rtmp://[::1/x", "rtmp://user@/x"])
def test_a_host_that_is_none(url: str) -> None:
    with pytest.raises(InvalidInput, match="url"):
        PullUrl.parse(url, SCHEMES)


def test_url_is_bounded() -> None:
    with pytest.raises(LimitExceeded, match="url"):
        PullUrl.parse("rtmp://host/" + "x" * 3000, SCHEMES)


def test_what_is_shown_holds_no_secret() -> None:
    url = PullUrl.parse("RTMP://anna:s3cret@[::1]:1936/live/x?key=s3cret", SCHEMES)
    assert url.shown == "rtmp://[::1]:1936/live/x"
    assert url.url == "rtmp://anna:s3cret@[::1]:1936/live/x?key=s3cret"


@pytest.mark.parametrize("scheme", SCHEMES)
def test_ffmpeg_may_use_what_the_scheme_runs_over_and_no_more(scheme: str) -> None:
    options = PullUrl.parse(f"{scheme}://host/x", SCHEMES).options("page")
    protocols = options["protocol_whitelist"].split(",")
    assert protocols[0] == scheme
    others = set(protocols[1:])
    assert others <= {"tcp", "tls", "udp", "rtp"}
    assert not {"hls", "dash", "concat", "sdp"} & set(options["format_whitelist"].split(","))
    assert ("rtmp_pageurl" in options) == scheme.startswith("rtmp")


@given(
    st.one_of(
        st.text(max_size=40),
        st.builds("{}{}{}".format, st.sampled_from([*SCHEMES, "file"]), st.text(max_size=4), st.text()),
        st.builds("{}://{}".format, st.sampled_from([*SCHEMES, "file", "RTMP"]), st.text()),
    )
)
def test_a_url_is_refused_or_goes_to_a_host_under_an_allowed_scheme(url: str) -> None:
    try:
        parsed = PullUrl.parse(url, SCHEMES)
    except InvalidInput:
        return
    assert parsed.scheme in SCHEMES
    assert parsed.url.startswith(f"{parsed.scheme}://")
    assert parsed.url.lower() == url.lower()
    assert urlsplit(parsed.url).hostname
