"""Who may call the Gate service beyond this machine: ingest servers that show a token, or a certificate."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc

from edge.api.auth import Role, TokenFile
from edge.api.failed_calls import Turnstile
from edge.api.status import Context, abort
from edge.api.vain_calls import Interceptor
from edge.errors import GateError, NotSignedIn, PermissionRefused

_CALLS_GATE = frozenset({Role.INGEST, Role.REVIEWER, Role.ADMIN})
"""A reviewer confirms cuts of streams that hooks had admitted."""


class GateSignIn(Interceptor):
    """Wants ``authorization: Bearer TOKEN`` of an ingest server for each call of one service."""

    def __init__(self, service: str, tokens: TokenFile, turnstile: Turnstile) -> None:
        self._turnstile = turnstile
        self._prefix = f"/{service}/"
        self._tokens = tokens

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        if handler_call_details.method.startswith(self._prefix):
            given = dict(handler_call_details.invocation_metadata or ()).get("authorization", "")
            try:
                check_ingest(self._tokens, given if isinstance(given, str) else "")
            except GateError as error:
                return _refusal(error, self._turnstile)
        return await continuation(handler_call_details)


def check_ingest(tokens: TokenFile, authorization: str) -> None:
    """Raises NotSignedIn without a token, PermissionRefused with one that is not for the Gate service, and
    SignInUnavailable."""
    person = tokens.identify(authorization)
    if person is None:
        raise NotSignedIn
    if person.role not in _CALLS_GATE:
        role = person.role.name.lower()
        raise PermissionRefused(f"role {role} may not call the Gate service: ingest is needed")


def _refusal(error: GateError, turnstile: Turnstile) -> Any:
    """Ends a call of any shape before it sends a message."""

    async def refuse(requests: AsyncIterator[bytes], context: Context) -> AsyncIterator[bytes]:
        if not error.retryable:
            await turnstile.hold_failed(context.peer(), urgent=False)
        await abort(context, error)
        yield b""  # never reached: it makes this a stream

    return grpc.stream_stream_rpc_method_handler(refuse)
