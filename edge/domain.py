"""The gate's vocabulary as frozen types, for everything that flows from ingest to evidence.

Integers ``*_ms`` with ``wall`` in their name are milliseconds since the Unix epoch. Floats ``arrival_ms``
are monotonic milliseconds. ``pts_ms`` and ``dts_ms`` are the stream's own media time, unwrapped.
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple, NewType

from edge.banking import Banking
from edge.reasons import OpenWord, UnconfirmedReason, VerdictReason

if TYPE_CHECKING:  # pullers and commands that look at no frame start without numpy
    import numpy as np
    import numpy.typing as npt

StreamId = NewType("StreamId", str)
"""Id of one publish connection. Never reused."""

_RANDOM_CHARS = 16
_STREAM_ID: Final = re.compile(r"st_[0-9a-f]{32}")
_SECRET: Final = re.compile(r"key|token|secret|pass|auth|sign|pwd|psk", re.IGNORECASE)
_LONG_SECRET: Final = 16
_SHOWN_CHARS: Final = 4

PERMANENT_MS = 253_402_300_799_000
"""``until_ms`` of a permanent block: 9999-12-31T23:59:59Z."""


def new_id(prefix: str) -> str:
    """A sortable, unguessable id: prefix, 64 bits of wall nanoseconds, 64 random bits, in hexadecimal."""
    return f"{prefix}_{time.time_ns():016x}{secrets.token_hex(_RANDOM_CHARS // 2)}"


def beginning_of(ident: str) -> str:
    """An id without its random end: prefix and time. It sorts as the id does. Nobody can act by it."""
    return ident[:-_RANDOM_CHARS]


def new_stream_id() -> StreamId:
    return StreamId(new_id("st"))


def is_stream_id(text: str) -> bool:
    """Whether a text is the whole id of a stream, by its form."""
    return _STREAM_ID.fullmatch(text) is not None


def pull_token(stream_id: StreamId) -> str:
    """The ``pageUrl`` that the gate's own pull of a stream sends to an RTMP server.

    It tells the pull from viewers, who use the same stream name but do not know the stream's id.
    """
    return f"edge-gate:{stream_id}"


class Codec(StrEnum):
    """Video codecs, by the names of FFmpeg's decoders."""

    H264 = "h264"
    HEVC = "hevc"
    VP9 = "vp9"
    AV1 = "av1"


class Action(StrEnum):
    """The action that a verdict asks for."""

    PASS = "pass"
    FLAG = "flag"
    CUT = "cut"


class Tier(StrEnum):
    """How densely a stream is sampled."""

    CALM = "calm"
    ALERT = "alert"


class SignalSource(OpenWord):
    """The source of a signal."""

    DETECT = "detect"
    MATCH = "match"
    AUDIO = "sound"
    MEDIA = "media"
    """The media itself cannot be watched. ``detail`` says why."""


class ModelKind(OpenWord):
    """The kind of the model that a signal of the detector is from."""

    MOTION = "motion"
    FRAME = "frame"
    AUDIO = "audio"


class BankSeverity(StrEnum):
    """The severity of a bank's footage."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"

    @classmethod
    def of(cls, word: str) -> BankSeverity | None:
        """Parses a word. Returns None for an empty word, and for one that only a newer gate knows."""
        return next((severity for severity in cls if severity.value == word), None)


INCIDENT_BANK: Final = "incidents"
"""The gate's own bank: footage of incidents that reviewers confirmed."""
UNPROVEN_ATTRIBUTE = "identity_unproven"
"""The attribute of a publish whose ingest server has not checked who publishes."""


def is_secret(name: str) -> bool:
    """Whether the name of a value suggests that it is a secret."""
    return _SECRET.search(name) is not None


def masked(secret: str) -> str:
    """A secret as people and logs may see it: the end of a long one, by which its owner knows it."""
    return f"***{secret[-_SHOWN_CHARS:]}" if len(secret) >= _LONG_SECRET else "***"


def shown_account(broadcaster: str) -> str:
    """A broadcaster as logs may show it. Without accounts it is ``app/name``, and the name may be the stream
    key: only its beginning is shown."""
    app, slash, name = broadcaster.partition("/")
    return f"{app}/{name[:2]}…" if slash and len(name) > 2 else broadcaster


@dataclass(frozen=True, slots=True)
class Publish:
    """One attempt to go live, as the ingest server reports it."""

    server: str
    """Kind of ingest server: ``grpc``, ``reference``, ``nginx-rtmp`` …"""
    connection: str
    """The server's own reference to the connection. The gate cuts by it."""
    app: str
    name: str
    broadcaster: str
    """Account id. The gate uses ``app/name`` if the server has no accounts."""
    address: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict, repr=False)
    """As the server states them. One may be the stream key, and others may be secrets too."""

    @property
    def shown_attributes(self) -> dict[str, str]:
        """The attributes as people and logs may see them: what its name calls a secret is masked."""
        return {name: masked(value) if is_secret(name) else value for name, value in self.attributes.items()}

    @property
    def identity_proven(self) -> bool:
        """Whether the server has checked that the publisher is the broadcaster."""
        return UNPROVEN_ATTRIBUTE not in self.attributes


@dataclass(frozen=True, slots=True)
class AccessUnit:
    """One encoded frame."""

    pts_ms: int
    dts_ms: int
    keyframe: bool
    data: bytes
    arrival_ms: float
    """Monotonic time at which its last byte arrived."""
    deferred: bool = False
    """Whether the unit was not needed at its arrival, and waited until now."""
    untimed: bool = False
    """Whether its media time is a guess, because its stamps run fast. Footage in it may have any speed."""


MAX_AUDIO_BYTES: Final = 64 * 1024
"""Largest audio frame, and largest configuration of its decoder."""
MAX_AUDIO_UNITS: Final = 128
"""Most frames in one message."""
AUDIO_CODECS: Final = ("aac", "opus", "mp3")
"""Audio codecs that are matched, by the names of FFmpeg's decoders."""


@dataclass(frozen=True, slots=True)
class Audio:
    """Encoded audio of a stream."""

    codec: str
    extradata: bytes
    units: tuple[tuple[int, bytes], ...]
    """Pairs of presentation time in milliseconds and one encoded frame, in order."""


@dataclass(frozen=True, slots=True)
class Sample:
    """Decoded frames chosen for one analysis.

    ``planes`` is uint8 ``(3, H, W)``: the luma of the frames at t-δ, t and t+δ, scaled to the detector's
    input. ``luma`` is uint8 ``(h, w)``: a view of the full-size Y plane of one of the decoded frames, for the
    perceptual hash. Its rows may be strided.
    """

    pts_ms: int
    """Pts of the newest frame."""
    arrival_ms: float
    """Monotonic arrival of the access unit that made the decoder output the newest frame. The latency budget
    starts here.

    With reordered frames that is a later unit than the frame's own.
    """
    planes: npt.NDArray[np.uint8]
    luma: npt.NDArray[np.uint8]
    tier: Tier
    luma_pts_ms: int | None = None
    """Pts of the frame of ``luma``. None: that of the newest frame."""
    opportunistic: bool = False
    """Whether it is an extra sample, taken in idle time beyond the stream's share."""
    decoded_ms: float = 0.0
    """Monotonic time at which the decoder had output its newest frame."""
    converted_ms: float = 0.0
    """Monotonic time at which its planes were ready."""


@dataclass(frozen=True, slots=True)
class Signal:
    """A finding of detect or match about a sample or window."""

    source: SignalSource
    category: str
    pts_ms: int
    score: float
    """Calibrated probability, 0 to 1 (detect), or 1 - distance/256 (match)."""
    distance: int | None = None
    """Hamming distance in bits (match)."""
    entry: str | None = None
    """Bank entry (match)."""
    detail: str = ""
    """Free text for people. Nothing is decided on it."""
    bank: str | None = None
    """Name of the entry's bank (match)."""
    severity: BankSeverity | None = None
    """Severity of that bank (match)."""
    at_most: Action = Action.CUT
    """The strongest action it may ask for. FLAG if its bank only asks for people, or its entry is
    quarantined. PASS if it is only counted."""
    begin_pts_ms: int | None = None
    """Media time of the oldest sample that voted for it (match), or of the oldest frame or window of audio
    that counts in it. None: it is of one sample, or unknown."""
    kind: ModelKind | None = None
    """Kind of the model that says it (detect). None: no model does, or an earlier version wrote it."""
    samples: int | None = None
    """Number of samples in its window (motion). None: it is of no window, so it counts as it is."""
    missed_ms: int | None = None
    """For how long the stream had shown it before its bank knew it (match). None: the bank knew it."""
    variant: str | None = None
    """The variant of the footage that was found (match), such as ``original`` or ``crop_10+mirror``. None: it
    is no such match, or an earlier version wrote it."""


@dataclass(frozen=True, slots=True)
class Trace:
    """When one sample passed the stages of judging, in milliseconds since the arrival of its last byte."""

    arrival_wall_ms: int
    decoded_ms: float
    """The decoder had output its newest frame."""
    converted_ms: float
    """Its planes were scaled."""
    taken_ms: float
    """Judging began."""
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
    """Media time up to which the stream is judged and leads to no cut; -1 before the first."""
    category: str = ""
    reason: VerdictReason = VerdictReason.NONE
    score: float = 0.0
    signals: tuple[Signal, ...] = ()
    policy_version: int = 0
    model_digest: str = ""
    shadow: bool = False
    """Whether it was decided and recorded, but not enforced."""
    latency_ms: float = 0.0
    """From the arrival of the sample's last byte to the verdict."""
    trace: Trace | None = None
    """Trace of the deciding sample, if the verdict is FLAG or CUT and a sample led to it."""
    begin_pts_ms: int | None = None
    """Media time of the oldest sample that voted for a FLAG or CUT. With ``pts_ms`` it is the stretch that
    the verdict rests on. None: no sample voted, or an earlier version decided."""
    rule: str = ""
    """Name of the policy's rule that decided. Its witnesses are among the signals. Empty: none did."""
    urgent: bool = False
    """Whether a person should look at a FLAG or CUT at once: the policy's category or rule says so."""


class Severity(StrEnum):
    """How heavily a violation weighs."""

    NORMAL = "normal"
    SEVERE = "severe"


class SubjectKind(OpenWord):
    """What a block can name. A block of a kind that only a newer gate knows bars whoever states its subject
    in any way."""

    BROADCASTER = "broadcaster"
    STREAM_KEY = "stream_key"
    ADDRESS = "address"
    """An address, or a network in CIDR notation."""
    ATTRIBUTE = "attribute"
    """``NAME=VALUE`` of an attribute that the ingest server passes."""


def shown_subject(kind: str, subject: str) -> str:
    """The subject of a block as people and logs may see it: a stream key, or an attribute whose name suggests
    a secret, is masked."""
    if kind == SubjectKind.STREAM_KEY:
        return masked(subject)
    name, equals, value = subject.partition("=")
    secret = kind == SubjectKind.ATTRIBUTE and is_secret(name)
    return f"{name}{equals}{masked(value)}" if secret else subject


@dataclass(frozen=True, slots=True)
class Block:
    """Live access denied until a time."""

    id: str
    subject_kind: SubjectKind
    subject: str = field(repr=False)
    """It may be a stream key. People and logs see ``shown_subject``."""
    app: str
    """Empty means every app."""
    reason: str
    category: str
    created_ms: int
    until_ms: int
    """When it ends, as things stand. For a provisional block that lapses, this is the time of its lapse."""
    incident_id: str | None
    created_by: str
    lifted_ms: int | None = None
    lifted_by: str | None = None
    lift_reason: str | None = None
    provisional: bool = False
    """Whether the block still waits for a confirmation, or for the second of two."""
    full_until_ms: int | None = None
    """For a block that began provisional: its end once people confirm it."""
    review_by_ms: int | None = None
    """For a provisional block: when the wait ends. The block may end then too (``until_ms``)."""
    strike_id: str | None = None
    """Strike given by hand. A violation's strike is found by ``incident_id``."""

    @property
    def shown_subject(self) -> str:
        """The subject as people and logs may see it."""
        return shown_subject(self.subject_kind, self.subject)

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
    """None for a strike given by hand without an incident."""
    created_ms: int
    pardoned_ms: int | None = None
    severity: Severity = Severity.NORMAL
    review_by_ms: int | None = None
    """The strike disappears at this time unless a person confirms it. None: it stands."""
    reason: str = ""
    created_by: str = "gate"
    pardoned_by: str | None = None
    pardon_reason: str | None = None
    admitted_ms: int | None = None
    """Wall time at which its stream was admitted. None for a strike given by hand, and for one of an earlier
    version: those always count by themselves."""
    gate: str = ""
    """The gate whose clock gave its times."""
    part_of: str | None = None
    """The strike that counts for the same occasion. Set: this violation is no further strike."""

    @property
    def pardoned(self) -> bool:
        """Whether it was taken back by a person, or has lapsed without a review."""
        return self.pardoned_ms is not None

    @property
    def provisional(self) -> bool:
        """Whether it waits for a review."""
        return self.review_by_ms is not None and not self.pardoned


class IncidentState(OpenWord):
    OPEN = "open"
    CONFIRMED_ONCE = "confirmed_once"
    """One person has confirmed it, but a permanent block needs two."""
    CONFIRMED = "confirmed"
    OVERTURNED = "overturned"
    ESCALATED = "escalated"


@dataclass(frozen=True, slots=True)
class Review:
    """The state of an incident's review by people."""

    claimed_by: str | None = None
    claimed_until_ms: int | None = None
    """When the claim ends and others may claim."""
    first_confirmed_by: str | None = None
    first_confirmed_ms: int | None = None
    reviewed_by: str | None = None
    reviewed_ms: int | None = None
    review_reason: str | None = None
    looked_by: str | None = None
    """The person who looked at it first. None where nobody has, and for incidents of an earlier version."""
    looked_ms: int | None = None
    undo_until_ms: int | None = None
    """Until when whoever decided last can undo that."""


class ScorePoint(NamedTuple):
    """The highest score of a category in a short time, for people to see how it went."""

    pts_ms: int
    """Media time, milliseconds."""
    category: str
    score: float
    """Calibrated probability, 0 to 1."""


@dataclass(frozen=True, slots=True)
class Activity:
    """How long what an incident shows has gone on, and how strongly."""

    verdicts: int
    """Number of FLAGs, and of CUTs that shadow mode withheld, that belong to the incident."""
    peak_score: float
    start_pts_ms: int
    """Media time of its first sign; -1 for what has none."""
    end_pts_ms: int
    """Media time of its newest sign; -1 for what has none."""
    seen_ms: int
    """Wall time of its newest sign."""


@dataclass(frozen=True, slots=True)
class Custody:
    """What becomes of an incident's evidence."""

    evidence_sha256: str | None = None
    """Digest of the clip as it was written. None for clips of an earlier version."""
    evidence_bytes: int | None = None
    """Size of the clip."""
    evidence_erased_ms: int | None = None
    evidence_erased_why: str | None = None
    """``request``, ``age`` or ``quota``."""
    hold_ms: int | None = None
    """When it was put on hold. None: it is not."""
    hold_by: str | None = None
    hold_reason: str | None = None
    erase_asked_ms: int | None = None
    """When a person asked for its erasure."""
    erase_asked_by: str | None = None
    erase_reason: str | None = None


@dataclass(frozen=True, slots=True)
class Incident:
    """A FLAG or CUT on one stream, with its evidence, for review by people."""

    id: str
    stream_id: str
    publish: Publish
    verdict: Verdict
    created_ms: int
    state: IncidentState = IncidentState.OPEN
    evidence_path: str | None = None
    evidence_begin_pts_ms: int | None = None
    """Media time of the clip's first frame. The clip's own time starts there. None for older clips."""
    evidence_end_pts_ms: int | None = None
    """Media time of the clip's last frame."""
    durable_ms: int | None = None
    """Wall time at which strike and block were committed."""
    cut_asked_ms: int | None = None
    cut_confirmed_ms: int | None = None
    confirmed_by: str | None = None
    """What proved the cut: ``confirm_cut``, ``hook``, ``state_api``, ``already_gone``, ``refused_again``."""
    cut_unconfirmed_ms: int | None = None
    """When the alarm was raised because nothing had proven the cut within its limit."""
    cut_unconfirmed_reason: UnconfirmedReason | None = None
    review: Review = Review()
    admitted_ms: int | None = None
    """Wall time at which the stream was admitted. None for incidents of an earlier version."""
    activity: Activity | None = None
    """None for incidents of an earlier version."""

    banking: Banking | None = None
    """What of it became known footage. None before it is confirmed, and for an earlier version's."""
    gate: str = field(default="", compare=False)
    """The gate of a fleet that decided it. The ledger sets it; empty where there is only one gate."""
    custody: Custody = Custody()

    @property
    def stretch_ms(self) -> tuple[int, int] | None:
        """The stretch of the clip that the verdict rests on, in milliseconds of the clip's own time.

        None where no sample voted, there is no clip, or an earlier version wrote either.
        """
        begin_ms, end_ms = self.evidence_begin_pts_ms, self.evidence_end_pts_ms
        if self.verdict.begin_pts_ms is None or begin_ms is None or end_ms is None:
            return None
        first = max(self.verdict.begin_pts_ms, begin_ms)
        last = min(self.verdict.pts_ms, end_ms)
        return (first - begin_ms, last - begin_ms) if first <= last else None


@dataclass(frozen=True, slots=True)
class CaseStanding:
    """How it stands with what an incident led to."""

    provisional: bool = False
    """Whether its strike or a block of it waits for a review."""
    pardoned: bool = False
    """Whether its strike was pardoned."""


@dataclass(frozen=True, slots=True)
class Comment:
    """What a person says of an incident, for those who review it."""

    id: str
    incident_id: str
    created_ms: int
    created_by: str
    text: str


class AppealState(OpenWord):
    OPEN = "open"
    GRANTED = "granted"
    DENIED = "denied"


@dataclass(frozen=True, slots=True)
class Appeal:
    """A broadcaster's objection to a block. The platform files it, and a person decides."""

    id: str
    incident_id: str | None
    """None for an appeal against a block without an incident."""
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
