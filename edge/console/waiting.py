"""The incidents that wait for people, in the order in which they should be looked at."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass
from typing import Final

from pydantic import SecretStr

from edge.api.auth import Person, Role
from edge.api.operator_servicer import OperatorServicer
from edge.console.calls import call
from edge.console.priority import priority
from edge.contract.gate import verdict_from_proto
from edge.contract.gen import gate_pb2, operator_pb2
from edge.domain import Severity
from edge.ladder import severity_of
from edge.supervise import Gate
from edge.turns import in_turns

_STATES: Final = (
    operator_pb2.INCIDENT_STATE_OPEN,
    operator_pb2.INCIDENT_STATE_ESCALATED,
    operator_pb2.INCIDENT_STATE_CONFIRMED_ONCE,
)
_RANKED_MS: Final = 10_000
"""What waits rises: it is ranked again after this, also without news."""
_STRIKES_MS: Final = 60_000
"""All is read again after this, if the ledger has changed: a strike may come without an incident."""
_MOST: Final = 1000
"""Most incidents of a state that are ranked, the newest ones. Also most strikes and streams of one call."""
_PAGE: Final = 100
"""Incidents of one call, so that Admit gets its turns in between."""


@dataclass(frozen=True, slots=True)
class Job:
    """One incident that waits, with what its priority rests on."""

    incident: operator_pb2.Incident
    live: bool
    severe: bool
    strikes: int
    priority: float

    @property
    def score(self) -> float:
        return score_of(self.incident)

    @property
    def action(self) -> str:
        """``flag`` or ``cut``, also where shadow mode withheld it."""
        return action_of(self.incident)


@dataclass(slots=True)
class _Read:
    """What was read at one revision of the ledger, and its last ranking."""

    revision: int
    incidents: tuple[operator_pb2.Incident, ...]
    strikes: Counter[str]
    read_ms: float = 0.0
    """Monotonic time."""
    ranked_for: tuple[frozenset[str], int] | None = None
    """The live streams and the time that ``jobs`` are ranked for."""
    jobs: tuple[Job, ...] = ()


class WaitingIncidents:
    """Reads and ranks them. What nothing has changed is not read again for each open page."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._one_reads = asyncio.Lock()
        self._read: dict[bool, _Read] = {}
        """By whether the reader is a viewer, who sees shortened ids."""

    async def jobs(self, operator: OperatorServicer, person: Person, token: SecretStr) -> tuple[Job, ...]:
        """Every incident that waits, the one to look at first in front."""
        streams = await live_streams(operator, token)
        live = frozenset(stream.stream_id for stream in streams if not stream.cutting)
        async with self._one_reads:  # the others find what it has read and ranked
            read = await self._current(operator, person, token)
            now = self._gate.clock.wall_ms()
            ranked_for = live, now // _RANKED_MS
            if read.ranked_for != ranked_for:
                jobs = [
                    self._job(incident, incident.stream_id in live, read, now)
                    async for incident in in_turns(read.incidents)
                ]
                jobs.sort(key=lambda job: (-job.priority, job.incident.id))
                read.jobs, read.ranked_for = tuple(jobs), ranked_for
            return read.jobs

    def job(self, incident: operator_pb2.Incident, *, live: bool, strikes: int) -> Job:
        """One incident as a job, waiting or not."""
        counted = Counter({incident.broadcaster: strikes})
        return self._job(incident, live, _Read(0, (), counted), self._gate.clock.wall_ms())

    async def _current(self, operator: OperatorServicer, person: Person, token: SecretStr) -> _Read:
        shortened = person.role is Role.VIEWER
        known = self._read.get(shortened)
        if known is not None and await self._is_current(known):
            return known
        executor, ledger = self._gate.executor, self._gate.ledger
        revision, now_ms = await executor.call(ledger.newest_change), self._gate.clock.monotonic_ms()
        incidents: list[operator_pb2.Incident] = []
        for state in _STATES:
            before_id = ""
            for _ in range(_MOST // _PAGE):
                asked = operator_pb2.ListIncidentsRequest(state=state, limit=_PAGE, before_id=before_id)
                page = (await call(operator.ListIncidents, asked, token)).incidents
                incidents += page
                if len(page) < _PAGE:
                    break
                before_id = page[-1].id
        listed = await call(operator.ListStrikes, operator_pb2.ListStrikesRequest(limit=_MOST), token)
        strikes = Counter(strike.broadcaster for strike in listed.strikes)
        self._read[shortened] = read = _Read(revision, tuple(incidents), strikes, now_ms)
        return read

    async def _is_current(self, known: _Read) -> bool:
        """Whether no incident has changed since. Most entries of the audit log say who looked at what: each
        picture of the queue makes one."""
        since = await self._gate.executor.call(self._gate.ledger.incident_changes, known.revision)
        if since.upto == since.newest == known.revision:
            return True
        is_old = self._gate.clock.monotonic_ms() - known.read_ms > _STRIKES_MS
        if is_old or since.changes or not known.revision <= since.upto == since.newest:
            return False
        known.revision = since.upto
        return True

    def _job(self, incident: operator_pb2.Incident, live: bool, read: _Read, now_ms: int) -> Job:
        policy = self._gate.policy.for_app(incident.app)
        severe = severity_of(verdict_from_proto(incident.verdict, 0), policy) is Severity.SEVERE
        escalated = incident.state == operator_pb2.INCIDENT_STATE_ESCALATED
        strikes = read.strikes[incident.broadcaster]
        rank = priority(
            severe=severe or escalated or incident.verdict.urgent,
            score=score_of(incident),
            live=live,
            waiting_ms=now_ms - incident.created_wall_ms,
            strikes=strikes,
        )
        return Job(incident, live, severe, strikes, rank)


async def live_streams(operator: OperatorServicer, token: SecretStr) -> list[operator_pb2.Stream]:
    """Every live stream of this gate."""
    found: list[operator_pb2.Stream] = []
    while True:
        after = found[-1].stream_id if found else ""
        asked = operator_pb2.ListStreamsRequest(after_id=after)
        page = (await call(operator.ListStreams, asked, token)).streams
        found += page
        if len(page) < _MOST:
            return found


def score_of(incident: operator_pb2.Incident) -> float:
    """The highest score of an incident so far."""
    peak = incident.activity.peak_score if incident.HasField("activity") else 0.0
    return max(peak, incident.verdict.score)


def action_of(incident: operator_pb2.Incident) -> str:
    verdict = incident.verdict
    action = verdict.shadow_action if incident.shadow else verdict.action
    return "cut" if action == gate_pb2.ACTION_CUT else "flag"
