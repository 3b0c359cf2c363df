"""The words of the gate as frozen types: what flows from ingest to evidence.

Times: ``*_ms`` integers named ``wall`` are milliseconds since the Unix epoch; ``arrival_ms`` floats
are monotonic milliseconds; ``pts_ms``/``dts_ms`` are the stream's own media time, unwrapped.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NewType

import numpy as np
import numpy.typing as npt

from edge.reasons import OpenWord, UnconfirmedReason, VerdictReason

StreamId = NewType("StreamId", str)
"""Id of one publish connection; never reused."""

PERMANENT_MS = 253_402_300_799_000
"""``until_ms`` of a block that never ends: 9999-12-31T23:59:59Z."""


def new_id(prefix: str) -> str:
    """A sortable, unguessable id: prefix, 64 bits of wall nanoseconds, 64 random bits, hexadecimal."""
    return f"{prefix}_{time.time_ns():016x}{secrets.token_hex(8)}"


def new_stream_id() -> StreamId:
    return StreamId(new_id("st"))


def pull_mark(stream_id: StreamId) -> str:
    """How the gate's pull of a stream names itself to an RTMP server, as ``pageUrl``: viewers come and go
    under the same name, and none of them knows the stream's id."""
    return f"edge-gate:{stream_id}"


class Codec(StrEnum):
    """Video codecs by the names FFmpeg gives their decoders."""

    H264 = "h264"
    HEVC = "hevc"
    VP9 = "vp9"
    AV1 = "av1"


class Action(StrEnum):
    """What a verdict asks for."""

    PASS = "pass"
    FLAG = "flag"
    CUT = "cut"


class Tier(StrEnum):
    """How densely a stream is sampled."""

    CALM = "calm"
    ALERT = "alert"


class SignalSource(OpenWord):
    """Who says it."""

    DETECT = "detect"
    MATCH = "match"
    AUDIO = "sound"


class BankSeverity(StrEnum):
    """How grave the footage of a bank is."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"

    @classmethod
    def of(cls, word: str) -> BankSeverity | None:
        """None for an empty word, and for one of a newer gate."""
        return next((severity for severity in cls if severity.value == word), None)


@dataclass(frozen=True, slots=True)
class Publish:
    """One attempt to go live, as the ingest server reports it."""

    server: str
    """Kind of ingest server: ``grpc``, ``reference``, ``nginx-rtmp`` …"""
    connection: str
    """The server's own reference to the connection, by which it can be cut."""
    app: str
    name: str
    broadcaster: str
    """Account id; the gate falls back to ``app/name`` where the server has no accounts."""
    address: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AccessUnit:
    """One encoded frame."""

    pts_ms: int
    dts_ms: int
    keyframe: bool
    data: bytes
    arrival_ms: float
    """Monotonic time at which its last byte arrived."""
    held: bool = False
    """It was not needed when it arrived, and was held back until now."""


@dataclass(frozen=True, slots=True)
class Audio:
    """Some of a stream's sound, as it was encoded."""

    codec: str
    extradata: bytes
    units: tuple[tuple[int, bytes], ...]
    """Presentation time, milliseconds, and one encoded frame, each in order."""


@dataclass(frozen=True, slots=True)
class Sample:
    """Decoded frames chosen for one analysis.

    ``planes``: uint8 ``(3, H, W)``, the luma of the frames at t-δ, t and t+δ, scaled to the
    detector's input. ``luma``: uint8 ``(h, w)``, a view of the full-size Y plane of the newest
    of the three, for the perceptual hash; rows may be strided.
    """

    pts_ms: int
    """Media time of the newest of its frames."""
    arrival_ms: float
    """When the last byte arrived of the unit with which the newest frame came out of the decoder: its own, or
    where frames are reordered a later one. The budget starts here."""
    planes: npt.NDArray[np.uint8]
    luma: npt.NDArray[np.uint8]
    tier: Tier
    opportunistic: bool = False
    """Beyond what is due to its stream: taken while there was time to spare."""
    decoded_ms: float = 0.0
    """Monotonic time at which its newest frame was out of the decoder …"""
    converted_ms: float = 0.0
    """… and at which its planes were ready."""


@dataclass(frozen=True, slots=True)
class Signal:
    """What detect or match says of a sample or window."""

    source: SignalSource
    category: str
    pts_ms: int
    score: float
    """Calibrated probability, 0 to 1 (detect); 1 - distance/256 (match)."""
    distance: int | None = None
    """Hamming distance in bits (match)."""
    entry: str | None = None
    """Bank entry (match)."""
    detail: str = ""
    """Free text for people. Nothing is decided on it."""
    bank: str | None = None
    """Name of the entry's bank (match)."""
    severity: BankSeverity | None = None
    """Of that bank (match)."""
    at_most: Action = Action.CUT
    """The most that it may ask for: FLAG where its bank only asks for people, or its entry is quarantined."""


@dataclass(frozen=True, slots=True)
class Trace:
    """When one sample passed the stages of judging: milliseconds since the arrival of its last byte."""

    arrival_wall_ms: int
    decoded_ms: float
    """Its newest frame was out of the decoder."""
    converted_ms: float
    """Its planes were scaled."""
    taken_ms: float
    """It was taken up for judging."""
    detected_ms: float
    hashed_ms: float
    """It was hashed and looked up in the banks."""
    decided_ms: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """PASS, FLAG or CUT, with everything that led to it."""

    action: Action
    pts_ms: int
    cleared_pts_ms: int
    """Media time up to which the stream has been judged and passed; -1 before the first."""
    category: str = ""
    reason: VerdictReason = VerdictReason.NONE
    score: float = 0.0
    signals: tuple[Signal, ...] = ()
    policy_version: int = 0
    model_digest: str = ""
    shadow: bool = False
    """Decided and recorded, not acted upon."""
    latency_ms: float = 0.0
    """Arrival of the sample's last byte to the verdict."""
    trace: Trace | None = None
    """Of the deciding sample, where the verdict is FLAG or CUT and a sample led to it."""


class Severity(StrEnum):
    """How heavily a violation weighs."""

    NORMAL = "normal"
    SEVERE = "severe"


class SubjectKind(StrEnum):
    """What a block can name."""

    BROADCASTER = "broadcaster"
    STREAM_KEY = "stream_key"
    ADDRESS = "address"
    """An address, or a network in CIDR notation."""
    ATTRIBUTE = "attribute"
    """``NAME=VALUE`` of an attribute that the ingest server passes."""


@dataclass(frozen=True, slots=True)
class Block:
    """Live access denied until a time."""

    id: str
    subject_kind: SubjectKind
    subject: str
    app: str
    """Empty: every app."""
    reason: str
    category: str
    created_ms: int
    until_ms: int
    """When it ends as things stand: a provisional block that lapses has the time of its lapse here."""
    incident_id: str | None
    created_by: str
    lifted_ms: int | None = None
    lifted_by: str | None = None
    lift_reason: str | None = None
    provisional: bool = False
    """Waits for people: nobody, or one where two are needed, has stood for it."""
    full_until_ms: int | None = None
    """Where it began provisional: when it ends once people stand for it."""
    review_by_ms: int | None = None
    """Where it is provisional: when the wait ends, with the block (``until_ms``) or without."""
    strike_id: str | None = None
    """Of a strike that was given by hand; the one of a violation is found by ``incident_id``."""

    def active_at(self, wall_ms: int) -> bool:
        return self.lifted_ms is None and wall_ms < self.until_ms

    def provisional_at(self, wall_ms: int) -> bool:
        return self.provisional and (self.review_by_ms is None or wall_ms < self.review_by_ms)


@dataclass(frozen=True, slots=True)
class Strike:
    """A counted violation."""

    id: str
    broadcaster: str
    app: str
    category: str
    incident_id: str | None
    """None for a strike by hand that no incident led to."""
    created_ms: int
    pardoned_ms: int | None = None
    severity: Severity = Severity.NORMAL
    review_by_ms: int | None = None
    """It is gone from then on: nobody has stood for it yet. None: it stands."""
    reason: str = ""
    created_by: str = "gate"
    pardoned_by: str | None = None
    pardon_reason: str | None = None


class IncidentState(StrEnum):
    OPEN = "open"
    CONFIRMED_ONCE = "confirmed_once"
    """One person stands for it, and a permanent block needs two."""
    CONFIRMED = "confirmed"
    OVERTURNED = "overturned"
    ESCALATED = "escalated"


@dataclass(frozen=True, slots=True)
class Review:
    """Where people stand with an incident."""

    claimed_by: str | None = None
    claimed_until_ms: int | None = None
    """The claim is free again from then on."""
    first_confirmed_by: str | None = None
    first_confirmed_ms: int | None = None
    reviewed_by: str | None = None
    reviewed_ms: int | None = None
    review_reason: str | None = None


@dataclass(frozen=True, slots=True)
class Incident:
    """A FLAG or CUT on one stream, with its evidence, until a person has reviewed it."""

    id: str
    stream_id: str
    publish: Publish
    verdict: Verdict
    created_ms: int
    state: IncidentState = IncidentState.OPEN
    evidence_path: str | None = None
    durable_ms: int | None = None
    """Wall time at which strike and block were committed."""
    cut_asked_ms: int | None = None
    cut_confirmed_ms: int | None = None
    confirmed_by: str | None = None
    """What proved the cut: ``confirm_cut``, ``hook``, ``state_api``, ``already_gone``, ``refused_again``."""
    cut_unconfirmed_ms: int | None = None
    """When the alarm was raised that nothing had proven the cut within its limit."""
    cut_unconfirmed_reason: UnconfirmedReason | None = None
    review: Review = Review()


class AppealState(StrEnum):
    OPEN = "open"
    GRANTED = "granted"
    DENIED = "denied"


@dataclass(frozen=True, slots=True)
class Appeal:
    """A broadcaster's word against a block, filed by the platform, decided by a person."""

    id: str
    incident_id: str | None
    """None for an appeal against a block that no incident led to."""
    block_id: str | None
    broadcaster: str
    app: str
    text: str
    filed_ms: int
    filed_by: str
    state: AppealState = AppealState.OPEN
    decided_ms: int | None = None
    decided_by: str | None = None
    decision_reason: str | None = None
