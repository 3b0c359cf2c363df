"""Sessions of signed-in people: bounded, with an idle and an absolute limit. Pure: the time is an argument.

A session lives in this process alone. The cookie holds a random value, of which only the digest is kept.
"""

from __future__ import annotations

import hashlib
import secrets
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final

from pydantic import SecretStr

_MOST: Final = 1000
"""The one that was used longest ago goes first."""
_MOST_OF_ONE: Final = 16


@dataclass(slots=True)
class Session:
    """One signed-in browser."""

    name: str
    token: SecretStr
    """The person's own. It is looked up again at each request, so that a revoked one counts at once."""
    began_ms: float
    active_ms: float
    csrf: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)
    """What every form of this session must carry."""
    notice: str = ""
    """Key of the text that the next page shows."""
    undo: str = ""
    """Id of the incident whose decision the next page offers to undo."""
    queue: str = ""
    """The part of the queue that was shown last, as the query of its address."""


class Sessions:
    """Every session, by the digest of its cookie. Times are monotonic milliseconds."""

    def __init__(self, idle_ms: int, longest_ms: int) -> None:
        self._idle_ms = idle_ms
        self._longest_ms = longest_ms
        self._sessions: OrderedDict[str, Session] = OrderedDict()

    def begin(self, name: str, token: SecretStr, now_ms: float) -> tuple[str, Session]:
        """Returns a new session and the value of its cookie."""
        own = [key for key, session in self._sessions.items() if session.name == name]
        for key in own[: max(0, len(own) - _MOST_OF_ONE + 1)]:
            del self._sessions[key]
        while len(self._sessions) >= _MOST:
            self._sessions.popitem(last=False)
        cookie = secrets.token_urlsafe(32)
        session = Session(name, token, now_ms, now_ms)
        self._sessions[_key(cookie)] = session
        return cookie, session

    def find(self, cookie: str, now_ms: float, *, active: bool) -> Session | None:
        """The session of a cookie, or None without one. ``active``: a person did something."""
        key = _key(cookie)
        session = self._sessions.get(key)
        if session is None:
            return None
        if now_ms - session.active_ms > self._idle_ms or now_ms - session.began_ms > self._longest_ms:
            del self._sessions[key]
            return None
        if active:
            session.active_ms = now_ms
            self._sessions.move_to_end(key)
        return session

    def end(self, cookie: str) -> None:
        self._sessions.pop(_key(cookie), None)


def _key(cookie: str) -> str:
    return hashlib.sha256(cookie.encode()).hexdigest()
