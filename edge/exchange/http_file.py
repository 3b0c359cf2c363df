"""A hash list on a web server. It is downloaded when the server says that it has changed."""

from __future__ import annotations

import base64
import hashlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import httpx
from pydantic import Field

from edge.errors import CheckpointStale
from edge.exchange.kind import ExchangeKind, KindOptions, Opening
from edge.exchange.listed import format_named, pages_of, path_of
from edge.exchange.page import SharedPage
from edge.exchange.transport import checked_url

_CHARACTERS: Final = 1024


class HttpFileOptions(KindOptions):
    url: str = Field(description="Its address.", max_length=2048)
    format: str = Field("", description="Its format, as of `bank import`. Empty: the file shows it itself.")
    max_mb: int = Field(1024, ge=1, le=16_384, description="Its largest size in megabytes.")


class HttpFile:
    def __init__(self, opening: Opening[HttpFileOptions]) -> None:
        options = opening.options
        self._headers = authorization(opening.credentials)
        self._host = checked_url(options.url, secret=bool(self._headers)).host
        self._url = options.url
        self._format = format_named(options.format)
        self._max_bytes = options.max_mb << 20
        self._transport = opening.transport
        self._file = tempfile.TemporaryFile(dir=opening.folder)  # noqa: SIM115
        self._version = ""
        """Version of the file that has been downloaded. Empty: none has."""

    def pages(self, checkpoint: str) -> Iterator[SharedPage]:
        if checkpoint:
            if not self._download(checkpoint) or self._version == checkpoint:
                return
            raise CheckpointStale(f"{self._host}: the list has changed")
        if not self._version:
            self._download("")
        stem = Path(httpx.URL(self._url).path).stem or self._host
        yield from pages_of(
            path_of(self._file), self._format, f"the list of {self._host}", stem, self._version
        )

    def _download(self, checkpoint: str) -> bool:
        """Returns whether there may be another version than that of the checkpoint."""
        validator, value = checkpoint[:2], checkpoint[2:]
        name = {"e:": "if-none-match", "m:": "if-modified-since"}.get(validator)
        headers = self._headers if name is None else {**self._headers, name: value}
        answer = self._transport.download(
            self._url,
            self._file,
            headers=headers,
            max_bytes=self._max_bytes,
            accept=(304,),
        )
        if answer.status == 304:
            return False
        self._version = _version(
            answer.headers.get("etag"), answer.headers.get("last-modified"), path_of(self._file)
        )
        return True


def authorization(credentials: str | None) -> dict[str, str]:
    """The header for credentials: ``USER:PASSWORD``, a bearer token, or a whole value (``Bearer …``)."""
    if credentials is None:
        return {}
    if " " in credentials:
        return {"authorization": credentials}
    if ":" in credentials:
        return {"authorization": f"Basic {base64.b64encode(credentials.encode()).decode()}"}
    return {"authorization": f"Bearer {credentials}"}


def _version(etag: str | None, modified: str | None, path: Path) -> str:
    """What a server says of a file so that it can be asked for a newer one. Without: a digest of the file."""
    for mark, value in (("e:", etag), ("m:", modified)):
        if value and len(value) <= _CHARACTERS and value.isascii() and value.isprintable():
            return mark + value
    with path.open("rb") as file:
        return f"d:{hashlib.file_digest(file, 'sha256').hexdigest()}"


KIND: Final = ExchangeKind(
    name="http",
    summary="A hash list on a web server.",
    options=HttpFileOptions,
    open=HttpFile,
    credentials="USER:PASSWORD, or a bearer token",
)
