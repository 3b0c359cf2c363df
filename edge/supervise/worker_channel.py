"""What the supervisor says to the worker that has a stream: open it, here is media, look closer, close it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Iterator

from edge.contract.gate import access_unit_to_proto, audio_to_proto, needed_from_proto
from edge.contract.gen import gate_pb2, worker_pb2
from edge.domain import AccessUnit, Audio
from edge.errors import LedgerUnavailable, WorkerLost
from edge.ladder import counts
from edge.ledger.subjects import struck_name
from edge.supervise.clean_records import CleanRecords, viewers_of
from edge.supervise.context import Context
from edge.supervise.kept_media import KeptMedia, size_of
from edge.supervise.live_stream import LiveStream

_SHOWN_BYTES = 4 * 1024 * 1024
"""Approximate size of one message of media for evidence."""


class WorkerChannel:
    """The way to a stream's worker. ``StreamEnds`` has the streams of a lost one opened again."""

    def __init__(self, context: Context, clean: CleanRecords) -> None:
        self._context = context
        self._pool = context.pool
        self._clean = clean

    def open_stream(self, stream: LiveStream, *, alert: bool, calm: bool = False) -> None:
        policy_json = self._context.in_force.json_for(stream.publish)
        opening = worker_pb2.OpenPush(
            stream_id=stream.id,
            codec=stream.codec,
            extradata=stream.extradata,
            policy_json=policy_json,
            alert=alert,
            calm=calm,
            opening=stream.opening + 1,
            seed=stream.seed,
            heavy=self._pool.is_heavy(stream.id),
            risk_factors=self._risk_factors(stream),
        )
        self._pool.send(stream.id, worker_pb2.ToWorker(open_push=opening))
        stream.opening += 1
        stream.judged = False

    def close_stream(self, stream: LiveStream, *, drain: bool) -> None:
        stream.stop_pull()
        if stream.life.in_worker:
            self.take_stream(stream, drain=drain)

    def take_stream(self, stream: LiveStream, *, drain: bool) -> None:
        with contextlib.suppress(WorkerLost):
            self._pool.send(
                stream.id,
                worker_pb2.ToWorker(close=worker_pb2.Close(stream_id=stream.id, drain=drain)),
            )

    def release(self, stream: LiveStream) -> None:
        stream.idle_since_ms = self._context.clock.monotonic_ms()
        if stream.cutting:
            return  # Its worker keeps the media until the evidence is written.
        stream.life.worker_left()
        self._pool.release(stream.id)
        self._context.registry.idle(stream)

    def tier_changed(self, stream: LiveStream, tier: gate_pb2.TierChange) -> None:
        """Tells the source what is needed. Sends the media that the worker lacks when it needs more of each
        GOP."""
        if stream.pull is not None:
            stream.pull.want_audio(tier.audio_wanted)
        if stream.media is not None:
            with contextlib.suppress(WorkerLost):
                self.send_units(stream.id, stream.media.change(needed_from_proto(tier)))

    def send_units(self, stream_id: str, units: Iterable[AccessUnit]) -> None:
        for unit in units:
            self._pool.send_unit(stream_id, unit)

    def ask_alert(self, stream: LiveStream, hold_ms: int) -> None:
        ask = worker_pb2.AskAlert(stream_id=stream.id, hold_ms=hold_ms)
        with contextlib.suppress(WorkerLost):  # ``streams_lost`` opens it again, in alert.
            self._pool.send(stream.id, worker_pb2.ToWorker(ask_alert=ask))

    async def alert_if_struck(self, stream: LiveStream) -> None:
        """Starts a stream in tier alert if its broadcaster has recent strikes. The stream does not wait for
        this."""
        policy = self._context.in_force.for_publish(stream.publish)
        hold_ms = policy.tiers.struck_alert_ms
        if self._context.executor.down:
            return  # Many calls to a ledger that is away would delay noticing its return.
        try:
            strikes = await self._context.executor.call(
                self._context.ledger.strikes_of, struck_name(stream.publish)
            )
        except LedgerUnavailable:
            return  # The executor has reported it. The stream starts like any other.
        wall_ms = self._context.clock.wall_ms()
        if any(counts(strike, policy.ladder, wall_ms) for strike in strikes):
            stream.struck = True
            factors = worker_pb2.SetRiskFactors(stream_id=stream.id, risk_factors=self._risk_factors(stream))
            with contextlib.suppress(WorkerLost):
                self._pool.send(stream.id, worker_pb2.ToWorker(set_risk_factors=factors))
            if hold_ms:
                self.ask_alert(stream, hold_ms)

    def _risk_factors(self, stream: LiveStream) -> worker_pb2.RiskFactors:
        """What is known of a stream besides its media."""
        watched_ms = stream.watched_ms(self._context.clock.monotonic_ms())
        return worker_pb2.RiskFactors(
            clean_ms=self._clean.clean_ms(stream.publish) + watched_ms,
            struck=stream.struck,
            viewers=viewers_of(stream.publish),
        )

    async def send_evidence_media(self, stream: LiveStream, kept: KeptMedia | None = None) -> None:
        """Sends media of a stream to its worker, before evidence is requested. None: all that is kept.

        Much media takes a while, so other tasks run between the messages.
        """
        for _ in self.evidence_messages(stream, kept):
            await asyncio.sleep(0)
            if kept is not None:
                await self._pool.drained(stream.id)

    def evidence_messages(self, stream: LiveStream, kept: KeptMedia | None = None) -> Iterator[None]:
        """Sends the media. Yields after each message."""
        if kept is None:
            kept = KeptMedia() if stream.media is None else stream.media.kept()
        message = worker_pb2.EvidenceMedia(
            stream_id=stream.id, codec=stream.codec, extradata=stream.extradata, first=True
        )
        size = 0
        with contextlib.suppress(WorkerLost):
            media: tuple[AccessUnit | Audio, ...] = (*kept.units, *kept.audio)
            for one in media:
                if isinstance(one, Audio):
                    message.audio.append(audio_to_proto(one))
                    size += size_of(one)
                else:
                    message.units.append(access_unit_to_proto(one))
                    size += len(one.data)
                if size >= _SHOWN_BYTES:
                    self._pool.send(stream.id, worker_pb2.ToWorker(evidence_media=message))
                    message, size = worker_pb2.EvidenceMedia(stream_id=stream.id), 0
                    yield
            if message.units or message.audio:
                self._pool.send(stream.id, worker_pb2.ToWorker(evidence_media=message))
