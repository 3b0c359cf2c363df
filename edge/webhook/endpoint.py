"""The platform's endpoint: one signed request, bounded in time and size."""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx

from edge import __version__
from edge.errors import ConfigError, EndpointNotPublic
from edge.settings_file import MAX_KEY_BYTES, read_settings_file
from edge.webhook.events import WebhookEvent
from edge.webhook.resolver import Host
from edge.webhook.retry import parse_retry_after
from edge.webhook.signing import signed_headers

_MAX_ANSWER_BYTES = 64 * 1024
_SHOWN_BYTES = 200
_MAX_ADDRESSES = 4
"""Most addresses of a host that one attempt tries. They share its time."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """The result of one request. ``status`` 0 means no response; ``problem`` then gives the reason."""

    status: int
    elapsed_ms: float
    problem: str = ""
    retry_after_ms: int | None = None

    @property
    def delivered(self) -> bool:
        """Whether the status is 2xx. Redirects are not followed: signed data goes only to the configured
        URL."""
        return 200 <= self.status < 300


class Endpoint:
    """One endpoint. ``send`` never raises because a receiver is away or sends nonsense."""

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
        """``public_only`` refuses addresses of this machine and of private networks, after resolving the
        name.

        Raises ConfigError for a ``ca`` that cannot be read.
        """
        try:
            trust = ssl.create_default_context(cadata=None if ca is None else _authorities(ca))
        except ConfigError as error:
            raise ConfigError(f"webhook.ca: {error}") from None
        except (ValueError, OSError) as error:  # OSError: of ssl
            raise ConfigError(f"webhook.ca: {ca}: {error}") from None
        self._url = httpx.URL(url)
        self._name = self._url.raw_host.decode("ascii")
        self._host = Host(self._name, self._url.port or (443 if self._url.scheme == "https" else 80))
        self._connected = ""
        """The address of the last successful connection. The next attempt tries it first."""
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

    async def send(self, event: WebhookEvent) -> Attempt:
        """Makes one attempt, signed with the present time."""
        started = time.monotonic()

        def ended(status: int, problem: str = "", retry_after_ms: int | None = None) -> Attempt:
            return Attempt(status, (time.monotonic() - started) * 1000, problem, retry_after_ms)

        try:
            # httpx bounds each read, not their sum.
            async with asyncio.timeout(self._timeout_s):
                response, shown = await self._post(event)
        except TimeoutError:
            return ended(0, f"no answer within {self._timeout_s:g} s")
        except EndpointNotPublic as error:
            return ended(0, str(error))
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ssl.SSLError) as error:
            return ended(0, f"{type(error).__name__}: {error}"[:_SHOWN_BYTES])
        after = parse_retry_after(response.headers.get("retry-after"))
        problem = "" if response.is_success else f"status {response.status_code}: {shown}"
        return ended(response.status_code, problem, after)

    async def _post(self, event: WebhookEvent) -> tuple[httpx.Response, str]:
        """Posts to the first address that accepts a connection. Returns the response and the start of its
        body."""
        headers = {
            "host": self._url.netloc.decode("ascii"),
            "content-type": "application/json",
            "user-agent": f"edge-gate/{__version__}",
            **signed_headers(event.id, time.time_ns() // 1_000_000_000, event.body, self._keys),
        }
        addresses = await self._addresses()
        timeout = httpx.Timeout(self._timeout_s, connect=self._timeout_s / len(addresses))
        for number, address in enumerate(addresses, 1):
            request = self._client.stream(
                "POST",
                self._url.copy_with(host=address),
                content=event.body,
                headers=headers,
                timeout=timeout,
                extensions={"sni_hostname": self._name},
            )
            try:
                async with request as response:
                    self._connected = address
                    return response, await _beginning(response)
            except (httpx.ConnectError, httpx.ConnectTimeout):
                if number == len(addresses):
                    raise
        raise AssertionError("a host has an address, or its look-up raises")

    async def _addresses(self) -> list[str]:
        """The addresses to try. With ``public_only`` every address of the name was checked."""
        addresses = await self._host.addresses()
        inside = [each for each in addresses if not ipaddress.ip_address(each.partition("%")[0]).is_global]
        if self._public_only and inside:
            raise EndpointNotPublic(f"webhook.public_only: {self._name} is at {', '.join(inside)}")
        return sorted(addresses, key=lambda each: each != self._connected)[:_MAX_ADDRESSES]

    async def aclose(self) -> None:
        await self._client.aclose()


async def _beginning(response: httpx.Response) -> str:
    """Returns the start of the body for people. Reads the rest, so the connection can be reused."""
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > _MAX_ANSWER_BYTES:
            break
    text = bytes(body[:_SHOWN_BYTES]).decode("utf-8", "replace")
    return "".join(c if c.isprintable() else " " for c in text)


def _authorities(path: Path) -> str:
    """Reads certificates, PEM. What people have written between them may be in any language."""
    return read_settings_file(path, MAX_KEY_BYTES).decode("ascii", "ignore")
