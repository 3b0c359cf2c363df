"""What may be pulled: the places that are named, and none that only looks like one of them."""

from __future__ import annotations

import ipaddress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.config import load_settings
from edge.errors import ConfigError, InvalidInput
from edge.pull_sources import LOOPBACK, PullSource, PullSources, address_of, leads_astray
from edge.pullers.pull_url import PullUrl

NAMED = ("rtmp://ingest.example:*", "http://10.0.0.0/8:8080", "https://[2001:db8::]/32", "rtmp://192.0.2.7")


def allows(entries: tuple[str, ...], url: str) -> bool:
    target = PullUrl.parse(url)
    try:
        PullSources.of(entries).check(target.scheme, target.host, target.port)
    except InvalidInput:
        return False
    return True


@pytest.mark.parametrize(
    "url",
    [
        "rtmp://127.0.0.1/live/x",
        "rtmp://127.0.0.1:1935/live/x",
        "rtmp://127.8.9.1/live/x",
        "RTMP://LocalHost/live/x",
        "rtmp://localhost./live/x",
        "rtmp://[::1]/live/x",
        "rtmp://[::ffff:127.0.0.1]/live/x",
        "rtmps://127.0.0.1/live/x",
    ],
)
def test_by_default_the_rtmp_ports_of_this_machine(url: str) -> None:
    assert allows(LOOPBACK, url)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/latest/meta-data/",
        "http://localhost:1935/x",
        "http://169.254.169.254/latest/meta-data/",
        "rtmp://127.0.0.1:6379/live/x",
        "rtmp://169.254.169.254/x",
        "rtmp://10.0.0.1/x",
        "rtmp://0.0.0.0/x",
        "rtmp://[::]/x",
        "rtmp://127.1/x",
        "rtmp://0x7f000001/x",
        "rtmp://2130706433/x",
        "rtmp://017700000001/x",
        "rtmp://ingest.example/x",
        "rtmp://localhost.example/x",
        "rtmp://127.0.0.1@evil.example/x",
        "rtmp://evil.example#@127.0.0.1/x",
        "rtmp://evil.example?@127.0.0.1/x",
    ],
)
def test_and_nothing_else(url: str) -> None:
    assert not allows(LOOPBACK, url)


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("rtmp://ingest.example:19350/x", True),
        ("rtmp://INGEST.example/x", True),
        ("rtmps://ingest.example/x", False),
        ("rtmp://a.ingest.example/x", False),
        ("http://10.200.3.4:8080/x.flv", True),
        ("http://10.200.3.4/x.flv", False),
        ("http://[::ffff:10.0.0.1]:8080/x.flv", True),
        ("http://11.0.0.1:8080/x.flv", False),
        ("https://[2001:db8:1::2]/x.flv", True),
        ("https://[2001:db9::2]/x.flv", False),
        ("rtmp://192.0.2.7/x", True),
        ("rtmp://127.0.0.1/x", False),
    ],
)
def test_what_is_named_replaces_the_default(url: str, allowed: bool) -> None:
    assert allows(NAMED, url) == allowed


@pytest.mark.parametrize(
    "entry",
    [
        "",
        "rtmp://",
        "ingest.example",
        "rtsp://ingest.example",
        "file:///etc",
        "rtmp://*",
        "rtmp://127.1",
        "rtmp://a.example:0",
        "rtmp://a.example:70000",
        "rtmp://10.0.0.1/8",
        "rtmp://a.example/8",
        "rtmp://a.example/live/x",
        "rtmp://u@a.example",
        "rtmp://[::1",
    ],
)
def test_what_is_no_place_is_refused(entry: str, tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"must be SCHEME|is no address|the port must|has host bits|does not appear"
    ):
        PullSource.parse(entry)
    config = tmp_path / "edge.toml"
    config.write_text(f'[limits]\npull_from = ["rtmp://a.example", "{entry}"]\n')
    with pytest.raises(ConfigError, match="limits: pull_from: "):
        load_settings(config)


def test_servers_with_a_section_may_be_pulled(tmp_path: Path) -> None:
    config = tmp_path / "edge.toml"
    config.write_text(
        '[nginx_rtmp]\npull_url = "rtmp://10.1.2.3:19350/{app}/{name}"\n'
        '[limits]\npull_from = ["rtmp://b.example"]\n'
    )
    sources = load_settings(config).pull_sources
    sources.check("rtmp", "10.1.2.3", 19350)
    sources.check("rtmp", "b.example", 1935)
    for scheme, host, port in (("rtmp", "127.0.0.1", 1935), ("http", "10.1.2.3", 19350)):
        with pytest.raises(InvalidInput, match=r"url: .* limits\.pull_from names what may"):
            sources.check(scheme, host, port)


def test_a_server_on_localhost_may_have_any_port(tmp_path: Path) -> None:
    config = tmp_path / "edge.toml"
    config.write_text(
        '[ovenmediaengine]\naccess_token = "a"\nsecret_key = "b"\n'
        'pull_url = "http://localhost:3333/{app}/{name}/ts:playlist.m3u8"\n'
        '[limits]\npull_from = ["http://b.example:3333"]\n'
    )
    sources = load_settings(config).pull_sources
    sources.check("http", "localhost", 3333)
    networks = sources.networks("http", 3333)
    assert not leads_astray("127.0.0.1", networks)
    assert not leads_astray("::1", networks)
    assert leads_astray("127.0.0.1", sources.networks("http", 80))
    assert leads_astray("169.254.169.254", networks)


@pytest.mark.parametrize(
    "url", ["rtmp://{app}.example/{name}", "rtsp://a.example/{path}", "/live", "rtmp://"]
)
def test_a_server_is_pulled_from_one_place(url: str, tmp_path: Path) -> None:
    config = tmp_path / "edge.toml"
    config.write_text(f'[mediamtx]\npull_url = "{url}"\n')
    with pytest.raises(ConfigError, match=r"mediamtx: pull_url: must be SCHEME://HOST"):
        load_settings(config)


@given(st.ip_addresses())
def test_a_name_leads_nowhere_on_this_machine_or_its_link(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    text = str(address)
    own = address.is_loopback or address.is_link_local or address.is_multicast or address.is_unspecified
    if isinstance(address, ipaddress.IPv4Address):
        assert leads_astray(text, ()) == own
        assert leads_astray(f"::ffff:{text}", ()) == own
        assert leads_astray(f"64:ff9b::{text}", ()) == own
    elif own:
        assert leads_astray(text, ())
    assert not leads_astray(text, (str(address_of(text)),))


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "169.254.169.254", "fe80::1%1", "0.0.0.0", "no"])
def test_addresses_that_no_name_has(address: str) -> None:
    assert leads_astray(address, ("10.0.0.0/8", "2001:db8::/32"))
