"""Records the progress of incidents. People need it, but no cut waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from edge.banking import Banking
from edge.domain import Activity, Block, Incident, Verdict
from edge.errors import GateError, LedgerUnavailable, NotFound
from edge.ledger import DurableLedger
from edge.reasons import UnconfirmedReason, VerdictReason
from edge.supervise.ledger_executor import LedgerExecutor
from edge.supervise.live_stream import LiveStream
from edge.telemetry.records import MarkLost
from edge.telemetry.telemetry import Telemetry

RETRY_S = 1.0
RETRIES = 3600

log = structlog.get_logger(__name__)


class IncidentProgress:
    """Writes each mark to the ledger or the journal, and retries while neither takes it.

    An incident that is not found is on its way from the journal to the ledger, so its mark is retried too.
    """

    def __init__(self, ledger: DurableLedger, executor: LedgerExecutor, telemetry: Telemetry) -> None:
        self._telemetry = telemetry
        self._ledger = ledger
        self._executor = executor

    async def stream_cut(
        self, stream: LiveStream, reason: VerdictReason, block: Block | None, wall_ms: int
    ) -> None:
        """Records a cut that has no incident."""
        block_id = None if block is None else block.id
        await self._retried(
            self._ledger.record_stream_cut, stream.id, stream.publish, reason.value, block_id, wall_ms
        )

    async def cut_asked(self, incident_id: str, wall_ms: int, durable_ms: int | None) -> None:
        await self._retried(self._ledger.mark_cut_asked, incident_id, wall_ms, durable_ms)

    async def cut_confirmed(self, incident_id: str, wall_ms: int, by: str) -> None:
        await self._retried(self._ledger.mark_cut_confirmed, incident_id, wall_ms, by)

    async def cut_unconfirmed(self, incident_id: str, wall_ms: int, reason: UnconfirmedReason) -> None:
        await self._retried(self._ledger.mark_cut_unconfirmed, incident_id, wall_ms, reason)

    async def evidence(
        self,
        incident_id: str,
        path: str,
        wall_ms: int,
        span_pts_ms: tuple[int, int],
        sha256: str,
        size: int,
    ) -> None:
        await self._retried(self._ledger.set_evidence, incident_id, path, wall_ms, span_pts_ms, sha256, size)

    async def activity(
        self, incident_id: str, activity: Activity, verdict: Verdict | None, wall_ms: int
    ) -> None:
        """Records how an incident has gone on."""
        await self._retried(self._ledger.note_activity, incident_id, activity, verdict, wall_ms)

    async def banking(self, incident_id: str, banking: Banking, wall_ms: int) -> None:
        await self._retried(self._ledger.set_banking, incident_id, banking, wall_ms)

    async def newest(self, incident: Incident) -> Incident:
        """The incident as it is on record by now; as given where that cannot be read."""
        try:
            return await self._executor.call(self._ledger.incident, incident.id)
        except GateError:
            return incident

    async def _retried(self, mark: Callable[..., object], *args: object) -> None:
        for _ in range(RETRIES):
            try:
                await self._executor.call(mark, *args)
                return
            except (LedgerUnavailable, NotFound) as error:
                log.warning("mark on an incident waits for the ledger", error=str(error))
                await asyncio.sleep(RETRY_S)
                # Each call to a ledger that is away takes half a second. Many callers would delay noticing
                # its return.
                await self._executor.back()
        self._telemetry.report(MarkLost(str(args[0]), mark.__name__))
