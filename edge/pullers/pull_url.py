"""The URL of a pull: whether it is allowed, what FFmpeg may do for it, and how it is shown. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Self, TypeAlias
from urllib.parse import SplitResult, urlsplit

from edge.errors import InvalidInput, LimitExceeded
from edge.pull_sources import DEFAULT_PORTS, address_of

MAX_URL_CHARACTERS: Final = 2048
# analyzeduration=0 means FFmpeg's default of several seconds. fflags=nobuffer loses the first keyframe.
# RTMP announces no streams. Audio may come after the first frame, and PyAV knows no stream that is found
# after the opening. So FFmpeg reads until it has both, or half a second of media. None of it is lost.
_RTMP_PROBE: Final = {"analyzeduration": "500000", "probesize": "5000000"}
_HTTP_PROBE: Final = {"analyzeduration": "1", "probesize": "2048"}
_OVER: Final = {"rtmp": "tcp", "rtmps": "tls,tcp", "http": "tcp", "https": "tls,tcp"}
"""What a scheme runs over. FFmpeg opens nothing else, wherever a server or its media points."""
_FILE_FORMATS: Final = "flv,mpegts,matroska,mov"
"""Formats that name no other place to read from, as playlists do."""
_PLAYLIST: Final = {
    "format_whitelist": "hls,mpegts,mov",
    # FFmpeg's own connections would leave out ``PlaylistPlace``.
    "http_persistent": "0",
    "http_multiple": "0",
}
_FORMATS: Final = {"rtmp": "flv", "rtmps": "flv"}

Way: TypeAlias = tuple[str, str, tuple[tuple[str, str], ...]]
"""A URL by an address, the address, and FFmpeg's further options for it."""


@dataclass(frozen=True, slots=True)
class PullUrl:
    """A URL that can be pulled."""

    url: str = field(repr=False)
    scheme: str
    host: str
    """A name or an address, without brackets."""
    port: int
    shown: str
    """Without user, password and query, which may hold stream keys."""

    @classmethod
    def parse(cls, url: str) -> Self:
        """Raises InvalidInput for a URL of another scheme, or that names no host, and LimitExceeded for a
        long one."""
        if len(url) > MAX_URL_CHARACTERS:
            raise LimitExceeded("url", MAX_URL_CHARACTERS, len(url), "characters")
        # Python's parser leaves such characters out, and FFmpeg's does not. It ends a host at a backslash.
        if not url.isprintable() or any(map(str.isspace, url)) or "\\" in url:
            raise InvalidInput("url", "has a space, a backslash or a control character")
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError as error:
            raise InvalidInput("url", str(error)) from None
        if parts.scheme not in DEFAULT_PORTS or not host or not url.lower().startswith(f"{parts.scheme}://"):
            raise InvalidInput("url", f"wants scheme://host/…, with a scheme of: {', '.join(DEFAULT_PORTS)}")
        shown = f"{parts.scheme}://{_bracketed(host)}{'' if port is None else f':{port}'}{parts.path}"
        known = DEFAULT_PORTS[parts.scheme] if port is None else port
        return cls(parts.scheme + url[len(parts.scheme) :], parts.scheme, host, known, shown)

    @property
    def is_by_address(self) -> bool:
        return address_of(self.host) is not None

    @property
    def is_playlist(self) -> bool:
        """Whether it names an HLS playlist, which is opened by ``PlaylistPlace``."""
        return self.scheme in ("http", "https") and urlsplit(self.url).path.lower().endswith(".m3u8")

    @property
    def place(self) -> tuple[str, str, int]:
        """Scheme, host and port."""
        return self.scheme, self.host, self.port

    def options(self, page_url: str) -> dict[str, str]:
        """Returns FFmpeg's options for it. An RTMP server is told ``page_url``."""
        scheme = self.scheme
        http = scheme in ("http", "https")
        return {
            **(_HTTP_PROBE if http else _RTMP_PROBE),
            "protocol_whitelist": f"{scheme},{_OVER[scheme]}",
            "format_whitelist": _FORMATS.get(scheme, _FILE_FORMATS),
            **({"max_redirects": "0"} if http else {"rtmp_pageurl": page_url}),
            **(_PLAYLIST if self.is_playlist else {}),
        }

    def at(self, address: str) -> Way:
        """The URL by an address of its host, and options by which the server still learns the host's name.

        Over TLS it stays as it is: the library shows the name of a certificate to ask for only by the URL. A
        playlist is not opened by the library.
        """
        if self.is_by_address or not (self.scheme in ("rtmp", "http") or self.is_playlist):
            return self.url, address, ()
        parts = urlsplit(self.url)
        user, mark, place = parts.netloc.rpartition("@")
        reached = f"{user}{mark}{_bracketed(address)}{'' if parts.port is None else f':{self.port}'}"
        url = f"{self.scheme}://{reached}{self.url.partition(parts.netloc)[2]}"
        if self.is_playlist:
            return url, address, ()
        if self.scheme == "http":
            return url, address, (("headers", f"Host: {place}\r\n"),)
        tc_url = f"rtmp://{_bracketed(self.host)}:{self.port}/{_app(parts)}"
        return url, address, (("rtmp_tcurl", tc_url),)


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _app(parts: SplitResult) -> str:
    """The application in an RTMP URL, as FFmpeg finds it (``rtmp_open`` of libavformat/rtmpproto.c)."""
    path = parts.path + (f"?{parts.query}" if parts.query else "")
    if "slist=" in parts.query:
        return parts.path[1:]
    if path.startswith("/ondemand/"):
        return "ondemand"
    first = path.find("/", 1)
    if first < 0:
        return path[1:]
    colon, second = path.find(":", first + 1), path.find("/", first + 1)
    if second < 0 or 0 <= colon < second:
        return path[1:first]
    return path[1:second]
