"""The way to an exchange over HTTP: each answer has a limit of time and bytes, and busy servers get time.

Its errors name the host and the path, never the query or the headers, which may hold secrets. It stays with
one server: a link or a redirect to another one is refused.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, BinaryIO, Final

import httpx

from edge.backoff import backoff_ms
from edge.errors import CheckpointStale, ExchangeFailed, InvalidInput

MAX_ANSWER_BYTES: Final = 64 * 2**20
"""Largest answer that is read into memory."""
_TRIES: Final = 5
_FIRST_PAUSE_MS, _MOST_PAUSE_MS = 500, 8_000
_WAIT_S: Final = 60.0
"""Longest pause that a server may ask for within a run. A longer one ends the run."""
_MOST_WAIT_S: Final = 86_400.0
_BUSY: Final = (429, 503)
_AGAIN: Final = (*_BUSY, 500, 502, 504)
_LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    """With lower-case names."""
    content: bytes


class Transport:
    """Requests to one server. ``close`` it afterwards."""

    def __init__(
        self,
        *,
        secret: bool = False,
        answer_s: float = 120.0,
        sleep: Callable[[float], None] = time.sleep,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """``secret``: requests carry credentials, so they go in the clear nowhere but to this machine.
        ``answer_s``: longest time of one answer, from the request to its last byte."""
        self._secret = secret
        self._answer_s = answer_s
        self._sleep = sleep
        self._now = now
        self._client = httpx.Client(follow_redirects=False, headers={"user-agent": "edge-gate"})
        self._origin: tuple[str, str, int | None] | None = None

    def close(self) -> None:
        self._client.close()

    def get(
        self,
        url: str,
        *,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        max_bytes: int = MAX_ANSWER_BYTES,
        accept: tuple[int, ...] = (),
    ) -> Answer:
        """Returns the answer of status 200, or one of ``accept``.

        Servers that are busy or broken are asked again a few times. Raises ExchangeFailed, and
        CheckpointStale for status 410.
        """
        return self._asked(
            url, params, headers, lambda response, end: self._body(response, end, max_bytes), accept
        )

    def download(
        self,
        url: str,
        into: BinaryIO,
        *,
        headers: Mapping[str, str] | None = None,
        max_bytes: int,
        accept: tuple[int, ...] = (),
    ) -> Answer:
        """The same, into an empty file. The content of the answer is empty."""

        def fill(response: httpx.Response, end: float) -> bytes:
            into.seek(0)
            into.truncate()
            for block in self._blocks(response, end, max_bytes):
                into.write(block)
            into.flush()
            return b""

        return self._asked(url, None, headers, fill, accept)

    def _asked(
        self,
        url: str,
        params: Mapping[str, Any] | None,
        headers: Mapping[str, str] | None,
        read: Callable[[httpx.Response, float], bytes],
        accept: tuple[int, ...],
    ) -> Answer:
        place = self._place(url)
        given = {name: value for name, value in (params or {}).items() if value is not None}
        for attempt in range(1, _TRIES + 1):
            pause_s = backoff_ms(attempt, _FIRST_PAUSE_MS, _MOST_PAUSE_MS) / 1000
            try:
                with self._stream(url, given, headers) as (response, end):
                    status = response.status_code
                    if status == 200 or status in accept:
                        content = read(response, end) if status == 200 else b""
                        found = {name.lower(): value for name, value in response.headers.items()}
                        return Answer(status, found, content)
                    if status == 410:
                        raise CheckpointStale(f"{place}: the checkpoint is gone (HTTP 410)")
                    problem = f"{place}: {_meaning(status)}"
                    if status not in _AGAIN:
                        raise ExchangeFailed(problem)
                    wait_s = retry_after_s(response.headers.get("retry-after"), datetime.now(UTC))
                    if wait_s > _WAIT_S:
                        raise ExchangeFailed(f"{problem}, for {wait_s:.0f} s", wait_s)
                    pause_s = max(pause_s, wait_s)
            except httpx.HTTPError as error:
                problem = f"{place}: {_words(error)}"
            if attempt < _TRIES:
                self._sleep(pause_s)
        raise ExchangeFailed(f"{problem}, {_TRIES} times")

    @contextmanager
    def _stream(
        self, url: str, params: Mapping[str, Any], headers: Mapping[str, str] | None
    ) -> Iterator[tuple[httpx.Response, float]]:
        end = self._now() + self._answer_s
        timeout = httpx.Timeout(min(self._answer_s, 30.0))
        request = self._client.build_request(
            "GET", url, params=params or None, headers=headers, timeout=timeout
        )
        response = self._client.send(request, stream=True)
        try:
            yield response, end
        finally:
            response.close()

    def _body(self, response: httpx.Response, end: float, max_bytes: int) -> bytes:
        return b"".join(self._blocks(response, end, max_bytes))

    def _blocks(self, response: httpx.Response, end: float, max_bytes: int) -> Iterator[bytes]:
        size = 0
        for block in response.iter_bytes():
            size += len(block)
            if size > max_bytes:
                raise ExchangeFailed(f"{response.url.host}: an answer is over the limit of {max_bytes} bytes")
            if self._now() > end:
                raise ExchangeFailed(f"{response.url.host}: an answer took more than {self._answer_s:.0f} s")
            yield block

    def _place(self, url: str) -> str:
        """Checks an address, and returns it as messages may show it."""
        parsed = checked_url(url, secret=self._secret)
        origin = (parsed.scheme, parsed.host, parsed.port)
        if self._origin is None:
            self._origin = origin
        if origin != self._origin:
            raise ExchangeFailed(f"{self._origin[1]}: links to another server, {parsed.host}")
        return f"{parsed.host}{parsed.path}"


def checked_url(url: str, *, secret: bool, field: str = "option url") -> httpx.URL:
    """Parses an address. Raises InvalidInput: it is none, or would send secrets in the clear."""
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, ValueError, TypeError):
        raise InvalidInput(field, "is no address") from None
    if parsed.scheme not in ("https", "http") or not parsed.host:
        raise InvalidInput(field, "wants https://HOST/…")
    if parsed.userinfo:
        raise InvalidInput(field, "holds a password; put it into the credentials file")
    if secret and parsed.scheme == "http" and parsed.host not in _LOOPBACK:
        raise InvalidInput(field, "would send the credentials in the clear; use https")
    return parsed


def retry_after_s(text: str | None, now: datetime) -> float:
    """Parses a Retry-After header: seconds or a date. 0 without one that can be read. Pure."""
    if not text:
        return 0.0
    try:
        wait_s = float(text)
    except ValueError:
        try:
            wait_s = (parsedate_to_datetime(text) - now).total_seconds()
        except (ValueError, TypeError):
            return 0.0
    return min(max(wait_s, 0.0), _MOST_WAIT_S) if wait_s == wait_s else 0.0


def _meaning(status: int) -> str:
    return {
        401: "the credentials are refused (HTTP 401)",
        403: "the credentials are refused (HTTP 403)",
        404: "there is nothing (HTTP 404)",
        429: "asks to be left alone (HTTP 429)",
    }.get(status, f"answers with HTTP {status}")


def _words(error: httpx.HTTPError) -> str:
    """What went wrong, without the address."""
    if isinstance(error, httpx.TimeoutException):
        return "does not answer in time"
    if isinstance(error, httpx.ConnectError):
        return f"cannot be reached ({error})"
    return f"the connection broke ({type(error).__name__})"
