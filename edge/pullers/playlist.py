"""Opens an HLS playlist and its segments for FFmpeg, all from the one place that was checked.

FFmpeg alone would go wherever a playlist, or a redirect, points.
"""

from __future__ import annotations

import base64
import errno
import http.client
import socket
import ssl
from collections.abc import Mapping
from typing import Final
from urllib.parse import SplitResult, unquote, urlsplit

from edge.errors import InvalidInput
from edge.pullers.pull_url import PullUrl

_OK: Final = 200


class PlaylistPlace:
    """The place of a playlist. FFmpeg calls ``open`` for the playlist, each time, and for each segment."""

    def __init__(self, target: PullUrl, address: str, timeout_s: float) -> None:
        """``address`` is the one of the host that is connected to."""
        self._target = target
        self._address = address
        self._timeout_s = timeout_s
        self._headers = _authorization(urlsplit(target.url))
        self._tls = ssl.create_default_context() if target.scheme == "https" else None

    def open(self, url: str, flags: int, options: Mapping[str, str]) -> Body:
        """Raises OSError for another place, and where the answer is not 200."""
        del flags, options
        try:
            asked = PullUrl.parse(url)
        except InvalidInput as error:
            raise OSError(errno.EPERM, str(error)) from None
        if asked.place != self._target.place:
            raise OSError(errno.EPERM, f"a playlist points to another place: {asked.shown}")
        connection = http.client.HTTPConnection(asked.host, asked.port, timeout=self._timeout_s)
        connection.sock = self._connected()
        parts = urlsplit(asked.url)
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        host = parts.netloc.rpartition("@")[2]
        try:
            connection.request("GET", path, headers={**self._headers, "Host": host})
            answer = connection.getresponse()
        except http.client.HTTPException as error:
            connection.close()
            raise OSError(errno.EIO, f"{type(error).__name__}: {error}") from None
        if answer.status != _OK:
            connection.close()
            raise OSError(errno.EIO, f"{asked.shown}: status {answer.status}")
        return Body(connection, answer)

    def _connected(self) -> socket.socket:
        raw = socket.create_connection((self._address, self._target.port), self._timeout_s)
        return raw if self._tls is None else self._tls.wrap_socket(raw, server_hostname=self._target.host)


class Body:
    """The body of an answer, as FFmpeg reads it."""

    def __init__(self, connection: http.client.HTTPConnection, answer: http.client.HTTPResponse) -> None:
        self._connection = connection
        self._answer = answer

    def read(self, size: int) -> bytes:
        """Returns what has come. Raises OSError for an answer that is torn."""
        try:
            return self._answer.read1(size)
        except http.client.HTTPException as error:
            raise OSError(errno.EIO, f"{type(error).__name__}: {error}") from None

    def close(self) -> None:
        self._answer.close()
        self._connection.close()


def _authorization(parts: SplitResult) -> dict[str, str]:
    """By hand, because this contained process speaks HTTP by the standard library alone."""
    if parts.username is None:
        return {}
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}
