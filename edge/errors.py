"""The exception tree of edge-gate.

GateError                       what went wrong, where, and whether a retry can help
├── InvalidInput                a caller's value is wrong: names the field and the limit
│   ├── LimitExceeded           a bound (bytes, items, characters) was passed
│   └── UnsupportedCodec        the linked FFmpeg has no decoder for it
├── NotFound                    no stream, incident, block, bank … of that id
├── AlreadyExists               the id is in use
├── StaleVersion                somebody else changed it first (retryable)
├── Conflict                    it cannot be done as things stand: somebody else is at it, or it is decided
├── PermissionRefused           the caller's role does not allow it
├── ConfigError                 a settings or policy file cannot be used
├── MediaError                  media that cannot be decoded
│   ├── BrokenMedia             damaged beyond what the decoder tolerates
│   └── SourceStalled           a pull produced nothing for too long
├── ModelError                  a model file or manifest does not keep its contract
├── BankError                   a bank file or index is torn, foreign or of another version
├── LedgerUnavailable           the ledger cannot be read or written now (retryable)
├── CutFailed                   the ingest server did not cut (retryable)
├── CapacityExceeded            the gate cannot hold another stream (retryable)
├── WorkerLost                  the worker that owned the stream died (retryable)
└── GateUnavailable             the ingest server gets no answer from the gate (retryable)
"""

from __future__ import annotations

from typing import ClassVar


class GateError(Exception):
    """Base of every error that edge-gate raises on purpose.

    ``retryable`` says whether the same call can succeed later without a change by the caller;
    ``reason`` is the short, stable word that metrics count.
    """

    retryable: ClassVar[bool] = False
    reason: ClassVar[str] = "error"


class InvalidInput(GateError):
    """A value from outside is wrong. ``field`` names it the way the caller wrote it."""

    reason = "invalid_input"

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.field = field
        self.problem = problem


class LimitExceeded(InvalidInput):
    """A bounded value passed its bound."""

    reason = "limit_exceeded"

    def __init__(self, field: str, limit: int | float, actual: int | float, unit: str) -> None:
        super().__init__(field, f"{actual} {unit} is over the limit of {limit} {unit}")
        self.limit = limit
        self.actual = actual


class UnsupportedCodec(InvalidInput):
    """No decoder for the codec in the linked FFmpeg, or the codec is not video."""

    reason = "unsupported_codec"


class NotFound(GateError):
    """No object of that kind has the id."""

    reason = "not_found"

    def __init__(self, kind: str, ident: str) -> None:
        super().__init__(f"no {kind} with id {ident!r}")
        self.kind = kind
        self.ident = ident


class AlreadyExists(GateError):
    """The id is in use."""

    reason = "already_exists"


class StaleVersion(GateError):
    """Somebody else changed it first: read again, then retry."""

    retryable = True
    reason = "stale_version"


class Conflict(GateError):
    """The call is right, and things do not stand so that it can be done. Says how they stand."""

    reason = "conflict"


class PermissionRefused(GateError):
    """The caller is known and its role does not allow the call."""

    reason = "permission_refused"


class ConfigError(GateError):
    """A settings or policy file cannot be used."""

    reason = "config"


class MediaError(GateError):
    """Media that cannot be decoded."""

    reason = "media"


class BrokenMedia(MediaError):
    """Damaged beyond what the decoder tolerates."""

    reason = "broken_media"


class SourceStalled(MediaError):
    """A pull produced nothing for longer than the watchdog allows."""

    retryable = True
    reason = "source_stalled"


class ModelError(GateError):
    """A model file or its manifest does not keep the contract."""

    reason = "model"


class BankError(GateError):
    """A bank file or index is torn, foreign, or of another version."""

    reason = "bank"


class LedgerUnavailable(GateError):
    """The ledger cannot be read or written now."""

    retryable = True
    reason = "ledger_unavailable"


class CutFailed(GateError):
    """The ingest server did not cut the publisher."""

    retryable = True
    reason = "cut_failed"


class CapacityExceeded(GateError):
    """The gate cannot hold another stream."""

    retryable = True
    reason = "capacity"


class WorkerLost(GateError):
    """The worker process that owned the stream died."""

    retryable = True
    reason = "worker_lost"


class GateUnavailable(GateError):
    """The ingest server gets no answer from the gate."""

    retryable = True
    reason = "gate_unavailable"
