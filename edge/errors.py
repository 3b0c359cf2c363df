"""The exception tree of edge-gate. Every exception that edge-gate raises is here. ``retryable`` marks
errors after which the same call can succeed later without a change by the caller. ``publisher`` marks
errors that the publisher's own bytes cause.

GateError                       what is wrong, where, and whether a retry can help
├── InvalidInput                a value from outside is wrong: names the field and the way out (publisher)
│   ├── LimitExceeded           a bound (bytes, items, characters) was passed: names the limit (publisher)
│   ├── FrameTooLarge           a frame is larger than any that is decoded (publisher)
│   ├── UnsupportedCodec        the linked FFmpeg has no decoder for it (publisher)
│   └── Unauthenticated         the caller of a hook has not proven to be the ingest server
├── NotFound                    no stream, incident, block, bank … has that id
├── AlreadyExists               the id is in use
├── StaleVersion                somebody else changed it first (retryable)
├── Conflict                    its state does not allow it: says which state
├── PermissionRefused           the caller's role does not allow it
├── NotSignedIn                 the call needs a token that is known
├── SignInUnavailable           the token file cannot be used, so nobody can sign in (retryable)
├── ConfigError                 a settings or policy file cannot be used: names the key
├── MediaError                  the media cannot be decoded (publisher)
│   ├── NotMedia                a file is something else: text, an archive … (publisher)
│   ├── TooShort                a file has too few frames for one sample (publisher)
│   ├── BrokenMedia             damaged beyond what the decoder tolerates (publisher)
│   ├── OverBudget              it costs so much that next to nothing of it can be judged (publisher)
│   ├── BrokenSource            what a pull reads is damaged: opened anew (retryable) (publisher)
│   ├── NoVideo                 a stream or a file brings no video (publisher)
│   └── SourceStalled           a pull delivered nothing for too long (retryable)
├── NotContained                the kernel lacks what must contain a process that touches media
├── FingerprintFailed           the audio fingerprint library reported an error
├── ModelError                  a model file or its manifest breaks its contract
├── BankError                   a bank file or index is torn, foreign or of another version
├── ExchangeFailed              an exchange of hashes does not answer, or with no page of its own (retryable)
│   └── CheckpointStale         it cannot tell what has changed: everything has to be fetched (retryable)
├── LedgerUnavailable           the ledger cannot be read or written now (retryable)
│   └── NotPrimary              its server answers and is not the primary (retryable)
├── UnknownRow                  a row is of a newer gate or was edited by hand: names table, key and column
├── AuditBroken                 a row of the audit log was changed: names the row
├── EvidenceStoreFailed         the folder or bucket of evidence does not answer (retryable)
├── EvidenceElsewhere           another gate of the fleet has it on its own disk: names the gate, and the way
│   └── GateAway                that gate does not answer (retryable)
├── PostersLate                 the posters of a clip took too long to make (retryable)
├── EvidenceErased              it was erased: says when and why
├── DecisionsLost               a gate stops with decisions that it could not write
├── CapacityExceeded            the gate cannot hold another stream (retryable)
│   └── NoPlace                 all places under a limit are taken, and none is idle (retryable)
├── WorkerLost                  the worker that owned the stream died (retryable)
├── CutFailed                   the ingest server did not cut (retryable)
│   └── CallerGone              nobody is left to ask for the cut or to confirm it
├── GateUnavailable             the ingest server gets no answer from the gate (retryable)
├── PublishRejected             another RTMP server does not accept a relayed stream (retryable)
├── NotDelivered                the platform did not accept a signed event (retryable)
│   └── EndpointNotPublic       its host name resolves to an address that is not public
├── CallFailed                  a command's call ended with a status of the gate: quotes the gate
├── CallRefused                 a call of the console inside the gate ended with an error: quotes it
└── DemoFailed                  something that the demo shows did not happen
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum


class Fault(StrEnum):
    """Who causes an error that ends the watching of a stream. Stable on the wire."""

    PUBLISHER = "publisher"
    """What the publisher sent: the same bytes get the same answer. The stream ends, whatever a failure mode
    says."""
    GATE = "gate"
    """The gate, or the way to it. The failure modes are for these alone."""


class GateError(Exception):
    """Base of every error that edge-gate raises on purpose.

    ``retryable`` says whether the same call can succeed later without a change by the caller. ``fault`` says
    who causes the error, where it ends the watching of a stream. ``reason`` is a short, stable word that
    metrics count.
    """

    retryable: bool = False
    fault: Fault = Fault.GATE
    reason: str = "error"
    exit_code: int = 1
    """Of a command that ends with this error."""


class InvalidInput(GateError):
    """A value from outside is wrong. ``field`` names it as the caller wrote it."""

    fault = Fault.PUBLISHER
    reason = "invalid_input"

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.field = field
        self.problem = problem


class LimitExceeded(InvalidInput):
    """A value is over its limit."""

    reason = "limit_exceeded"

    def __init__(self, field: str, limit: int | float, actual: int | float, unit: str) -> None:
        super().__init__(field, f"{actual} {unit} is over the limit of {limit} {unit}")
        self.limit = limit
        self.actual = actual


class FrameTooLarge(InvalidInput):
    """A frame is over the limit, in pixels. A ``width`` of 0: the decoder refuses it without its size."""

    reason = "picture_too_large"

    def __init__(self, width: int, height: int, long_edge: int, short_edge: int) -> None:
        size = f"{width}x{height}" if width else "a frame"
        super().__init__(
            "frame",
            f"{size} is over the limit of {long_edge}x{short_edge}, upright or on its side: send smaller "
            "frames, or raise limits.max_picture_long_edge and limits.max_picture_short_edge",
        )


class UnsupportedCodec(InvalidInput):
    """The linked FFmpeg has no decoder for the codec, or the codec is not video."""

    reason = "unsupported_codec"


class Unauthenticated(InvalidInput):
    """The caller of a hook has not proven to be the ingest server. ``field`` is what should prove it."""

    fault = Fault.GATE
    reason = "unauthenticated"


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
    """Somebody else changed the object first. Read it again, then retry."""

    retryable = True
    reason = "stale_version"


class Conflict(GateError):
    """The call is valid, but the object's state does not allow it now. The message names the state."""

    reason = "conflict"


class PermissionRefused(GateError):
    """The caller's role does not allow the call."""

    reason = "permission_refused"


class NotSignedIn(GateError):
    """The call needs a token, and shows none or one that is not known."""

    reason = "not_signed_in"

    def __init__(self) -> None:
        super().__init__("authorization: a valid `Bearer TOKEN` is needed")


class SignInUnavailable(GateError):
    """The token file cannot be used, so nobody can sign in. The message goes to those who have not signed in,
    so it tells neither path nor content; the log does."""

    retryable = True
    reason = "sign_in_unavailable"

    def __init__(self) -> None:
        super().__init__("nobody can sign in now: the gate cannot use its token file, and its log says why")


class ConfigError(GateError):
    """A settings or policy file cannot be used."""

    reason = "config"


class MediaError(GateError):
    """The media cannot be decoded."""

    fault = Fault.PUBLISHER
    reason = "media"


class BrokenMedia(MediaError):
    """The media is damaged beyond what the decoder tolerates."""

    reason = "broken_media"


class NotMedia(MediaError):
    """A file is something else than media."""

    reason = "not_media"


class TooShort(MediaError):
    """A file has too few frames for one sample, as an image has."""

    reason = "too_short"


class OverBudget(MediaError):
    """Watching the stream costs so much that next to nothing of it can be judged."""

    reason = "over_budget"


class BrokenSource(MediaError):
    """What a pull reads is damaged, or has another framing than before. The stream may be opened anew, a few
    times a minute."""

    retryable = True
    reason = "broken_source"


class NoVideo(MediaError):
    """A stream brings audio and no video, for longer than it may take, or a file holds none."""

    reason = "no_video"


class SourceStalled(MediaError):
    """A pull delivered nothing for longer than its time limit."""

    retryable = True
    fault = Fault.GATE
    reason = "source_stalled"


class NotContained(GateError):
    """The kernel lacks what must contain a process that touches media, and ``containment`` requires it."""

    reason = "not_contained"

    def __init__(self, process: str, problems: Iterable[str]) -> None:
        super().__init__(f"containment = require: a {process} cannot be contained: {'; '.join(problems)}")


class FingerprintFailed(GateError):
    """The audio fingerprint library reported an error. The message names its function."""

    reason = "fingerprint_failed"


class ModelError(GateError):
    """A model file or its manifest breaks its contract."""

    reason = "model"


class BankError(GateError):
    """A bank file or index is torn, foreign, or of another version."""

    reason = "bank"


class ExchangeFailed(GateError):
    """An exchange did not answer, refused, or answered with what is none of its pages.

    ``wait_s``: how long the exchange asks to be left alone. Nothing of the page was taken.
    """

    retryable = True
    reason = "exchange"

    def __init__(self, problem: str, wait_s: float = 0.0) -> None:
        super().__init__(problem)
        self.wait_s = wait_s


class CheckpointStale(ExchangeFailed):
    """An exchange cannot tell what has changed since a checkpoint. Everything has to be fetched again."""

    reason = "checkpoint_stale"


class LedgerUnavailable(GateError):
    """The ledger cannot be read or written now."""

    retryable = True
    reason = "ledger_unavailable"


class DecisionsLost(GateError):
    """A gate stops with decisions that neither the ledger nor the journal has taken. The log names each."""

    reason = "decisions_lost"
    exit_code = 3

    def __init__(self, count: int) -> None:
        super().__init__(f"{count} decisions could not be written and are lost; the log names each")
        self.count = count


class EvidenceStoreFailed(GateError):
    """The folder or the bucket of evidence does not answer, or refuses. The message names what to look at."""

    retryable = True
    reason = "evidence_store"


class EvidenceElsewhere(GateError):
    """Another gate of the fleet has the evidence in a folder of its own, and does not show it."""

    reason = "evidence_elsewhere"

    def __init__(self, incident_id: str, gate: str, problem: str) -> None:
        super().__init__(
            f"incident_id: the evidence of {incident_id} is in the folder of gate {gate!r}: {problem}"
        )
        self.gate = gate


class GateAway(EvidenceElsewhere):
    """The gate that has the evidence does not answer."""

    retryable = True
    reason = "gate_away"


class PostersLate(GateError):
    """The posters of a clip took too long to make. The machine may be busy."""

    retryable = True
    reason = "pictures_late"

    def __init__(self, incident_id: str, pause_s: float) -> None:
        super().__init__(
            f"incident_id: the posters of {incident_id} took too long to make: ask again in {pause_s:.0f} s"
        )


class EvidenceErased(GateError):
    """The evidence was erased. The incident itself stays on record."""

    reason = "evidence_erased"


class NotPrimary(LedgerUnavailable):
    """The database server answers, but it is read-only: it is not, or no longer, the primary."""

    reason = "not_primary"


class UnknownRow(GateError):
    """A row of the ledger that this gate cannot read: a newer gate wrote it, or somebody edited it by
    hand."""

    reason = "unknown_row"

    def __init__(self, table: str, key: str, problem: str) -> None:
        super().__init__(f"{table} {key}: {problem}; a newer gate wrote it, or it was edited by hand")
        self.table = table
        self.key = key
        self.problem = problem


class AuditBroken(GateError):
    """A row of the audit log is not as it was written."""

    reason = "audit_broken"

    def __init__(self, number: int, problem: str) -> None:
        super().__init__(f"audit row {number}: {problem}")
        self.number = number


class CapacityExceeded(GateError):
    """The gate cannot hold another stream."""

    retryable = True
    reason = "capacity"


class NoPlace(CapacityExceeded):
    """All places are taken, and none of them is idle. ``limit`` names the setting."""

    reason = "no_place"

    def __init__(self, limit: str, most: int) -> None:
        super().__init__(f"{limit}: all {most} places are taken")
        self.limit = limit


class WorkerLost(GateError):
    """The worker process that owned the stream died."""

    retryable = True
    reason = "worker_lost"


class GateUnavailable(GateError):
    """The ingest server gets no answer from the gate."""

    retryable = True
    reason = "gate_unavailable"


class CutFailed(GateError):
    """The ingest server did not cut the publisher."""

    retryable = True
    reason = "cut_failed"


class CallerGone(CutFailed):
    """Nobody is left to ask for the cut or to confirm it."""

    retryable = False
    reason = "caller_gone"


class PublishRejected(GateError):
    """Another RTMP server does not accept a relayed stream."""

    retryable = True
    reason = "publish_rejected"


class NotDelivered(GateError):
    """The platform's webhook endpoint did not answer with 2xx."""

    retryable = True
    reason = "not_delivered"


class EndpointNotPublic(NotDelivered):
    """``webhook.public_only`` is set, and the endpoint's host name resolves to an address that is not
    public."""

    retryable = False
    reason = "endpoint_not_public"


class CallFailed(GateError):
    """A command's call ended with an error status of the gate, or got no answer."""

    reason = "call_failed"

    def __init__(self, problem: str, *, retryable: bool) -> None:
        super().__init__(problem)
        self.retryable = retryable


class CallRefused(GateError):
    """A call that the console made inside the gate ended with an error. ``status`` is that of HTTP."""

    reason = "call_refused"

    def __init__(self, status: int, problem: str) -> None:
        super().__init__(problem)
        self.status = status


class DemoFailed(GateError):
    """Something that the demo shows did not happen."""

    reason = "demo_failed"
