"""The gate's own parts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edge.reasons import AlarmReason
from edge.telemetry.records.base import Record


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


@dataclass(frozen=True, slots=True)
class LedgerRefused(Record):
    """The ledger answers, and refuses to write a decision."""

    what: str
    """``violation``, or ``journal entry``."""
    error: str


@dataclass(frozen=True, slots=True)
class JournalAdopted(Record):
    """The ledger has taken what the journal held."""

    blocks: int


@dataclass(frozen=True, slots=True)
class CommitsLost(Record):
    """The ledger's database has come back without changes that were committed."""

    known_revision: int


@dataclass(frozen=True, slots=True)
class PolicyUnusable(Record):
    """The fleet's policy cannot be used here, as that of a newer gate."""

    version: int
    error: str


@dataclass(frozen=True, slots=True)
class ClockStepped(Record):
    """The machine's wall clock has jumped."""

    step_s: int
    wait_s: int
    """How long it is not trusted."""


@dataclass(frozen=True, slots=True)
class ExchangeSynced(Record):
    """A run of an exchange of hashes has ended well."""

    exchange: str
    kind: str
    fetched: int
    """Changes that the exchange told."""
    added: int
    replaced: int
    removed: int
    """Entries of banks."""
    left_out: Mapping[str, int]
    """Records that cannot be used here, by signal type, since everything was fetched last."""
    unfinished: bool
    """The next run goes on."""


@dataclass(frozen=True, slots=True)
class ExchangeMissed(Record):
    """A run of an exchange of hashes has failed. It is tried again."""

    exchange: str
    kind: str
    error: str


@dataclass(frozen=True, slots=True)
class ClockTrusted(Record):
    """The wall clock is trusted again."""


@dataclass(frozen=True, slots=True)
class WorkerReady(Record):
    """A worker beside the ordinary ones has started."""

    kind: str
    """``heavy`` or ``standby``."""


@dataclass(frozen=True, slots=True)
class WorkerNotRestarted(Record):
    """A worker that died could not be replaced. It is tried again."""

    worker: int
    attempt: int
    error: str


@dataclass(frozen=True, slots=True)
class Reloaded(Record):
    """Settings, tokens or certificates were read again."""

    part: str
    taken: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Draining(Record):
    """The gate admits nothing more, since it stops."""


@dataclass(frozen=True, slots=True)
class Announced(Record):
    """The other gates of the fleet know where this one is reached."""

    url: str
