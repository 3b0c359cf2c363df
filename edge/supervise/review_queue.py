"""The incidents that wait for people, in the order in which they should be looked at.

All of them are held in memory, as little of each as their order needs. What changes in the ledger is followed
by the numbers of the audit log, so that nothing is read again for each page that is open.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import Final

from edge.domain import Incident, IncidentState, Severity
from edge.ladder import severity_of
from edge.ledger import Head, WaitingIncident
from edge.ledger.incidents import UNDECIDED
from edge.ledger.subjects import struck_name
from edge.policy import TENANT_ATTRIBUTE, Policy, QueuePolicy, SecondLevel
from edge.priority import priority
from edge.supervise.clean_records import viewers_of
from edge.supervise.context import Context
from edge.supervise.policy_in_force import PolicyInForce
from edge.turns import in_turns

RANKED_MS: Final = 10_000
"""What waits rises, and strikes come: all is ranked again after this, also without news."""
_order: Final = attrgetter("order")
_PAGE: Final = 250
"""Incidents of one reading, so that Admit gets its turns in between."""
_BEHIND: Final = 20
"""Pages of changes that are followed. Who is further behind reads all anew."""
MOST: Final = 200_000
"""Most incidents that are ranked, the newest ones: the memory of a gate is bounded. More are only counted."""


@dataclass(frozen=True, slots=True)
class QueueFilter:
    """Which incidents of the queue are wanted. An empty field says nothing."""

    category: str = ""
    app: str = ""
    tenant: str = ""
    severity: str = ""
    """``severe`` or ``normal``."""
    language: str = ""
    state: str = ""
    """A state's word."""
    only: str = ""
    """``live``; ``mine``, what ``name`` has claimed; ``free``, what nobody else has claimed."""
    name: str = ""
    """Of the person who asks."""


EVERYTHING: Final = QueueFilter()
FACETS: Final = ("category", "app", "tenant", "severity", "language", "state")
"""What the queue is counted by."""


@dataclass(slots=True)
class QueuedIncident:
    """One incident that waits, with what its priority rests on."""

    waiting: WaitingIncident
    queue: QueuePolicy
    second_level: SecondLevel
    severe: bool
    urgent: bool
    """Whether it counts as severe: it is, it is urgent, or somebody has escalated it."""
    viewers: int
    facets: tuple[str, ...]
    """Its value of each of ``FACETS``."""
    strikes: int = 0
    live: bool = False
    priority: float = 0.0
    order: tuple[float, str] = (0.0, "")
    """What ties is in the order in which it was opened."""

    def is_wanted(self, wanted: QueueFilter, values: tuple[str, ...], wall_ms: int) -> bool:
        """``values`` are those of ``wanted`` for each of ``FACETS``."""
        for value, has in zip(values, self.facets, strict=True):
            if value and value != has:
                return False
        waiting = self.waiting
        match wanted.only:
            case "live":
                return self.live
            case "mine":
                return waiting.is_claimed(wall_ms) and waiting.claimed_by == wanted.name
            case "free":
                return not waiting.is_claimed(wall_ms) or waiting.claimed_by == wanted.name
        return True

    def may_be_decided(self, by: str, *, senior: bool) -> bool:
        """Whether this person may decide it, by what others have said of it and by the policy.

        ``senior`` says whether the person may decide what is escalated, where only admins may.
        """
        waiting = self.waiting
        if waiting.state is IncidentState.CONFIRMED_ONCE:
            return waiting.first_confirmed_by != by
        if waiting.state is not IncidentState.ESCALATED:
            return True
        match self.second_level:
            case SecondLevel.ADMIN:
                return senior
            case SecondLevel.ANOTHER:
                return waiting.reviewed_by != by
        return True


@dataclass(frozen=True, slots=True)
class QueueView:
    """The queue at one moment, the most urgent first."""

    queued: tuple[QueuedIncident, ...]
    """Those that are wanted."""
    matching: int
    """How many are wanted."""
    total: int
    """All that wait."""
    counts: Mapping[str, Mapping[str, int]]
    """Of all that wait, by facet and value."""
    oldest_ms: int
    """Wall time at which the oldest was opened; 0 where nothing waits."""


def queued_incident(waiting: WaitingIncident, policy: Policy) -> QueuedIncident:
    """An incident as the queue holds it, not yet ranked. ``policy`` is that of its stream."""
    verdict = waiting.verdict
    severe = severity_of(verdict, policy) is Severity.SEVERE
    return QueuedIncident(
        waiting,
        policy.queue,
        policy.review.second_level,
        severe,
        severe or verdict.urgent or waiting.state is IncidentState.ESCALATED,
        viewers_of(waiting.publish),
        (
            verdict.category,
            waiting.publish.app,
            waiting.publish.attributes.get(TENANT_ATTRIBUTE, ""),
            (Severity.SEVERE if severe else Severity.NORMAL).value,
            policy.queue.language,
            waiting.state.value,
        ),
    )


def rank(queued: QueuedIncident, started_ms: int | None, wall_ms: int) -> None:
    """Sets how urgent it is. ``started_ms`` is when its stream was admitted, None where it is not live."""
    queued.live = started_ms is not None
    queued.priority = priority(
        queued.queue,
        severe=queued.urgent,
        score=queued.waiting.score,
        live=queued.live,
        viewers=queued.viewers,
        on_air_ms=0 if started_ms is None else wall_ms - started_ms,
        waiting_ms=wall_ms - queued.waiting.created_ms,
        strikes=queued.strikes,
    )
    queued.order = -queued.priority, queued.waiting.id


class ReviewQueue:
    """Holds and ranks them, for one event loop."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._one_reads = asyncio.Lock()
        self._queued: dict[str, QueuedIncident] = {}
        self._ranked: list[QueuedIncident] = []
        self._counts: dict[str, Counter[str]] = {facet: Counter() for facet in FACETS}
        self._strikes: Mapping[str, int] = {}
        self._read: Head | None = None
        """The audit log's entry up to which this is read. None: nothing is yet."""
        self._counted: Head | None = None
        """The entry up to which strikes are counted."""
        self._in_force: PolicyInForce | None = None
        self._live: dict[str, int] = {}
        """When each live stream that is not being cut was admitted, wall time."""
        self._ranked_ms = 0.0
        self._oldest_ms = 0
        self._looked_ms = -1.0
        """Monotonic time at which the newest look at the ledger began."""

    async def view(self, wanted: QueueFilter = EVERYTHING, most: int | None = None) -> QueueView:
        """The queue as it is now. At most ``most`` incidents are handed over; None: all that are wanted.

        Raises LedgerUnavailable.
        """
        clock = self._context.clock
        asked_ms = clock.monotonic_ms()
        async with self._one_reads:
            if self._looked_ms <= asked_ms:  # else somebody else has looked since
                await self._look()
        now = clock.wall_ms()
        values = tuple(getattr(wanted, facet) for facet in FACETS)
        found = self._ranked
        if any(values) or wanted.only:
            found = [each for each in found if each.is_wanted(wanted, values, now)]
        shown = found if most is None else found[:most]
        return QueueView(tuple(shown), len(found), len(self._ranked), self._counts, self._oldest_ms)

    async def one(self, incident: Incident) -> QueuedIncident:
        """An incident as it would be ranked now, waiting or not. Raises LedgerUnavailable."""
        async with self._one_reads:
            if self._read is None:
                await self._look()
        queued = self._made(WaitingIncident.of(incident))
        self._rank(queued)
        return queued

    async def _look(self) -> None:
        try:
            await self._bring_up_to_date()
        except BaseException:
            self._read = None  # what was read of it may be lost: the next look reads all
            raise

    async def _bring_up_to_date(self) -> None:
        context, clock = self._context, self._context.clock
        looked_ms = clock.monotonic_ms()
        changed = None if self._read is None else await self._changes(self._read)
        whole = changed is None or context.in_force is not self._in_force
        if changed is None:
            changed = await self._everything()
        self._in_force = context.in_force
        live: dict[str, int] = {
            stream.id: stream.started_ms for stream in context.registry if not stream.cutting
        }
        moved = {ident for ident, _ in self._live.items() ^ live.items()}
        self._live = live
        if whole or looked_ms - self._ranked_ms >= RANKED_MS:
            await self._count_strikes()
            known = {ident: queued.waiting for ident, queued in self._queued.items()} if whole else {}
            async for waiting in in_turns(list({**known, **changed}.values())):
                self._put(waiting)
            async for queued in in_turns(list(self._queued.values())):
                queued.strikes = self._strikes_of(queued.waiting)
                self._rank(queued)
            self._ranked_ms = looked_ms
        else:
            for waiting in changed.values():
                self._put(waiting)
            for queued in self._ranked if moved else ():
                if queued.waiting.stream_id in moved:
                    self._rank(queued)
        if changed or whole or moved or self._ranked_ms == looked_ms:
            self._ranked = sorted(self._queued.values(), key=_order)
            self._oldest_ms = min((each.waiting.created_ms for each in self._ranked), default=0)
        self._looked_ms = looked_ms

    async def _changes(self, since: Head) -> dict[str, WaitingIncident] | None:
        """What has changed since, by id. None where all has to be read anew."""
        context, found = self._context, dict[str, WaitingIncident]()
        for _ in range(_BEHIND):
            page = await context.executor.call(context.ledger.incident_changes, since.number, since.digest)
            if page.lost:
                return None
            for change in page.changes:
                found[change.incident.id] = WaitingIncident.of(change.incident)
            since = Head(page.upto, page.digest)
            if page.upto >= page.newest:
                self._read = since
                return found
        return None

    async def _everything(self) -> dict[str, WaitingIncident]:
        """All that waits. What changes meanwhile is among the changes after it."""
        context, found = self._context, dict[str, WaitingIncident]()
        head = await context.executor.call(context.ledger.head)
        before: str | None = None
        while len(found) < MOST:
            page, before = await context.executor.call(context.ledger.waiting_incidents, _PAGE, before)
            found |= {waiting.id: waiting for waiting in page}
            if before is None:
                break
        self._queued, self._counts = {}, {facet: Counter() for facet in FACETS}
        self._read = head
        return found

    async def _count_strikes(self) -> None:
        context = self._context
        if self._counted == self._read:
            return
        now = context.clock.wall_ms()
        since = now - context.policy.ladder.lapse_ms
        self._strikes = await context.executor.call(context.ledger.standing_strikes, since, now)
        self._counted = self._read

    def _put(self, waiting: WaitingIncident) -> None:
        """Takes over how an incident stands now."""
        before = self._queued.pop(waiting.id, None)
        if before is not None:
            self._count(before, -1)
        if waiting.state in UNDECIDED:
            self._queued[waiting.id] = queued = self._made(waiting)
            self._count(queued, 1)
            self._rank(queued)

    def _made(self, waiting: WaitingIncident) -> QueuedIncident:
        queued = queued_incident(waiting, self._context.in_force.for_publish(waiting.publish))
        queued.strikes = self._strikes_of(waiting)
        return queued

    def _rank(self, queued: QueuedIncident) -> None:
        rank(queued, self._live.get(queued.waiting.stream_id), self._context.clock.wall_ms())

    def _strikes_of(self, waiting: WaitingIncident) -> int:
        return self._strikes.get(struck_name(waiting.publish), 0)

    def _count(self, queued: QueuedIncident, by: int) -> None:
        for facet, value in zip(FACETS, queued.facets, strict=True):
            counter = self._counts[facet]
            counter[value] += by
            if not counter[value]:
                del counter[value]
