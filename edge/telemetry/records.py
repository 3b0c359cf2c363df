"""What the gate reports: one frozen record for each kind of thing that happens.

Code reports records to ``Telemetry`` and knows nothing of metrics and log lines; backends make these of them.
A record is made when its event is over and complete, and one event is one record. What runs once a second
reports a snapshot.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edge.domain import Action, Block, Incident, Publish, Verdict
from edge.reasons import UnconfirmedReason

GATE = "gate"
"""Who acted where no person did."""


@dataclass(frozen=True, slots=True)
class Record:
    """Base of every record."""


# Who may go live


@dataclass(frozen=True, slots=True)
class Admitted(Record):
    """A publish may go live. The same connection may ask again, and each answer is reported."""

    stream_id: str
    publish: Publish
    live: int
    """Streams that are live now."""


@dataclass(frozen=True, slots=True)
class Refused(Record):
    """The gate was asked for a publish and refused it."""

    publish: Publish
    reason: str
    block_id: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class TurnedAway(Record):
    """A hook refused a publish by itself: the gate was not asked, or had admitted it."""

    publish: Publish
    reason: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class FailureModeUsed(Record):
    """The policy said what happens as something of the gate does not work."""

    part: str
    """``on_ledger_down``, ``on_capacity`` or ``on_gate_degraded``."""
    mode: str


# The life of a stream


@dataclass(frozen=True, slots=True)
class StreamsRestored(Record):
    """Streams that an earlier run had admitted are known again."""

    live: int


@dataclass(frozen=True, slots=True)
class SourceOpened(Record):
    """A worker decodes the stream."""

    stream_id: str
    codec: str


@dataclass(frozen=True, slots=True)
class StreamClosed(Record):
    """A worker has closed a stream, which may be opened again."""

    stream_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class WatchingFailed(Record):
    """A live stream is not watched any more, though nobody asked for that."""

    stream_id: str
    publish: Publish
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class StreamOver(Record):
    """A stream is forgotten."""

    stream_id: str
    publish: Publish
    reason: str
    live: int
    """Streams that are live now."""


# Judging


@dataclass(frozen=True, slots=True)
class Passed(Record):
    """A sample was judged, and nothing follows. Reported for nearly every sample: backends must be quick."""

    latency_ms: float
    """From the arrival of the sample's last byte to the verdict."""


@dataclass(frozen=True, slots=True)
class Judged(Record):
    """A sample was judged, and the verdict is not PASS, or would not be without shadow mode."""

    action: Action
    reason: str
    """``shadow`` where shadow mode withholds the action."""
    latency_ms: float


@dataclass(frozen=True, slots=True)
class JudgedTooLate(Record):
    """A violation was seen on a stream that had ended: there is nobody to cut."""

    stream_id: str


@dataclass(frozen=True, slots=True)
class NotJudged(Record):
    """Samples or access units got no verdict."""

    stream_id: str
    reason: str
    count: int


@dataclass(frozen=True, slots=True)
class BankEntryRanAway(Record):
    """A bank entry matches too many streams to be right."""

    bank: str
    entry: str
    limit: int
    """Streams that it may match."""
    quarantined: bool
    """It flags from now on and does not cut. An entry whose audio matches is only reported."""


# From a verdict to a proven cut


@dataclass(frozen=True, slots=True)
class Flagged(Record):
    """An incident is open for people; the stream goes on."""

    incident: Incident
    by: str = GATE


@dataclass(frozen=True, slots=True)
class CutDecided(Record):
    """A stream is to be cut: the gate asks its ingest server from now on."""

    stream_id: str
    publish: Publish
    verdict: Verdict
    incident_id: str = ""
    block_id: str = ""
    """The block that the cut follows from, where it was made for something else."""
    by: str = GATE


@dataclass(frozen=True, slots=True)
class CutConfirmed(Record):
    """The publisher is proven gone."""

    stream_id: str
    publish: Publish
    proof: str
    """``confirm_cut``, ``hook``, ``state_api``, ``already_gone`` or ``refused_again``."""
    incident_id: str = ""
    attempts: int | None = None
    """How often the server was asked; None where nobody counted."""
    time_to_cut_ms: float | None = None
    """From the CUT verdict; None where the verdict was reached in an earlier run."""


@dataclass(frozen=True, slots=True)
class CutUnconfirmed(Record):
    """An alarm: nothing has proven the cut within its limit."""

    stream_id: str
    publish: Publish
    reason: UnconfirmedReason
    incident_id: str = ""
    attempts: int | None = None
    alarmed: bool = False
    """An earlier record of the same cut has raised the alarm."""


@dataclass(frozen=True, slots=True)
class CutGivenUp(Record):
    """The gate stops before the cut is proven."""

    stream_id: str
    publish: Publish
    error: str
    incident_id: str = ""


@dataclass(frozen=True, slots=True)
class ViolationRecorded(Record):
    """The strike and the blocks of an incident are written."""

    incident: Incident
    durable_in: str
    """``ledger``, ``journal``, or ``memory`` while neither can be written."""
    error: str = ""
    """Why they are only in memory."""


@dataclass(frozen=True, slots=True)
class EvidenceSaved(Record):
    """The clip of an incident is on disk."""

    incident_id: str


@dataclass(frozen=True, slots=True)
class EvidenceMissing(Record):
    """There is no clip of an incident."""

    incident_id: str
    error: str


# What people decide


@dataclass(frozen=True, slots=True)
class BlockMade(Record):
    """Live access is denied from now on."""

    block: Block
    by: str


@dataclass(frozen=True, slots=True)
class BlockChanged(Record):
    """A block ends at another time, or is not provisional any more."""

    block: Block
    by: str


@dataclass(frozen=True, slots=True)
class BlockLifted(Record):
    """A block has ended before its time."""

    block: Block
    by: str


@dataclass(frozen=True, slots=True)
class IncidentReviewed(Record):
    """A person has decided about an incident, whose state says what."""

    incident: Incident
    by: str


# The gate's own parts


@dataclass(frozen=True, slots=True)
class LedgerDown(Record):
    """The ledger cannot be written."""


@dataclass(frozen=True, slots=True)
class LedgerBack(Record):
    """The ledger can be written again."""


@dataclass(frozen=True, slots=True)
class WorkersRestarted(Record):
    """Workers died and were replaced."""

    count: int


@dataclass(frozen=True, slots=True)
class WorkerMeasured(Record):
    """What one worker counted of one measure since it said so last; see ``distributions``."""

    measure: str
    counts: tuple[int, ...]
    """By bucket."""
    sum_ms: float


@dataclass(frozen=True, slots=True)
class WorkerLoad:
    """One worker as it was last measured."""

    index: int
    streams: int
    busy_share: float
    """Share of its time in jobs that had to be done."""
    resident_bytes: int
    opportunistic_share: float = 0.0
    """Share of its time in jobs that are given up when there is no time for them."""
    jobs: int = 0
    """That waited when it was asked."""


@dataclass(frozen=True, slots=True)
class PoolSnapshot(Record):
    """The workers as they stand; reported once a second. Counts are since the gate started."""

    workers: tuple[WorkerLoad, ...]
    streams_by_tier: Mapping[str, int]
    preempted: int
    """Looks denser than due that gave way."""
    frames_decoded: int
    samples_judged: int
    bank_hashes: int
    banks_unreadable: int
    bank_searches_cut_short: int


# Telling the platform


@dataclass(frozen=True, slots=True)
class WebhookDelivered(Record):
    """The platform took an event."""


@dataclass(frozen=True, slots=True)
class WebhookFailed(Record):
    """The platform did not take an event, which is sent again."""

    event_id: str
    type: str
    attempts: int
    again_in_ms: int
    problem: str


@dataclass(frozen=True, slots=True)
class WebhookGivenUp(Record):
    """An event is not sent again."""

    event_id: str
    type: str
    audit_number: int
    attempts: int
    problem: str


@dataclass(frozen=True, slots=True)
class WebhookQueue(Record):
    """The events that wait; reported with each turn of delivery."""

    waiting: int
    oldest_s: float
    """Age of the oldest."""
