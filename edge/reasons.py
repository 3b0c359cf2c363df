"""Reason words: stable on the wire, in metrics and in the ledger, and typed where they decide."""

from __future__ import annotations

from enum import StrEnum
from typing import Self


class OpenWord(StrEnum):
    """Words that may also come from outside or from a newer gate.

    An unlisted word keeps its text, equals no listed one, and so decides nothing.
    """

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        if not isinstance(value, str):
            return None
        word = str.__new__(cls, value)
        word._name_, word._value_ = "UNLISTED", value
        return word


class AdmissionReason(StrEnum):
    """Why a publish is admitted or refused."""

    ADMITTED = "admitted"
    BLOCKED = "blocked"
    CAPACITY = "capacity"
    QUOTA = "quota"
    """Its broadcaster, network or app has as many streams as one may have."""
    ALREADY_LIVE = "already_live"
    """Its connection is live as another publish."""
    PAUSED = "paused"
    """What the broadcaster published lately could not be watched, again and again."""
    LEDGER_DOWN = "ledger_down"
    DRAINING = "draining"
    """The gate drains before it stops."""


class VerdictReason(OpenWord):
    """What a verdict rests on."""

    NONE = ""
    """The verdict is PASS."""
    DETECTOR = "detector"
    MATCH = "match"
    """Known video."""
    AUDIO = "sound"
    """Known audio."""
    RULE = "rule"
    """Witnesses of several categories together, by a rule of the policy."""
    BLOCKED = "blocked"
    """A block was made elsewhere."""
    DEGRADED = "degraded"
    """The gate cannot watch the stream, and the policy denies this."""
    BLIND = "blind"
    """Nothing was judged for longer than the policy's limit."""
    QUARANTINED = "quarantined"
    """The stream's media has killed workers."""
    OPERATOR = "operator"
    """A person has it cut."""
    UNWATCHABLE = "unwatchable"
    """What its publisher sent cannot be watched: over a limit, of another codec, or broken."""


class DegradedReason(OpenWord):
    """Why part of a stream was not judged. May also be the ``reason`` of a GateError."""

    LATE = "late"
    SUPERSEDED = "superseded"
    """A newer sample replaced it."""
    QUEUE_FULL = "queue_full"
    UNDECODED = "undecoded"
    ACCESS_UNIT_TOO_LARGE = "access_unit_too_large"
    PICTURE_TOO_LARGE = "picture_too_large"
    OVER_BUDGET = "over_budget"
    """Watching the stream costs more than its share of a core."""
    CLOSED = "closed"
    """It was waiting when its stream closed."""
    GAVE_WAY = "gave_way"
    """Opportunistic work, not due to the stream, was preempted."""
    BLIND = "blind"
    """Nothing was judged for longer than the policy's limit."""
    GAP = "torn"
    """Media is missing, and no keyframe comes."""
    WORKER_LOST = "worker_lost"
    PULL_FAILED = "pull_failed"
    QUARANTINED = "quarantined"
    TIMESTAMPS = "timestamps"
    """Its stamps stand still, crawl, jump or run fast, so it is judged by the gate's own clock."""
    AUDIO_BROKEN = "audio_broken"
    AUDIO_UNSUPPORTED = "audio_unsupported"
    AUDIO_TOO_MUCH = "audio_too_much"
    AUDIO_TOO_LARGE = "audio_too_large"
    AUDIO_LATE = "audio_late"
    """The worker had no time to judge it."""
    PICTURE_LATE = "picture_late"
    """The worker had no time to judge a single frame with the frame model."""

    @property
    def is_loss(self) -> bool:
        """Whether video that was due to be judged was lost."""
        return self not in _NO_LOSS


class StampFault(OpenWord):
    """What is wrong with a publisher's timestamps."""

    STILL = "stand_still"
    CRAWL = "crawl"
    FAST = "run_fast"
    JUMP = "jump"
    DISORDER = "out_of_order"


_NO_LOSS = frozenset(
    {
        DegradedReason.GAVE_WAY,
        DegradedReason.TIMESTAMPS,
        DegradedReason.AUDIO_BROKEN,
        DegradedReason.AUDIO_UNSUPPORTED,
        DegradedReason.AUDIO_TOO_MUCH,
        DegradedReason.AUDIO_TOO_LARGE,
        DegradedReason.AUDIO_LATE,
        DegradedReason.PICTURE_LATE,
    }
)


class CloseReason(OpenWord):
    """Why a worker closed a stream: one of these, or the ``reason`` of a GateError."""

    END = "end"
    """The stream ended and was judged to its end."""
    DETACHED = "detached"
    """The supervisor closed the stream."""
    GAP = "torn"
    """Media is missing, and no keyframe comes."""
    INTERNAL = "internal"
    """An unexpected error."""

    @property
    def is_clean(self) -> bool:
        return self in (CloseReason.END, CloseReason.DETACHED)


class EndReason(OpenWord):
    """Why a stream is over, or why its caller stops sending. A caller's other words decide nothing."""

    PUBLISHER_GONE = "closed"
    CUT = "cut"
    REPLACED = "replaced"
    """Another publish has taken over its connection."""
    GAVE_WAY = "gave_way"
    """Nobody watched it, and another publish needed its place."""
    UNWATCHABLE = "unwatchable"
    """Its caller cannot pass on what its publisher sends."""
    RELEASED = "released"
    """Its caller has given the admission back unused."""
    UNWATCHED = "unwatched"
    """It was not watched for too long."""
    HALF_CLOSE = "half_close"
    """The caller half-closed its call without an `end`."""


class UnconfirmedReason(OpenWord):
    """Why a cut is not proven."""

    LIMIT = "limit"
    """The time limit passed. The gate keeps asking."""
    CALLER_GONE = "caller_gone"
    """Nobody is left to ask. The cut ends unproven."""


class AlarmReason(StrEnum):
    """Why an alarm of a part of the gate stands."""

    UNREADABLE = "unreadable"
    """A bank or the model of the settings is torn, damaged or foreign. Its last good copy serves."""
    MISSING = "missing"
    """A bank, or the folder of banks, is gone. Its last good copy serves."""
    FEWER = "fewer"
    """A bank holds less than before without a removal on record. Its last good copy serves."""
    NOT_COPIED = "not_copied"
    """No verified copy can be made, as when the disk is full. The last good copy serves."""
    OUT_OF_STEP = "out_of_step"
    """A bank does not follow the fleet's, as when a change in the ledger is damaged. It serves as it is."""
    LOST = "lost"
    """A bank is in use nowhere: it cannot be read, and no good copy is left."""
    RESERVE = "reserve"
    """The journal's reserve of disk space is not whole: the disk is full, or reserves nothing."""
    IN_MEMORY = "in_memory"
    """Decisions, or live streams, are in memory alone, because no disk takes them. A restart loses them."""
    NEVER_WRITTEN = "never_written"
    """An earlier run took decisions that it never wrote. It stands until its note is removed."""
    FOLDER_GONE = "folder_gone"
    """A folder of workers was deleted or replaced. It is made anew, and the workers are replaced."""
    TOO_MUCH = "too_much"
    """Workers wrote more evidence than may wait. It was removed, and who held it open was replaced."""
    NOT_FETCHED = "not_fetched"
    """An exchange of hashes has failed several times in a row."""
    STALE = "stale"
    """An exchange of hashes was not fetched for several of its periods."""
    MANY_MATCHES = "many_matches"
    """A bank entry matches many streams. It acts as before until people, or its limit, say otherwise."""
    FAILED = "failed"
    """Matching crashed or raised an error. That is no stream's fault."""
    QUOTA = "quota"
    """More evidence is kept than ``evidence.quota_mb``, and people must decide before any of it may go."""
    NOT_ERASED = "not_erased"
    """Evidence that has to go cannot be erased, as when its file or its object may not be removed."""
    STORE_AWAY = "store_away"
    """The bucket of evidence does not take what the gate writes. It stays in the folder until it does."""
    REFUSED = "refused"
    """The token file cannot be used, so nobody can sign in. Or settings or certificates were not reloaded."""


class ServerNotice(StrEnum):
    """What an ingest server said, did or left undone about a publish."""

    PULL_MISPLACED = "pull_misplaced"
    """No pull reached the worker of the server that has the publisher."""
    PULL_LATE = "pull_late"
    """The pull is not connected yet, so first frames may be missed."""
    END_DOUBTED = "end_doubted"
    """The server told an end, and the connection still publishes."""
    END_UNSAID = "end_unsaid"
    """The publisher is gone, and the server has not said so."""
    RESUMING = "resuming"
    """A stream of an earlier run waits to be watched."""
    STATE_UNKNOWN = "state_unknown"
    """The server does not say what is live. The stream is watched by its name."""
    NOT_STARTED = "not_started"
    """An admitted publish did not start."""
    LOST = "lost"
    """An admitted publish did not start, and its connection is not found. Does it publish, unwatched?"""
    LATE = "late"
    """A publish started too late to be watched, and is cut."""
    STAYS = "stays"
    """A refused publisher is still connected."""
