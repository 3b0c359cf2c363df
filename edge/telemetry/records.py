"""Records of what the gate reports: one frozen record class for each kind of event.

Code reports records to ``Telemetry`` and knows nothing of metrics and log lines. Backends turn records into
these. A record is made when its event is complete, and one event is one record. What runs once a second
reports a snapshot.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edge.domain import Action, Block, Incident, Publish, Verdict
from edge.reasons import AlarmReason, StampFault, UnconfirmedReason

GATE = "gate"
"""Actor of what no person did."""


@dataclass(frozen=True, slots=True)
class Record:
    """Base of every record."""


# Who may go live


@dataclass(frozen=True, slots=True)
class PublishAdmitted(Record):
    """A publish was admitted. The same connection may ask again, and each answer is reported."""

    stream_id: str
    publish: Publish
    live: int
    """Number of live streams."""


@dataclass(frozen=True, slots=True)
class NameResembles(Record):
    """An admitted broadcaster has a name that looks like that of another, who is blocked."""

    stream_id: str
    publish: Publish
    block: Block


@dataclass(frozen=True, slots=True)
class PublishRefused(Record):
    """The gate refused a publish that it was asked about."""

    publish: Publish
    reason: str
    block_id: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class TurnedAway(Record):
    """A hook refused a publish itself. The gate was not asked, or had admitted it."""

    publish: Publish
    reason: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class CallBroken(Record):
    """A call or a connection ended by its caller's own doing: ``cause`` says what of it. Any caller can make
    as many as it likes."""

    cause: str


@dataclass(frozen=True, slots=True)
class FailureModeUsed(Record):
    """A failure mode of the policy was used, because a part of the gate did not work."""

    part: str
    """``on_ledger_down``, ``on_capacity``, ``on_gate_degraded`` or ``on_no_video``."""
    mode: str


# The life of a stream


@dataclass(frozen=True, slots=True)
class StreamsRestored(Record):
    """Streams admitted in an earlier run were restored."""

    live: int


@dataclass(frozen=True, slots=True)
class SourceOpened(Record):
    """A worker has begun to decode the stream."""

    stream_id: str
    codec: str


@dataclass(frozen=True, slots=True)
class StreamClosed(Record):
    """A worker has closed a stream. It may be opened again."""

    stream_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class WatchingFailed(Record):
    """A live stream is no longer watched, though nobody asked for that."""

    stream_id: str
    publish: Publish
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class StreamMoved(Record):
    """A stream went to the worker for heavy streams, or back, for what it costs."""

    stream_id: str
    heavy: bool
    share: float
    """Share of a core that it has cost lately."""


@dataclass(frozen=True, slots=True)
class TimestampsWrong(Record):
    """A stream's timestamps do not count, and the gate's own clock does. At most once a minute."""

    stream_id: str
    publish: Publish
    how: StampFault


@dataclass(frozen=True, slots=True)
class StreamOver(Record):
    """A stream has ended, and the gate drops its state."""

    stream_id: str
    publish: Publish
    reason: str
    live: int
    """Number of live streams."""


# Judging


@dataclass(frozen=True, slots=True)
class Passed(Record):
    """A sample was judged PASS. Reported for nearly every sample, so backends must be quick."""

    latency_ms: float
    """Time from the arrival of the sample's last byte to the verdict."""


@dataclass(frozen=True, slots=True)
class NotPassed(Record):
    """A sample was judged, and the verdict is not PASS or would not be without shadow mode."""

    action: Action
    reason: str
    """``shadow`` when shadow mode withholds the action."""
    latency_ms: float


@dataclass(frozen=True, slots=True)
class JudgedTooLate(Record):
    """A violation was found on a stream that had ended. There is nobody to cut."""

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
    """Number of streams that it may match."""
    quarantined: bool
    """It flags from now on and never cuts. An entry whose audio matches is only reported."""


# From a verdict to a proven cut


@dataclass(frozen=True, slots=True)
class Flagged(Record):
    """An incident was opened for review. The stream goes on."""

    incident: Incident
    by: str = GATE


@dataclass(frozen=True, slots=True)
class FlaggedAgain(Record):
    """A FLAG that belongs to an incident of the same activity. It opens none."""

    stream_id: str
    publish: Publish
    verdict: Verdict
    incident_id: str
    by: str = GATE


@dataclass(frozen=True, slots=True)
class CutDecided(Record):
    """A stream is to be cut. The gate asks its ingest server from now on."""

    stream_id: str
    publish: Publish
    verdict: Verdict
    incident_id: str = ""
    block_id: str = ""
    """The block that led to the cut, if it was made for something else."""
    by: str = GATE


@dataclass(frozen=True, slots=True)
class CutProven(Record):
    """The publisher is proven gone."""

    stream_id: str
    publish: Publish
    proof: str
    """``confirm_cut``, ``hook``, ``state_api``, ``already_gone`` or ``refused_again``."""
    incident_id: str = ""
    attempts: int | None = None
    """How often the server was asked; None if nobody counted."""
    time_to_cut_ms: float | None = None
    """Time from the CUT verdict; None if the verdict was reached in an earlier run."""


@dataclass(frozen=True, slots=True)
class CutUnconfirmed(Record):
    """An alarm: nothing has proven the cut within the limit."""

    stream_id: str
    publish: Publish
    reason: UnconfirmedReason
    incident_id: str = ""
    attempts: int | None = None
    alarmed: bool = False
    """Whether an earlier record of the same cut has raised the alarm."""


@dataclass(frozen=True, slots=True)
class CutGivenUp(Record):
    """The gate stops asking before the cut is proven."""

    stream_id: str
    publish: Publish
    error: str
    incident_id: str = ""


@dataclass(frozen=True, slots=True)
class ViolationRecorded(Record):
    """The strike and the blocks of an incident were written."""

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
    """An incident has no clip."""

    incident_id: str
    error: str


# What people decide


@dataclass(frozen=True, slots=True)
class BlockMade(Record):
    """A block was made. Live access is denied from now on."""

    block: Block
    by: str


@dataclass(frozen=True, slots=True)
class BlockChanged(Record):
    """A block's end was changed, or the block is no longer provisional."""

    block: Block
    by: str


@dataclass(frozen=True, slots=True)
class BlockLifted(Record):
    """A block was lifted before its end."""

    block: Block
    by: str


@dataclass(frozen=True, slots=True)
class IncidentReviewed(Record):
    """A person has reviewed an incident. Its state says how."""

    incident: Incident
    by: str


@dataclass(frozen=True, slots=True)
class ReviewUndone(Record):
    """A person has taken back their decision about an incident. Its state is the one before."""

    incident: Incident
    by: str


@dataclass(frozen=True, slots=True)
class IncidentLookedAt(Record):
    """A person has looked at an incident for the first time."""

    incident: Incident
    by: str
    waited_s: float
    """Time since it was opened, in seconds."""


# The gate's own parts


@dataclass(frozen=True, slots=True)
class LedgerRowsUnknown(Record):
    """How many rows of a table the gate has met since its start that it does not know."""

    table: str
    rows: int


@dataclass(frozen=True, slots=True)
class LedgerDown(Record):
    """The ledger cannot be written, or no news of other gates arrive from it."""


@dataclass(frozen=True, slots=True)
class LedgerBack(Record):
    """The ledger can be written again, and news arrive."""


@dataclass(frozen=True, slots=True)
class JournalMeasured(Record):
    """What the journal has, reported once a second."""

    reserve_bytes: int
    """Disk space that is its own, for further decisions."""
    in_memory: int
    """Decisions that neither ledger nor journal has taken yet."""


@dataclass(frozen=True, slots=True)
class ReviewsWaiting(Record):
    """The incidents that people have not decided, of the whole fleet. Reported every ten seconds."""

    incidents: Mapping[str, int]
    """How many, by state."""
    oldest_s: Mapping[str, float]
    """Age of the oldest one of each state in seconds; 0 where there is none."""


@dataclass(frozen=True, slots=True)
class DecisionLost(Record):
    """A decision that was in memory alone when the gate stopped, or that an earlier run never wrote."""

    what: str
    """``violation``, ``incident``, ``mark`` or ``stream_cut``."""
    subject: str
    """Id of the incident, or of the stream."""
    broadcaster: str
    app: str
    category: str
    blocked_until_ms: int
    wall_ms: int
    earlier_run: bool


@dataclass(frozen=True, slots=True)
class AlarmRaised(Record):
    """Something is wrong with a part of the gate until a person mends it."""

    part: str
    """The part: ``banks``, ``model`` or ``tokens``."""
    reason: AlarmReason
    subject: str
    """The bank, for example. Empty where the part has one thing only."""
    detail: str


@dataclass(frozen=True, slots=True)
class AlarmCleared(Record):
    """An alarm is over."""

    part: str
    reason: AlarmReason
    subject: str


@dataclass(frozen=True, slots=True)
class TaskFailed(Record):
    """A background task raised. The log has its traceback."""

    task: str


@dataclass(frozen=True, slots=True)
class MatchingFailed(Record):
    """Workers crashed in the matcher, or bank searches raised errors. No stream is at fault."""

    count: int


@dataclass(frozen=True, slots=True)
class ProcessContained(Record):
    """A process that touches media has started, and says what contains it."""

    process: str
    """Its role: ``worker`` or ``puller``."""
    in_force: tuple[str, ...]
    """Measures in force."""
    missing: Mapping[str, str]
    """Why each other measure of its role is not in force."""


@dataclass(frozen=True, slots=True)
class WorkersRestarted(Record):
    """Workers died and were replaced."""

    count: int


@dataclass(frozen=True, slots=True)
class WorkerMeasured(Record):
    """Counts of one measure in one worker since its last report; see ``distributions``."""

    measure: str
    counts: tuple[int, ...]
    """Counts by bucket."""
    sum_ms: float


@dataclass(frozen=True, slots=True)
class WorkerLoad:
    """The load of one worker as last measured."""

    index: int
    streams: int
    busy_share: float
    """Share of its time in due jobs."""
    resident_bytes: int
    opportunistic_share: float = 0.0
    """Share of its time in opportunistic jobs, which are preempted when there is no time for them."""
    jobs: int = 0
    """Jobs that waited when it was pinged."""


@dataclass(frozen=True, slots=True)
class PoolSnapshot(Record):
    """State of the workers, reported once a second. Counts run from the start of the gate."""

    workers: tuple[WorkerLoad, ...]
    streams_by_tier: Mapping[str, int]
    preempted: int
    """Opportunistic work that was preempted."""
    frames_decoded: int
    samples_judged: int
    bank_hashes: int
    banks_unreadable: int
    bank_searches_cut_short: int


# Telling the platform


@dataclass(frozen=True, slots=True)
class WebhookDelivered(Record):
    """The platform accepted an event."""


@dataclass(frozen=True, slots=True)
class WebhookFailed(Record):
    """The platform did not accept an event. It is sent again."""

    event_id: str
    type: str
    attempts: int
    again_in_ms: int
    problem: str


@dataclass(frozen=True, slots=True)
class WebhookGivenUp(Record):
    """An event was given up and is not sent again."""

    event_id: str
    type: str
    audit_number: int
    attempts: int
    problem: str


@dataclass(frozen=True, slots=True)
class WebhookQueue(Record):
    """Events that wait for delivery, reported with each turn of delivery."""

    waiting: int
    oldest_s: float
    """Age of the oldest event, in seconds."""
