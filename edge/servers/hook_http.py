"""Shared by the hooks of all servers: the secret, the bounded body, refusals of wrong calls."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable
from typing import Protocol

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from edge.domain import Publish, StreamId
from edge.errors import InvalidInput, LimitExceeded, Unauthenticated
from edge.notices import Notice
from edge.reasons import AdmissionReason
from edge.servers.hook_body import MAX_BODY_BYTES

_NOT_NOW = frozenset(
    {
        AdmissionReason.CAPACITY,
        AdmissionReason.QUOTA,
        AdmissionReason.ALREADY_LIVE,
        AdmissionReason.PAUSED,
        AdmissionReason.DRAINING,
    }
)
"""Reasons of a refusal that passes by itself."""


class ServerHooks(Protocol):
    """The hooks of one kind of server."""

    @property
    def server(self) -> str:
        """Its kind, as in ``Publish.server``."""
        ...

    def routes(self) -> list[Route]: ...

    def resume(self, stream_id: StreamId, publish: Publish) -> None:
        """Watch a stream that an earlier gate had let in, if it is still there.

        Returns at once. It is called inside the event loop.
        """
        ...

    async def aclose(self) -> None:
        """Follow no publish any more, and close connections to others."""
        ...


def check_secret(request: Request, secret: str | None) -> None:
    """Raises Unauthenticated when ``?secret=`` is missing or wrong; compared in constant time."""
    if secret is None:
        return
    given = request.query_params.get("secret", "")
    if not hmac.compare_digest(given.encode("utf-8", "replace"), secret.encode()):
        raise Unauthenticated("secret", "missing or wrong")


async def bounded_body(request: Request) -> bytes:
    """The body. Raises LimitExceeded over 8 KiB, InvalidInput when it is torn."""
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > MAX_BODY_BYTES:
                raise LimitExceeded("body", MAX_BODY_BYTES, len(body), "bytes")
    except ClientDisconnect:
        raise InvalidInput("body", "the connection ended inside it") from None
    return bytes(body)


def hook_route(
    path: str,
    secret: str | None,
    handle: Callable[[Request, bytes], Awaitable[Response]],
    refuse: Callable[[int, str], Response],
) -> Route:
    """The route of one hook. ``handle`` gets the call and its body, which is bounded.

    ``refuse`` answers a call without the ``secret``, and one for which ``handle`` raises InvalidInput. It
    gets an HTTP status and the reason.
    """

    async def endpoint(request: Request) -> Response:
        try:
            check_secret(request, secret)
            return await handle(request, await bounded_body(request))
        except InvalidInput as error:
            return refuse(status_of(error), str(error))

    return Route(path, endpoint, methods=["POST"])


def status_of(error: InvalidInput) -> int:
    """The HTTP status of a call that is wrong in itself."""
    if isinstance(error, Unauthenticated):
        return 401
    return 413 if isinstance(error, LimitExceeded) and error.field == "body" else 400


def refusal_status(reason: AdmissionReason) -> int:
    """The HTTP status for a publish that the gate refuses: 503 where another try may help, else 403."""
    return 503 if reason in _NOT_NOW else 403


def words(notice: Notice | None) -> str:
    """The broadcaster's notice in both languages."""
    return "" if notice is None else f"{notice.en}\n{notice.ar}"
