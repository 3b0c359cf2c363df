"""The URL of a pull: whether it is allowed, what FFmpeg may do for it, and how it is shown. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self
from urllib.parse import urlsplit

from edge.errors import InvalidInput, LimitExceeded

MAX_URL_CHARACTERS: Final = 2048
# analyzeduration=0 means FFmpeg's default of several seconds. fflags=nobuffer loses the first keyframe.
_SMALL_PROBE: Final = {"analyzeduration": "1", "probesize": "32"}
_HTTP_PROBE: Final = {"analyzeduration": "1", "probesize": "2048"}
_OVER: Final = {
    "rtmp": "tcp",
    "rtmps": "tls,tcp",
    "http": "tcp",
    "https": "tls,tcp",
    "rtsp": "rtp,udp,tcp",
}
"""What a scheme runs over. FFmpeg opens nothing else, wherever a server or its media points."""
_FILE_FORMATS: Final = "flv,mpegts,matroska,mov"
"""Formats that name no other place to read from, as playlists do."""
_FORMATS: Final = {"rtmp": "flv", "rtmps": "flv", "rtsp": "rtsp,rtp,mpegts"}


@dataclass(frozen=True, slots=True)
class PullUrl:
    """A URL that may be pulled."""

    url: str
    scheme: str
    shown: str
    """Without user, password and query, which may hold stream keys."""

    @classmethod
    def parse(cls, url: str, schemes: tuple[str, ...]) -> Self:
        """Raises InvalidInput for a URL whose scheme is none of ``schemes``, or that names no host, and
        LimitExceeded for a long one."""
        if len(url) > MAX_URL_CHARACTERS:
            raise LimitExceeded("url", MAX_URL_CHARACTERS, len(url), "characters")
        # Python's parser leaves such characters out, and FFmpeg's does not.
        if not url.isprintable() or any(map(str.isspace, url)):
            raise InvalidInput("url", "has a space or a control character")
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError as error:
            raise InvalidInput("url", str(error)) from None
        if parts.scheme not in schemes or not host or not url.lower().startswith(f"{parts.scheme}://"):
            raise InvalidInput("url", f"wants scheme://host/…, with a scheme of: {', '.join(schemes)}")
        host = f"[{host}]" if ":" in host else host
        shown = f"{parts.scheme}://{host}{'' if port is None else f':{port}'}{parts.path}"
        return cls(parts.scheme + url[len(parts.scheme) :], parts.scheme, shown)

    def options(self, page_url: str) -> dict[str, str]:
        """Returns FFmpeg's options for it. An RTMP server is told ``page_url``."""
        scheme = self.scheme
        http = scheme in ("http", "https")
        return {
            **(_HTTP_PROBE if http else _SMALL_PROBE),
            "protocol_whitelist": ",".join(filter(None, (scheme, _OVER.get(scheme, "tls,tcp,udp")))),
            "format_whitelist": _FORMATS.get(scheme, _FILE_FORMATS),
            **({"max_redirects": "0"} if http else {}),
            **({"rtmp_pageurl": page_url} if scheme.startswith("rtmp") else {}),
        }
