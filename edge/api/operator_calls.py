"""Shared parts of the Operator calls: who calls, and bounds on what is sent."""

from __future__ import annotations

from edge.api import bounds
from edge.api.auth import Person, Role, TokenFile
from edge.api.failed_calls import Turnstile
from edge.api.status import Context, authorization_of
from edge.domain import beginning_of
from edge.errors import NotSignedIn, PermissionRefused
from edge.supervise import Gate

MAX_SUBJECT_CHARS = 640
"""Longest subject. An attribute's name and value have 64 and 512 characters; a broadcaster may be
`app/name`."""
_DEFAULT_LIMIT = 100
MAX_LIMIT = 1000


class OperatorCalls:
    def __init__(self, gate: Gate, tokens: TokenFile, turnstile: Turnstile) -> None:
        self.turnstile = turnstile
        self._gate = gate
        self._tokens = tokens

    async def person(self, context: Context, needed: Role) -> Person:
        """Returns the caller. Raises NotSignedIn, PermissionRefused or SignInUnavailable."""
        person = self._tokens.identify(authorization_of(context))
        if person is None:
            raise NotSignedIn
        if person.role < needed:
            raise PermissionRefused(
                f"role {person.role.name.lower()} may not do this: {needed.name.lower()} is needed"
            )
        return person

    def shown_stream_id(self, person: Person, stream_id: str) -> str:
        """A viewer only looks, and needs no id."""
        return beginning_of(stream_id) if person.role is Role.VIEWER else stream_id

    def reason(self, given: str, *, required: bool = True) -> str:
        return bounds.text("reason", given, self._gate.settings.limits.max_reason_chars, required=required)


def ident(field: str, given: str) -> str:
    """Returns a required id."""
    return bounds.text(field, given, 64, required=True)


def optional(field: str, given: str, limit: int = 64) -> str | None:
    """Returns an optional filter, or None for an empty one."""
    return bounds.text(field, given, limit) or None


def limit(given: int) -> int:
    return bounds.number("limit", given, 0, MAX_LIMIT) or _DEFAULT_LIMIT
