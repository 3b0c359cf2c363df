"""Why a worker closes a stream: as a message to the supervisor, and from that back to an error."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

from edge.contract.gen import worker_pb2
from edge.errors import BrokenMedia, BrokenSource, Fault, GateError, InvalidInput, SourceStalled, WorkerLost
from edge.reasons import CloseReason


@dataclass(frozen=True, slots=True)
class Closing:
    """A worker's report that it closes a stream."""

    reason: CloseReason
    detail: str = ""
    """Free text for people."""
    retryable: bool = False
    """Whether the same stream may be opened again."""
    wrong: InvalidInput | None = None
    """The caller's value that the gate cannot use."""
    fault: Fault = Fault.GATE

    @classmethod
    def by(cls, error: Exception, *, retryable: bool) -> Self:
        """Makes the report from an error.

        A GateError says itself whether a retry may help; ``retryable`` says it for any other error.
        """
        if not isinstance(error, GateError):
            return cls(CloseReason.INTERNAL, f"{type(error).__name__}: {error}", retryable)
        wrong = error if isinstance(error, InvalidInput) else None
        return cls(CloseReason(error.reason), str(error), error.retryable, wrong, error.fault)

    def for_good(self) -> Self:
        """Returns the same report for a stream that must not be opened again."""
        return replace(self, retryable=False)

    def to_proto(self, stream_id: str, opening: int) -> worker_pb2.Closed:
        message = worker_pb2.Closed(
            stream_id=stream_id,
            reason=self.reason.value,
            detail=self.detail,
            retryable=self.retryable,
            opening=opening,
            fault=self.fault.value,
        )
        if self.wrong is not None:
            message.wrong.field, message.wrong.problem = self.wrong.field, self.wrong.problem
        return message


def error_of(closed: worker_pb2.Closed) -> GateError:
    """Converts an abnormal close to the error that the caller gets, with the worker's own reason."""
    error = _kind_of(closed)
    error.reason = closed.reason
    return error


def _kind_of(closed: worker_pb2.Closed) -> GateError:
    problem = f"{closed.reason}: {closed.detail}"
    if closed.fault != Fault.PUBLISHER:
        return SourceStalled(problem) if closed.retryable else WorkerLost(problem)
    if closed.HasField("wrong"):
        return InvalidInput(closed.wrong.field, closed.wrong.problem)
    return BrokenSource(problem) if closed.retryable else BrokenMedia(problem)
