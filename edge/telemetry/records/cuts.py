"""From a verdict to a proven cut, and to its evidence."""

from __future__ import annotations

from dataclasses import dataclass

from edge.domain import Incident, Publish, Verdict
from edge.reasons import UnconfirmedReason
from edge.telemetry.records.base import GATE, Record


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


@dataclass(frozen=True, slots=True)
class CutOfEarlierRun(Record):
    """A cut that an earlier run asked for is not proven. Its caller must confirm it, or ask again."""

    stream_id: str
    publish: Publish
    incident_id: str


@dataclass(frozen=True, slots=True)
class CutUnrecorded(Record):
    """A person has a stream cut while the ledger, and so the audit log, is away."""

    stream_id: str
    publish: Publish
    reason: str
    by: str


@dataclass(frozen=True, slots=True)
class ViolationHeld(Record):
    """A violation is still in memory only, after another attempt to write it."""

    incident: Incident
    error: str


@dataclass(frozen=True, slots=True)
class IncidentUnrecorded(Record):
    """An incident could not be written. It is tried again, unless it is ``given_up``."""

    incident: Incident
    error: str
    given_up: bool = False


@dataclass(frozen=True, slots=True)
class MarkLost(Record):
    """A later fact about an incident, such as the proof of its cut, could not be written."""

    subject: str
    """Id of the incident, or of a stream that was cut without one."""
    mark: str


@dataclass(frozen=True, slots=True)
class EvidenceCutShort(Record):
    """A clip ends at the verdict, though it should go on."""

    incident_id: str
    error: str


@dataclass(frozen=True, slots=True)
class EvidenceLate(Record):
    """The clip of an incident came after its time, and is kept all the same."""

    incident_id: str
    late_ms: float


@dataclass(frozen=True, slots=True)
class IncidentRecordMissing(Record):
    """A clip has no record beside it."""

    incident_id: str
    error: str
