"""Keeps one incident for each flagged activity of a stream, and notes how it goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from edge.background import BackgroundTasks
from edge.clock import Clock
from edge.decide import Activities, Progress
from edge.domain import Incident, Signal, Verdict
from edge.errors import GateError
from edge.ledger import DurableLedger
from edge.ledger.incidents import UNDECIDED
from edge.policy import ReviewPolicy
from edge.supervise.incident_progress import IncidentProgress
from edge.supervise.ledger_executor import LedgerExecutor


class OngoingIncidents:
    """The flagged activities of all live streams. Its ``sweep`` runs once a second."""

    def __init__(
        self,
        ledger: DurableLedger,
        executor: LedgerExecutor,
        progress: IncidentProgress,
        clock: Clock,
        is_live: Callable[[str], bool],
        tasks: BackgroundTasks,
    ) -> None:
        """``is_live``: whether a stream is not over yet."""
        self._ledger = ledger
        self._executor = executor
        self._progress = progress
        self._clock = clock
        self._is_live = is_live
        self._tasks = tasks
        self._of_stream: dict[str, Activities] = {}

    def restore(self, incidents: Iterable[Incident]) -> None:
        """Takes the incidents of an earlier run. Their streams go on, and so do they."""
        for incident in incidents:
            if self._is_live(incident.stream_id):
                self.opened(incident)

    def opened(self, incident: Incident) -> None:
        """Takes a new incident, which the next FLAG of its kind belongs to."""
        self._of_stream.setdefault(incident.stream_id, Activities()).opened(incident)

    def incident_of(self, stream_id: str, verdict: Verdict, review: ReviewPolicy) -> str | None:
        """The incident that a FLAG belongs to, as far as is known here. None: it opens one."""
        known = self._of_stream.get(stream_id)
        return None if known is None else known.incident_of(verdict, self._clock.wall_ms(), review)

    def add_verdict(self, stream_id: str, verdict: Verdict) -> None:
        """Adds a FLAG to the incident that it belongs to."""
        if (known := self._of_stream.get(stream_id)) is not None:
            now = self._clock.wall_ms()
            known.add_verdict(verdict, now)
            self._note(known.due(now))

    async def is_decided(self, stream_id: str, incident_id: str) -> bool:
        """Whether a person, perhaps at another gate, has decided on an incident. The next FLAG then opens
        another."""
        try:
            incident = await self._executor.call(self._ledger.incident, incident_id)
        except GateError:  # It is in the journal still, or the ledger is away.
            return False
        decided = incident.state not in UNDECIDED
        if decided and (known := self._of_stream.get(stream_id)) is not None:
            known.ended(incident_id)
        return decided

    def sign(self, stream_id: str, signal: Signal) -> tuple[str, bool] | None:
        """What was flagged goes on. Returns its incident, and whether that is shadow."""
        known = self._of_stream.get(stream_id)
        return None if known is None else known.add_sign(signal, self._clock.wall_ms())

    def sweep(self) -> None:
        """Notes what has gone on, and forgets the streams that are over."""
        now = self._clock.wall_ms()
        for stream_id, known in list(self._of_stream.items()):
            over = not self._is_live(stream_id)
            self._note(known.due(now, over=over))
            if over:
                del self._of_stream[stream_id]

    def finish(self) -> None:
        """Notes everything, before the gate stops."""
        for known in self._of_stream.values():
            self._note(known.due(self._clock.wall_ms(), over=True))

    def _note(self, progress: Iterable[Progress]) -> None:
        for one in progress:
            self._tasks.start(
                self._progress.activity(one.incident_id, one.activity, one.verdict, self._clock.wall_ms())
            )
