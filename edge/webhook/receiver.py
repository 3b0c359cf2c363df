"""The platform's endpoint: one signed request, bounded in time and size."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx

from edge import __version__
from edge.errors import ConfigError
from edge.webhook.events import Event
from edge.webhook.schedule import parse_retry_after
from edge.webhook.signing import signed_headers

_MAX_ANSWER_BYTES = 64 * 1024
_SHOWN_BYTES = 200


@dataclass(frozen=True, slots=True)
class Attempt:
    """What came of one request. ``status`` 0: no answer, ``problem`` says why."""

    status: int
    elapsed_ms: float
    problem: str = ""
    retry_after_ms: int | None = None

    @property
    def delivered(self) -> bool:
        """Any 2xx. Redirects are not followed: what is signed goes where the settings say."""
        return 200 <= self.status < 300


class Receiver:
    """One endpoint. ``send`` never raises for a receiver that is away or answers nonsense."""

    def __init__(
        self,
        url: str,
        keys: Sequence[bytes],
        *,
        timeout_ms: int,
        ca: Path | None = None,
        public_only: bool = False,
        connections: int = 8,
    ) -> None:
        """``public_only``: refuse addresses inside the machine and its networks, whatever the name
        resolves to. Raises ConfigError for a ``ca`` that cannot be read."""
        try:
            trust = ssl.create_default_context(cafile=None if ca is None else str(ca))
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(f"webhook.ca: {ca}: {error}") from None
        self._url = httpx.URL(url)
        self._keys = keys
        self._timeout_s = timeout_ms / 1000
        self._public_only = public_only
        self._client = httpx.AsyncClient(
            timeout=self._timeout_s,
            verify=trust,
            trust_env=False,
            follow_redirects=False,
            limits=httpx.Limits(max_connections=connections),
        )

    async def send(self, event: Event) -> Attempt:
        """One attempt, signed with the time of now."""
        headers = {
            "content-type": "application/json",
            "user-agent": f"edge-gate/{__version__}",
            **signed_headers(event.id, time.time_ns() // 1_000_000_000, event.body, self._keys),
        }
        started = time.monotonic()

        def ended(status: int, problem: str = "", retry_after_ms: int | None = None) -> Attempt:
            return Attempt(status, (time.monotonic() - started) * 1000, problem, retry_after_ms)

        try:
            # httpx bounds each read, not their sum.
            async with asyncio.timeout(self._timeout_s):
                url, extensions = await self._target()
                headers["host"] = self._url.netloc.decode("ascii")
                request = self._client.stream(
                    "POST", url, content=event.body, headers=headers, extensions=extensions
                )
                async with request as response:
                    shown = await _beginning(response)
        except TimeoutError:
            return ended(0, f"no answer within {self._timeout_s:g} s")
        except _NotPublic as error:
            return ended(0, str(error))
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ssl.SSLError) as error:
            return ended(0, f"{type(error).__name__}: {error}"[:_SHOWN_BYTES])
        after = parse_retry_after(response.headers.get("retry-after"))
        problem = "" if response.is_success else f"status {response.status_code}: {shown}"
        return ended(response.status_code, problem, after)

    async def _target(self) -> tuple[httpx.URL, dict[str, str]]:
        """Where to connect to: with ``public_only`` an address that was looked at, not its name."""
        if not self._public_only:
            return self._url, {}
        host = self._url.host
        port = self._url.port or (443 if self._url.scheme == "https" else 80)
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        addresses = [str(each[4][0]) for each in found]
        inside = [each for each in addresses if not ipaddress.ip_address(each.partition("%")[0]).is_global]
        if inside or not addresses:
            raise _NotPublic(f"webhook.public_only: {host} is at {', '.join(inside) or 'no address'}")
        return self._url.copy_with(host=addresses[0]), {"sni_hostname": host}

    async def aclose(self) -> None:
        await self._client.aclose()


class _NotPublic(Exception):
    """The endpoint's name leads inside."""


async def _beginning(response: httpx.Response) -> str:
    """The first of what it says, for people; the rest is read so that the connection can be used again."""
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > _MAX_ANSWER_BYTES:
            break
    text = bytes(body[:_SHOWN_BYTES]).decode("utf-8", "replace")
    return "".join(c if c.isprintable() else " " for c in text)
