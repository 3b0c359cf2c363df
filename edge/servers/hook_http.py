"""What the hooks of all servers that speak JSON share: the secret, the bounded body, the admission."""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field
from typing import Any, Protocol

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from edge.domain import Publish, StreamId
from edge.errors import InvalidInput, LimitExceeded, Unauthenticated
from edge.notices.notice import Notice
from edge.reasons import AdmissionReason
from edge.servers.hook_body import MAX_BODY_BYTES, parse_object
from edge.servers.publish_arguments import PublishArguments

NOT_NOW = frozenset({AdmissionReason.CAPACITY, AdmissionReason.DRAINING})
"""Reasons of a refusal that says nothing about the broadcaster."""


@dataclass(frozen=True, slots=True)
class ServerHookSettings:
    """Of the hooks of one server."""

    pull_url: str
    """Where the gate pulls from; ``{app}`` and ``{name}`` are filled in."""
    secret: str | None = field(default=None, repr=False)
    """Every hook must carry it as ``?secret=``."""
    arguments: PublishArguments = field(default_factory=PublishArguments)


class ServerHooks(Protocol):
    """The hooks of one kind of server."""

    @property
    def server(self) -> str:
        """Its kind, as in ``Publish.server``."""
        ...

    def routes(self) -> list[Route]: ...

    def resume(self, stream_id: StreamId, publish: Publish) -> None:
        """Go on with a stream that an earlier gate had let in: is it still there, then watch it.

        Returns at once; called inside the event loop.
        """
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


async def read_object(request: Request, secret: str | None) -> dict[str, Any]:
    """The hook's JSON object, whatever its content type says.

    Raises Unauthenticated, InvalidInput or LimitExceeded.
    """
    check_secret(request, secret)
    return parse_object(await bounded_body(request))


def status_of(error: InvalidInput) -> int:
    """The HTTP status of a call that is wrong in itself."""
    if isinstance(error, Unauthenticated):
        return 401
    return 413 if isinstance(error, LimitExceeded) and error.field == "body" else 400


def words(notice: Notice | None) -> str:
    """The broadcaster's notice in both languages."""
    return "" if notice is None else f"{notice.en}\n{notice.ar}"


def no_content() -> Response:
    return Response(status_code=200)
