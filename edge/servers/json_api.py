"""Calls of an ingest server's JSON control API, bounded in time and size."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import httpx
from pydantic import SecretStr

MAX_ANSWER_BYTES = 16 * 1024 * 1024
_AT_ONCE_BYTES = 64 * 1024
"""A larger answer is parsed in a thread."""


@dataclass(frozen=True, slots=True)
class ApiAnswer:
    """The answer to one call. ``status`` 0: there is none that can be used, and ``problem`` says why."""

    status: int
    body: Any = None
    """Parsed JSON; None when the body is empty or something else."""
    problem: str = ""
    empty: bool = False
    """There was no body at all."""

    def get(self, *path: str) -> Any:
        """The value at a path of object keys; None where there is none."""
        value = self.body
        for key in path:
            value = value.get(key) if isinstance(value, dict) else None
        return value


class JsonApi:
    """One server's API. Never raises for a server that is away or answers nonsense."""

    def __init__(
        self,
        base_url: str,
        *,
        timeout_s: float = 1.0,
        transport: httpx.AsyncBaseTransport | None = None,
        auth: httpx.Auth | None = None,
    ) -> None:
        self._base_url = base_url.rstrip("/")
        self._timeout_s = timeout_s
        self._client = httpx.AsyncClient(timeout=timeout_s, trust_env=False, transport=transport, auth=auth)

    async def call(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> ApiAnswer:
        """One request. ``path`` begins with a slash and is already escaped."""
        body = bytearray()
        try:
            # httpx bounds each read, not their sum. A server that sends byte by byte must not delay a cut.
            async with (
                asyncio.timeout(self._timeout_s),
                self._client.stream(
                    method, f"{self._base_url}{path}", params=params, headers=dict(headers or {})
                ) as response,
            ):
                async for chunk in response.aiter_bytes():
                    body += chunk
                    if len(body) > MAX_ANSWER_BYTES:
                        return ApiAnswer(0, problem=f"answer over {MAX_ANSWER_BYTES} bytes")
                status = response.status_code
        except TimeoutError:
            return ApiAnswer(0, problem=f"no answer within {self._timeout_s} s")
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            # The error's own words may hold the URL, and some APIs take secrets there.
            return ApiAnswer(0, problem=type(error).__name__)
        if not body:
            return ApiAnswer(status, empty=True)
        try:
            if len(body) <= _AT_ONCE_BYTES:
                return ApiAnswer(status, json.loads(bytes(body)))
            return ApiAnswer(status, await asyncio.to_thread(json.loads, bytes(body)))
        except (ValueError, RecursionError):
            return ApiAnswer(status)

    async def aclose(self) -> None:
        await self._client.aclose()


class ApiUserSection(Protocol):
    """The settings of a server whose API takes a user and a password."""

    @property
    def api_url(self) -> str: ...

    @property
    def api_user(self) -> str: ...

    @property
    def api_password(self) -> SecretStr: ...


class ApiUserConnector:
    """Base of connectors to such a server."""

    def __init__(
        self,
        settings: ApiUserSection,
        *,
        timeout_s: float = 1.0,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        user, password = settings.api_user, settings.api_password.get_secret_value()
        self._api = JsonApi(
            settings.api_url,
            timeout_s=timeout_s,
            transport=transport,
            auth=httpx.BasicAuth(user, password) if user else None,
        )

    async def aclose(self) -> None:
        await self._api.aclose()
