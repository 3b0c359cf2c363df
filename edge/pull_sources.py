"""The places that may be pulled: an allow-list of schemes, hosts and ports. Pure."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Self, TypeAlias
from urllib.parse import urlsplit

from edge.errors import InvalidInput

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

DEFAULT_PORTS: Final = {"rtmp": 1935, "rtmps": 443, "http": 80, "https": 443}
"""The schemes that can be pulled at all. Not RTSP: its servers send FFmpeg on to others."""
LOOPBACK: Final = tuple(
    f"{scheme}://{host}" for scheme in ("rtmp", "rtmps") for host in ("localhost", "127.0.0.0/8", "[::1]")
)
"""The RTMP ports of this machine."""
_LOOPBACKS: Final = ("127.0.0.0/8", "::1/128")
_ENTRY: Final = re.compile(
    r"(?P<scheme>[a-z]+)://(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<host>[A-Za-z0-9._-]+))(?P<prefix>/\d{1,3})?"
    r"(?::(?P<port>\d{1,5}|\*))?/?"
)
_NUMBERS: Final = re.compile(r"[0-9.]+|0[xX].*")
_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")


@dataclass(frozen=True, slots=True)
class PullSource:
    """One place, or those of a network."""

    scheme: str
    host: str | Network
    port: int | None
    """None: every port."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads ``SCHEME://HOST[:PORT]``: a name, an address or a network, and a port, ``*`` or none,
        which is the scheme's own. Raises ValueError."""
        found = _ENTRY.fullmatch(text)
        if found is None or found["scheme"] not in DEFAULT_PORTS:
            raise ValueError(
                f"{text!r} must be SCHEME://HOST[:PORT], with a scheme of {', '.join(DEFAULT_PORTS)}, "
                "a name, an address or a network (10.0.0.0/8, [2001:db8::]/32), and a port or *"
            )
        host = found["v6"] or found["host"]
        if found["v6"] or found["prefix"] or address_of(host) is not None:
            place: str | Network = ipaddress.ip_network(host + (found["prefix"] or ""))
        elif _NUMBERS.fullmatch(host):
            raise ValueError(f"{text!r}: {host!r} is no address")
        else:
            place = _name(host)
        port = found["port"] or str(DEFAULT_PORTS[found["scheme"]])
        if port != "*" and not 0 < int(port) < 65536:
            raise ValueError(f"{text!r}: the port must be between 1 and 65535")
        return cls(found["scheme"], place, None if port == "*" else int(port))

    @classmethod
    def of_template(cls, url: str) -> Self:
        """The place of a URL in which names are yet to be filled in. Raises ValueError."""
        parts = urlsplit(url)
        host = parts.hostname or ""
        if parts.scheme not in DEFAULT_PORTS or not host or "{" in parts.netloc:
            raise ValueError(
                f"must be SCHEME://HOST/…, with a scheme of {', '.join(DEFAULT_PORTS)} and a fixed host"
            )
        host = f"[{host}]" if ":" in host else host
        return cls.parse(f"{parts.scheme}://{host}{'' if parts.port is None else f':{parts.port}'}")

    def has(self, scheme: str, host: str, port: int) -> bool:
        if self.scheme != scheme or self.port not in (None, port):
            return False
        if isinstance(self.host, str):
            return self.host == _name(host)
        address = address_of(host)
        return address is not None and address in self.host


@dataclass(frozen=True, slots=True)
class PullSources:
    """All places that may be pulled."""

    allowed: tuple[PullSource, ...]

    @classmethod
    def of(cls, entries: Iterable[str]) -> Self:
        """Raises ValueError."""
        return cls(tuple(PullSource.parse(entry) for entry in entries))

    def check(self, scheme: str, host: str, port: int) -> None:
        """Raises InvalidInput for a place that is not among them."""
        if not any(source.has(scheme, host, port) for source in self.allowed):
            shown = f"[{host}]" if ":" in host else host
            raise InvalidInput(
                "url", f"{scheme}://{shown}:{port} may not be pulled: limits.pull_from names what may"
            )

    def networks(self, scheme: str, port: int) -> tuple[str, ...]:
        """The networks that may be pulled by their addresses, and those that `localhost` stands for."""
        found: list[str] = []
        for source in self.allowed:
            if source.scheme == scheme and source.port in (None, port):
                if isinstance(source.host, str):
                    found += _LOOPBACKS if source.host == "localhost" else ()
                else:
                    found.append(str(source.host))
        return tuple(found)


def leads_astray(address: str, networks: Iterable[str]) -> bool:
    """Whether a host that may be pulled must not have that address: of this machine or of its link, unless
    one of ``networks`` has it."""
    found = address_of(address)
    if found is None:
        return True
    if any(found in ipaddress.ip_network(network) for network in networks):
        return False
    return found.is_loopback or found.is_link_local or found.is_multicast or found.is_unspecified


def address_of(host: str) -> Address | None:
    """The address that a host is written as. None for a name. An IPv4 address inside IPv6 is that address."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address):
        if address in _NAT64:
            return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
        return address.ipv4_mapped or address
    return address


def _name(host: str) -> str:
    return host.lower().removesuffix(".")
