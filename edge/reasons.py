"""The words that say why: stable on the wire, in metrics and in the ledger, and typed where they decide."""

from __future__ import annotations

from enum import StrEnum
from typing import Self


class OpenWord(StrEnum):
    """Words that come in from outside or from a newer gate too: one that is not listed stays readable as it
    is, equals no listed one, and so decides nothing."""

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        if not isinstance(value, str):
            return None
        word = str.__new__(cls, value)
        word._name_, word._value_ = "UNLISTED", value
        return word


class AdmissionReason(StrEnum):
    """Why a publish may go live, or may not."""

    ADMITTED = "admitted"
    BLOCKED = "blocked"
    CAPACITY = "capacity"
    LEDGER_DOWN = "ledger_down"
    DRAINING = "draining"
    """The gate stops."""


class VerdictReason(OpenWord):
    """What a verdict rests on."""

    NONE = ""
    """PASS."""
    DETECTOR = "detector"
    MATCH = "match"
    """Known video."""
    AUDIO = "sound"
    """Known audio."""
    BLOCKED = "blocked"
    """A block that was made elsewhere."""
    DEGRADED = "degraded"
    """The gate cannot watch the stream, and the policy denies that."""
    BLIND = "blind"
    """Nothing was judged for longer than the policy's limit."""
    QUARANTINED = "quarantined"
    """Its media has ended workers."""


class DegradedReason(OpenWord):
    """Why something of a stream was not judged. May also be the ``reason`` of a GateError."""

    LATE = "late"
    SUPERSEDED = "superseded"
    """A newer sample took its place."""
    QUEUE_FULL = "queue_full"
    UNDECODED = "undecoded"
    ACCESS_UNIT_TOO_LARGE = "access_unit_too_large"
    CLOSED = "closed"
    """It waited when its stream was closed."""
    GAVE_WAY = "gave_way"
    """An opportunistic look, which was not due to the stream."""
    BLIND = "blind"
    """Nothing was judged for longer than the policy's limit."""
    GAP = "torn"
    """Media is missing, and no keyframe comes."""
    WORKER_LOST = "worker_lost"
    PULL_FAILED = "pull_failed"
    QUARANTINED = "quarantined"
    AUDIO_BROKEN = "audio_broken"
    AUDIO_UNSUPPORTED = "audio_unsupported"
    AUDIO_TOO_MUCH = "audio_too_much"
    AUDIO_TOO_LARGE = "audio_too_large"

    @property
    def is_loss(self) -> bool:
        """Whether video was lost that was due to be judged."""
        return self not in _NO_LOSS


_NO_LOSS = frozenset(
    {
        DegradedReason.GAVE_WAY,
        DegradedReason.AUDIO_BROKEN,
        DegradedReason.AUDIO_UNSUPPORTED,
        DegradedReason.AUDIO_TOO_MUCH,
        DegradedReason.AUDIO_TOO_LARGE,
    }
)


class CloseReason(OpenWord):
    """Why a worker closed a stream: one of these, or the ``reason`` of a GateError."""

    END = "end"
    """All of it is judged."""
    DETACHED = "detached"
    """The supervisor wants no more of it."""
    GAP = "torn"
    """Media is missing, and no keyframe comes."""
    INTERNAL = "internal"
    """An error that nobody has foreseen."""

    @property
    def is_clean(self) -> bool:
        return self in (CloseReason.END, CloseReason.DETACHED)


class EndReason(OpenWord):
    """Why a stream is over, or why its caller sends no more of it. Other words of a caller decide nothing."""

    PUBLISHER_GONE = "closed"
    CUT = "cut"
    REPLACED = "replaced"
    """Another publish has its connection."""
    UNWATCHED = "unwatched"
    """Nobody has watched it for too long."""
    HALF_CLOSE = "half_close"
    """The caller closed its side of the call without a word."""


class UnconfirmedReason(OpenWord):
    """Why a cut is not proven."""

    LIMIT = "limit"
    """Its time is over; asking goes on."""
    CALLER_GONE = "caller_gone"
    """Nobody is left who could be asked: it ends unproven."""
