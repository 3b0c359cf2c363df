"""What people decide, and what follows from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edge.domain import Block, Incident
from edge.telemetry.records.base import Record


@dataclass(frozen=True, slots=True)
class BlockMade(Record):
    """A block was made. Live access is denied from now on."""

    block: Block
    by: str
    stream_id: str = ""
    """The stream whose violation made it."""


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


@dataclass(frozen=True, slots=True)
class IncidentBanked(Record):
    """What of a confirmed incident is known footage now."""

    incident_id: str
    frames: int
    left_out: Mapping[str, int]
    """Frames by the reason for which they were left out."""


@dataclass(frozen=True, slots=True)
class BankingFailed(Record):
    """An incident could not be brought into the bank, or out of it."""

    incident_id: str
    state: str
    error: str
    failures: int
    """How often, one after the other. 0: it is not tried again."""


@dataclass(frozen=True, slots=True)
class ErasureDone(Record):
    """The evidence of an incident is gone."""

    incident_id: str
    why: str
    files: int
    by: str


@dataclass(frozen=True, slots=True)
class ErasureFailed(Record):
    """The evidence of an incident should go, and its store does not let it."""

    incident_id: str
    error: str


@dataclass(frozen=True, slots=True)
class ErasureUnrecorded(Record):
    """Evidence was erased, and the ledger does not say so yet."""

    incident_id: str
    files: tuple[tuple[str, str], ...]
    """Name and SHA-256 of each."""
    error: str
    by: str


@dataclass(frozen=True, slots=True)
class PolicyChanged(Record):
    """Another policy is in force."""

    version: int
    before: int


@dataclass(frozen=True, slots=True)
class ModelChanged(Record):
    """Another model is in force."""

    name: str
    version: str
    digest: str
    by: str


@dataclass(frozen=True, slots=True)
class ConsoleUsed(Record):
    """A person signed in at the console, or out."""

    what: str
    address: str
    by: str


@dataclass(frozen=True, slots=True)
class ConsoleRefused(Record):
    """Somebody came to the console with a wrong token."""

    address: str


@dataclass(frozen=True, slots=True)
class ConsoleUnrecorded(Record):
    """The audit log lacks that a person came to the console."""

    error: str
    by: str


@dataclass(frozen=True, slots=True)
class BankTaken(Record):
    """Another company has taken changes of a bank that is shared with it."""

    peer: str
    bank: str
    entries: int
    withdrawn: int


@dataclass(frozen=True, slots=True)
class PeerRefused(Record):
    """Somebody with a certificate of the peers' authority is no peer."""

    address: str
    names: str
    """Names in the certificate."""


@dataclass(frozen=True, slots=True)
class BanksInStep(Record):
    """The gate has taken in bank changes of other gates of the fleet, or told its own."""

    taken: int
    told: int


@dataclass(frozen=True, slots=True)
class BankComing(Record):
    """A large file of a bank is on its way from the fleet to this gate."""

    bank: str
    bytes: int
    of_bytes: int


@dataclass(frozen=True, slots=True)
class BankChanged(Record):
    """A person has marked an entry of a bank, or switched a bank on or off."""

    what: str
    bank: str
    entry: str
    reason: str
    by: str


@dataclass(frozen=True, slots=True)
class CrisisChanged(Record):
    """A crisis was declared, came into force or ended."""

    name: str
    state: str
    drill: bool
    until_ms: int
    """When it ends by itself, milliseconds since the Unix epoch."""


@dataclass(frozen=True, slots=True)
class CrisisFootageAdded(Record):
    """A person gave footage to a crisis, and it is known now."""

    name: str
    entry: str
    hashes: int
    took_ms: int
    """From the first byte given to the entry in the bank."""
    drill: bool
    by: str


@dataclass(frozen=True, slots=True)
class CrisesInForce(Record):
    """How many crises are in force now."""

    real: int
    drills: int
