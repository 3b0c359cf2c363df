"""Ends streams whose publishers send what nobody can watch."""

from __future__ import annotations

import contextlib

from edge.domain import Action
from edge.errors import BrokenMedia, CapacityExceeded, GateError, OverBudget
from edge.reasons import VerdictReason
from edge.supervise.context import Context
from edge.supervise.failure_policy import FailureResponse
from edge.supervise.live_stream import LiveStream
from edge.supervise.worker_channel import WorkerChannel


class UnwatchableStreams:
    """Ends them, with evidence of what came."""

    def __init__(self, context: Context, channel: WorkerChannel, failure_response: FailureResponse) -> None:
        self._context = context
        self._pool = context.pool
        self._channel = channel
        self._failure_response = failure_response

    def end_stream(
        self, stream: LiveStream, error: GateError, reason: VerdictReason = VerdictReason.UNWATCHABLE
    ) -> None:
        """Ends a stream whose publisher sent what cannot be watched.

        No worker decodes it any more. One worker writes evidence from its media.
        """
        stream.stop_pull()
        with contextlib.suppress(CapacityExceeded):
            if not stream.life.in_worker:
                self._pool.assign(stream.id, to_watch=False)
            for _ in self._channel.evidence_messages(stream):
                pass  # All at once: when the call has ended, the worker is released.
        self._failure_response.unwatchable(stream, error, reason)
        if stream.cutting:
            stream.media = None  # The worker has it. Nothing more of it is judged.

    def quarantine(self, stream: LiveStream) -> None:
        self._channel.release(stream)
        error = BrokenMedia("quarantined: its media has ended a worker twice")
        self.end_stream(stream, error, VerdictReason.QUARANTINED)

    def unpayable(self, stream: LiveStream, share: float) -> None:
        decoding = self._context.in_force.for_publish(stream.publish).decoding
        error = OverBudget(
            f"watching it takes more than {decoding.share:g} of a core (decoding.share; {share:.2f} lately), "
            "and next to nothing of it can be judged within that: send smaller frames, fewer frames or a "
            "simpler codec"
        )
        if decoding.action is Action.CUT:
            self.end_stream(stream, error)
        elif decoding.action is Action.FLAG:
            self._failure_response.flag_unwatchable(stream, error)
