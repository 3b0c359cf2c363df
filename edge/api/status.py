"""Converts the gate's errors to gRPC statuses. The message names the field and the limit."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final, NoReturn, TypeVar

import grpc
import structlog

from edge import errors
from edge.contract.trailing import FAULT, REASON, RETRYABLE

_CODES: tuple[tuple[type[errors.GateError], grpc.StatusCode], ...] = (
    (errors.UnsupportedCodec, grpc.StatusCode.INVALID_ARGUMENT),
    (errors.InvalidInput, grpc.StatusCode.INVALID_ARGUMENT),
    (errors.NotFound, grpc.StatusCode.NOT_FOUND),
    (errors.AlreadyExists, grpc.StatusCode.ALREADY_EXISTS),
    (errors.NotSignedIn, grpc.StatusCode.UNAUTHENTICATED),
    (errors.PermissionRefused, grpc.StatusCode.PERMISSION_DENIED),
    (errors.StaleVersion, grpc.StatusCode.ABORTED),
    (errors.Conflict, grpc.StatusCode.FAILED_PRECONDITION),
    (errors.GateAway, grpc.StatusCode.UNAVAILABLE),
    (errors.EvidenceElsewhere, grpc.StatusCode.FAILED_PRECONDITION),
    (errors.PostersLate, grpc.StatusCode.UNAVAILABLE),
    (errors.EvidenceErased, grpc.StatusCode.NOT_FOUND),
    (errors.UnknownRow, grpc.StatusCode.FAILED_PRECONDITION),
    (errors.ModelError, grpc.StatusCode.FAILED_PRECONDITION),
    (errors.BrokenMedia, grpc.StatusCode.INVALID_ARGUMENT),
    (errors.NoVideo, grpc.StatusCode.INVALID_ARGUMENT),
    (errors.CapacityExceeded, grpc.StatusCode.UNAVAILABLE),
    (errors.LedgerUnavailable, grpc.StatusCode.UNAVAILABLE),
    (errors.EvidenceStoreFailed, grpc.StatusCode.UNAVAILABLE),
    (errors.SignInUnavailable, grpc.StatusCode.UNAVAILABLE),
    (errors.WorkerLost, grpc.StatusCode.UNAVAILABLE),
    (errors.SourceStalled, grpc.StatusCode.DEADLINE_EXCEEDED),
)

INTERNAL = "internal error"
_MOST_CHARS = 1000
"""A character takes up to twelve bytes in a header, of which gRPC takes 16 KiB at most."""

_CALLERS_DOING: Final = frozenset(
    {
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.ALREADY_EXISTS,
        grpc.StatusCode.UNAUTHENTICATED,
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.DEADLINE_EXCEEDED,
    }
)
"""Who is answered so waits for the answer, once it has had many."""

Context = grpc.aio.ServicerContext[Any, Any]
Request = TypeVar("Request")
Response = TypeVar("Response")

_NOT_SIGNED_IN: Final = (errors.NotSignedIn, errors.PermissionRefused, errors.SignInUnavailable)

log = structlog.get_logger(__name__)


def authorization_of(context: Context) -> str:
    """The caller's ``authorization`` metadata; empty where it shows none."""
    given = dict(context.invocation_metadata() or ()).get("authorization", "")
    return given if isinstance(given, str) else ""


def code_of(error: errors.GateError) -> grpc.StatusCode:
    """Returns the most specific status code; INTERNAL for an error that no caller should see."""
    for kind, code in _CODES:
        if isinstance(error, kind):
            return code
    return grpc.StatusCode.INTERNAL


async def abort(context: Context, error: errors.GateError, code: grpc.StatusCode | None = None) -> NoReturn:
    """End the call with the error's status, its reason word, whose fault it is, and whether a retry can help.
    ``code``: instead of the error's own status. The message of an error that no caller should see goes to the
    log alone."""
    code = code or code_of(error)
    message = _shortened(str(error))
    if code is grpc.StatusCode.INTERNAL:
        log.error("call failed", error=message)
        message = INTERNAL
    trailing = (
        (REASON, error.reason),
        (RETRYABLE, "true" if error.retryable else "false"),
        (FAULT, error.fault.value),
    )
    await context.abort(code, message, trailing_metadata=trailing)
    raise AssertionError("abort returns only by raising")


def _shortened(message: str) -> str:
    """gRPC sends a message as a header, and refuses a long one as RESOURCE_EXHAUSTED. One may quote the
    caller."""
    return message if len(message) <= _MOST_CHARS else f"{message[:_MOST_CHARS]} …"


async def abort_stream(context: Context, error: errors.GateError) -> NoReturn:
    """The same for a call that watches a stream. What the publisher causes is INVALID_ARGUMENT there, each
    bound too: callers that do not know ``edge-fault`` close the publisher for that, and for no other."""
    by_publisher = error.fault is errors.Fault.PUBLISHER
    await abort(context, error, grpc.StatusCode.INVALID_ARGUMENT if by_publisher else None)


def _note_sign_in(servicer: Any, error: errors.GateError, context: Context) -> None:
    if not isinstance(error, _NOT_SIGNED_IN):
        servicer.turnstile.calls.signed_in(context.peer())


def answers_errors(
    method: Callable[[Any, Request, Context], Awaitable[Response]],
) -> Callable[[Any, Request, Context], Awaitable[Response]]:
    """Wraps a unary method so that the gate's errors become statuses. ``self.turnstile`` makes callers wait
    whose calls fail again and again."""

    @functools.wraps(method)
    async def wrapped(self: Any, request: Request, context: Context) -> Response:
        try:
            answer = await method(self, request, context)
        except errors.GateError as error:
            _note_sign_in(self, error, context)
            if code_of(error) in _CALLERS_DOING:
                await self.turnstile.hold_failed(context.peer(), urgent=True)
            await abort(context, error)
        except asyncio.CancelledError:
            self.turnstile.cancelled(context.peer())
            raise
        except grpc.aio.BaseError:  # the call has ended, by us or by its caller
            raise
        except Exception:
            log.exception("call failed", method=method.__name__)
            await context.abort(grpc.StatusCode.INTERNAL, INTERNAL)
            raise
        self.turnstile.calls.succeeded(context.peer())
        return answer

    return wrapped


def streams_errors(
    method: Callable[[Any, Request, Context], AsyncIterator[Response]],
) -> Callable[[Any, Request, Context], AsyncIterator[Response]]:
    """Wraps a method that answers with a stream in the same way."""

    @functools.wraps(method)
    async def wrapped(self: Any, request: Request, context: Context) -> AsyncIterator[Response]:
        answered = False
        try:
            async for response in method(self, request, context):
                answered = True
                yield response
        except errors.GateError as error:
            _note_sign_in(self, error, context)
            # The stream was not opened. What ends an open one is answered at once, and does not come here.
            if code_of(error) in _CALLERS_DOING:
                await self.turnstile.hold_failed(context.peer(), urgent=False)
            await abort_stream(context, error)
        except asyncio.CancelledError:
            if not answered:
                self.turnstile.cancelled(context.peer())
            raise
        except grpc.aio.BaseError:  # the call has ended, by us or by its caller
            raise
        except Exception:
            log.exception("call failed", method=method.__name__)
            await context.abort(grpc.StatusCode.INTERNAL, INTERNAL)

    return wrapped
