"""One crisis: a time of stricter policy for the fleet, with a bank of its own. Pure.

Its life is one state: proposed, in force, ended. A crisis for which one person suffices begins in force.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Final

from edge.errors import Conflict, InvalidInput, PermissionRefused
from edge.policy import Patch

CRISIS_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,47}")
DRILL_APP: Final = "edge-gate-drill"
"""The app of what drills show. A drill is for no other."""
MOST_APPS: Final = 32
MINUTE_MS: Final = 60_000
TIME_OVER: Final = "its time is over"
NOT_CONFIRMED: Final = "nobody confirmed it in time"


class CrisisState(StrEnum):
    PROPOSED = "proposed"
    """It waits for a second person, and does nothing."""
    IN_FORCE = "in_force"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Crisis:
    """A crisis as it is on record. Wall times are milliseconds since the Unix epoch."""

    name: str
    reason: str
    for_ms: int
    """How long it is in force."""
    declared_ms: int
    declared_by: str
    state: CrisisState
    patch: Patch = field(default_factory=dict)
    """What it changes of the policy: a JSON Merge Patch that only makes it stricter."""
    apps: tuple[str, ...] = ()
    """Globs of the apps whose streams it is for. Empty: of all."""
    share: bool = False
    """Whether its bank may go to other companies."""
    drill: bool = False
    begun_ms: int | None = None
    """When it came into force. None: it never has."""
    confirmed_by: str | None = None
    """The second person. None: there was none."""
    ended_ms: int | None = None
    ended_by: str | None = None
    end_reason: str | None = None
    revision: int = 0
    """Number of the audit entry that made it what it is."""
    declared_at: int = 0
    """Number of the audit entry with which it began: its log is from there on."""

    @property
    def bank(self) -> str:
        """Name of its bank."""
        return f"{'drill' if self.drill else 'crisis'}-{self.name}"

    @property
    def until_ms(self) -> int:
        """When it ends by itself, by the wall clock. For a proposed one: when it is given up."""
        return (self.declared_ms if self.begun_ms is None else self.begun_ms) + self.for_ms

    def left_ms(self, now_ms: int) -> int:
        """Milliseconds until it ends by itself, never more than its whole length."""
        if self.state is CrisisState.ENDED:
            return 0
        return max(0, min(self.for_ms, self.until_ms - now_ms))

    def is_for(self, app: str) -> bool:
        """Whether it is for the streams of an app."""
        return not self.apps or any(fnmatchcase(app, glob) for glob in self.apps)

    def confirmed(self, by: str, now_ms: int) -> Crisis:
        """A second person puts it in force. Raises Conflict and PermissionRefused."""
        if self.state is not CrisisState.PROPOSED:
            raise Conflict(f"crisis {self.name} is {self.state.value}, so it cannot be confirmed")
        if self.left_ms(now_ms) == 0:
            raise Conflict(f"crisis {self.name}: {NOT_CONFIRMED}; declare another")
        if by == self.declared_by:
            raise PermissionRefused(f"{by} has declared crisis {self.name}: another person must confirm it")
        return replace(self, state=CrisisState.IN_FORCE, begun_ms=now_ms, confirmed_by=by)

    def ended(self, by: str, reason: str, now_ms: int) -> Crisis:
        """Ends it. Raises Conflict where it has ended."""
        if self.state is CrisisState.ENDED:
            raise Conflict(f"crisis {self.name} has ended already")
        return replace(self, state=CrisisState.ENDED, ended_ms=now_ms, ended_by=by, end_reason=reason)


def declared(crisis: Crisis, *, two_people: bool, longest_ms: int) -> Crisis:
    """A new crisis as it begins. Raises InvalidInput, which names the field."""
    if not CRISIS_NAME.fullmatch(crisis.name):
        raise InvalidInput("name", "wants 1 to 48 of a-z, 0-9 and -, starting with a letter or a digit")
    if not MINUTE_MS <= crisis.for_ms <= longest_ms:
        most = f"{longest_ms / 3_600_000:g} h (crisis.longest_ms of the policy)"
        raise InvalidInput("duration_ms", f"{crisis.for_ms} ms is not between one minute and {most}")
    if len(crisis.apps) > MOST_APPS:
        raise InvalidInput("apps", f"{len(crisis.apps)} globs are more than {MOST_APPS}")
    for glob in crisis.apps:
        if not 0 < len(glob) <= 128 or not glob.isprintable():
            raise InvalidInput("apps", "each wants 1 to 128 characters that can be printed")
    if two_people and not crisis.drill:
        return replace(crisis, state=CrisisState.PROPOSED)
    return replace(crisis, state=CrisisState.IN_FORCE, begun_ms=crisis.declared_ms)
