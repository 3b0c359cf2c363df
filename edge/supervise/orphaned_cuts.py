"""Finishes unproven cuts of an earlier run: asks again where that is possible, and ends the others."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from cachetools import FIFOCache

from edge.background import BackgroundTasks
from edge.clock import Clock, EventTimes
from edge.domain import Incident, Publish
from edge.errors import CutFailed
from edge.reasons import UnconfirmedReason
from edge.servers.connector import Connector, CutTarget
from edge.supervise.authority import NOBODY, Caller
from edge.supervise.cutter import Cutter
from edge.supervise.incident_progress import IncidentProgress
from edge.telemetry.records import CutGivenUp, CutOfEarlierRun, CutProven, CutUnconfirmed
from edge.telemetry.telemetry import Telemetry

_REMEMBERED = 4096


class OrphanedCuts:
    """Holds unproven cuts of an earlier run, and cuts of this run whose caller is gone for good.

    A server with a connector is asked again until it lets go. A caller of ``Watch`` or ``Attach`` cannot be
    asked, because its call ended with the old process. It proves the cut itself: by ``ConfirmCut`` for the
    same stream, or by a new Admit for the same connection, which the block refuses. Without a proof the cut
    ends in the ledger as ``caller_gone`` after the limit. A late proof still counts.
    """

    def __init__(
        self,
        cutter: Cutter,
        connectors: Mapping[str, Connector],
        progress: IncidentProgress,
        telemetry: Telemetry,
        clock: Clock,
        cut_limit_ms: int,
    ) -> None:
        self._cutter = cutter
        self._connectors = connectors
        self._progress = progress
        self._telemetry = telemetry
        self._clock = clock
        self._cut_limit_ms = cut_limit_ms
        self._tasks = BackgroundTasks()
        self._orphans: FIFOCache[str, tuple[Incident, Caller, EventTimes]] = FIFOCache(_REMEMBERED)
        """By stream, with the caller that had it admitted and the times of what follows."""
        self._proven: dict[str, asyncio.Event] = {}

    def resume(self, incident: Incident) -> None:
        """Takes up a cut of an earlier run."""
        connector = self._connectors.get(incident.publish.server)
        times = self._times_after(incident)
        self._orphans[incident.stream_id] = incident, NOBODY, times
        if connector is None:
            self._tasks.start(self._await_caller(incident, times))
        else:
            self._tasks.start(self._ask_again(incident, connector, times))

    async def caller_gone(
        self, incident: Incident, admitted_by: Caller, times: EventTimes | None = None, *, alarmed: bool
    ) -> None:
        """Records that nobody is left to ask. ``alarmed`` says that the alarm was raised already. ``times``
        are those of the cut."""
        times = times or self._times_after(incident)
        self._orphans[incident.stream_id] = incident, admitted_by, times
        gone = UnconfirmedReason.CALLER_GONE
        self._report_unconfirmed(incident, gone, alarmed=alarmed)
        await self._progress.cut_unconfirmed(incident.id, times.wall_ms(), gone)

    def confirm(self, stream_id: str, by: str) -> Incident | None:
        """Somebody saw that the publisher of an orphaned cut is gone. None if there is no such cut."""
        if stream_id not in self._orphans:
            return None
        incident, _, times = self._orphans[stream_id]
        self._cutter.confirm(stream_id, by)
        if incident.publish.server in self._connectors:
            return incident  # The task that asks the server looks there, and puts the proof on record.
        del self._orphans[stream_id]
        self._report_confirmed(incident, by)
        self._tasks.start(self._progress.cut_confirmed(incident.id, times.wall_ms(), by))
        if (proven := self._proven.get(stream_id)) is not None:
            proven.set()
        return incident

    def admitted_by(self, stream_id: str) -> Caller | None:
        """The caller that had the stream of an orphaned cut admitted. None if there is no such cut."""
        orphan = self._orphans.get(stream_id)
        return None if orphan is None else orphan[1]

    def pursues(self, stream_id: str) -> bool:
        """Whether a cut of the stream is taken up from an earlier run."""
        return stream_id in self._orphans

    def refused_again(self, publish: Publish, caller: Caller) -> None:
        """Takes the same publish, refused as blocked, as proof that the earlier one of its connection is
        over. It must come from the same peer, or for an earlier run's from any."""
        if not self._orphans or not publish.connection:
            return
        for stream_id, (incident, admitted_by, _) in list(self._orphans.items()):
            known = admitted_by.client in ("", caller.client)
            if known and incident.publish == publish and publish.server not in self._connectors:
                self.confirm(stream_id, "refused_again")

    def closed(self, server: str, connection: str) -> bool:
        """Handles a server's hook that a connection is gone. Returns whether an orphaned cut waited for
        it."""
        found = [
            stream_id
            for stream_id, (incident, _, _) in self._orphans.items()
            if (incident.publish.server, incident.publish.connection) == (server, connection)
        ]
        return any([self.confirm(stream_id, "hook") is not None for stream_id in found])

    async def settle(self, timeout_s: float) -> None:
        await self._tasks.settle(timeout_s)

    async def _await_caller(self, incident: Incident, times: EventTimes) -> None:
        self._telemetry.report(CutOfEarlierRun(incident.stream_id, incident.publish, incident.id))
        proven = self._proven[incident.stream_id] = asyncio.Event()
        try:
            await asyncio.wait_for(proven.wait(), self._cut_limit_ms / 1000)
        except TimeoutError:
            await self.caller_gone(incident, NOBODY, times, alarmed=False)
        finally:
            del self._proven[incident.stream_id]

    async def _ask_again(self, incident: Incident, connector: Connector, times: EventTimes) -> None:
        publish = incident.publish
        target = CutTarget(
            stream_id=incident.stream_id,
            app=publish.app,
            name=publish.name,
            connection=publish.connection,
            address=publish.address,
        )
        try:
            outcome = await self._cutter.cut_stream(target, connector, limit_ms=self._cut_limit_ms)
            if not outcome.confirmed:
                limit = UnconfirmedReason.LIMIT
                self._report_unconfirmed(incident, limit, attempts=outcome.attempts)
                await self._progress.cut_unconfirmed(incident.id, times.wall_ms(), limit)
                outcome = await self._cutter.wait(incident.stream_id)
        except CutFailed as error:
            self._telemetry.report(CutGivenUp(incident.stream_id, incident.publish, str(error), incident.id))
            return
        self._orphans.pop(incident.stream_id, None)
        self._report_confirmed(incident, outcome.by, outcome.attempts)
        await self._progress.cut_confirmed(incident.id, times.wall_ms(), outcome.by)

    def _times_after(self, incident: Incident) -> EventTimes:
        """Times from now on, and none before what is on record: the clock may have been set back."""
        known = (incident.created_ms, incident.durable_ms, incident.cut_asked_ms, incident.cut_unconfirmed_ms)
        return EventTimes(self._clock, max(self._clock.wall_ms(), *(at_ms or 0 for at_ms in known)))

    def _report_confirmed(self, incident: Incident, proof: str, attempts: int | None = None) -> None:
        confirmed = CutProven(incident.stream_id, incident.publish, proof, incident.id, attempts)
        self._telemetry.report(confirmed)

    def _report_unconfirmed(
        self,
        incident: Incident,
        reason: UnconfirmedReason,
        *,
        attempts: int | None = None,
        alarmed: bool = False,
    ) -> None:
        unconfirmed = CutUnconfirmed(
            incident.stream_id, incident.publish, reason, incident.id, attempts, alarmed
        )
        self._telemetry.report(unconfirmed)
