"""The reference ingest: accepts publishers, asks the gate about each, and obeys it.

A publisher sends RTMP up to ``publish``; then the ingest calls Admit. The gate refuses, or media goes to the
gate (Watch) and to the relay side by side. That lasts until the publisher leaves or the gate cuts. After a
cut the ingest first closes the socket, then calls ConfirmCut.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections import Counter
from typing import TYPE_CHECKING

import structlog

from edge.background import BackgroundTasks
from edge.clock import Clock, SystemClock
from edge.contract.gen import gate_pb2
from edge.descriptors import most_connections, report_lack
from edge.domain import new_id
from edge.errors import Fault, GateError, GateUnavailable, InvalidInput, NoPlace
from edge.ingest.connection import Connection
from edge.ingest.events import (
    Admitted,
    Closed,
    CutConfirmed,
    Event,
    GateDown,
    Judged,
    Observer,
    Refused,
    RelayDown,
    TierChanged,
)
from edge.ingest.gate_client import AdmittedStream, GateClient
from edge.ingest.media import MediaPath
from edge.ingest.on_air import OnAir, end_all
from edge.ingest.publish_token import PublishTokens, read_publish_tokens
from edge.ingest.relay import Relay, open_output
from edge.ingest.rtmp import PublishRequest, RtmpSession
from edge.ingest.settings import IngestSettings
from edge.ingest.watch_client import Ending, WatchClient
from edge.places import Places, network_of
from edge.policy import FailureMode
from edge.reasons import EndReason

if TYPE_CHECKING:
    from edge.ingest.publish_hook import PublishHook

_BAD_NAME = "NetStream.Publish.BadName"
_CONNECTIONS, _PER_ADDRESS = "max_connections", "max_connections_per_address"
_SHARE = 0.4
"""Of the file descriptors: each publisher may need a second one for its relay."""
_FAILED = "NetStream.Publish.Failed"
_NO_PLACE = (gate_pb2.REASON_CODE_QUOTA, gate_pb2.REASON_CODE_CAPACITY)
_CONFIRM_PAUSES_S = (0.1, 0.5, 2.0, 5.0, 10.0, 20.0)
_AFTER_END_S = 3.0
_GIVE_WAY_S = 10.0
"""How long a connection has to end for the one that takes over."""
_TICK_S = 0.1

log = structlog.get_logger(__name__)


class ReferenceIngest:
    """An RTMP server for many publishers. ``counters`` counts what happens, by name.

    ``observer`` gets one record for each event (``edge.ingest.events``). It is called on the event loop.
    """

    def __init__(
        self, settings: IngestSettings, observer: Observer | None = None, clock: Clock | None = None
    ) -> None:
        self.settings = settings
        self.counters: Counter[str] = Counter()
        self.clock = clock or SystemClock()
        self._observer = observer
        self._server: asyncio.Server | None = None
        self._connections = BackgroundTasks()
        self._said_ms = self.clock.monotonic_ms() - 1000
        self._places: Places[Connection] = Places(
            {
                _PER_ADDRESS: self.settings.max_connections_per_address,
                _CONNECTIONS: most_connections(self.settings.max_connections, _SHARE),
            }
        )
        self._tokens: PublishTokens | None = None
        self.read_tokens()
        self._upstream = _publish_hook(settings)
        self.on_air = OnAir()
        self.gate: GateClient

    async def start(self) -> None:
        """Starts to listen. Raises OSError if the port is taken."""
        self.gate = GateClient(self.settings)
        loop = asyncio.get_running_loop()
        report_lack(loop, self._lacks_descriptors)
        self._server = await loop.create_server(
            lambda: Connection(self._accept, self._places.give_back), self.settings.host, self.settings.port
        )

    @property
    def port(self) -> int:
        """The port on which it listens."""
        assert self._server is not None, "start first"
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Closes every publisher. Returns when all are closed."""
        if self._server is None:
            return
        self._server.close()
        await self._connections.aclose()
        if self._upstream is not None:
            await self._upstream.aclose()
        await self.gate.close()

    async def identified(self, publish: PublishRequest) -> PublishRequest:
        """The publish with the account that its token or the platform proves, or that the settings trust.

        Raises InvalidInput without a token that is good for it, or if the platform refuses it.
        """
        publish = self._of_token(publish)
        if self._upstream is None:
            return publish
        await self._upstream.check_publish(publish)
        return dataclasses.replace(publish, identity_proven=True)

    def _of_token(self, publish: PublishRequest) -> PublishRequest:
        if self._tokens is None:
            return dataclasses.replace(publish, identity_proven=self.settings.trust_user)
        user = self._tokens.user_of(publish.token, app=publish.app, name=publish.name)
        if publish.broadcaster not in (user, f"{publish.app}/{publish.name}"):
            raise InvalidInput("user", "must name whom the token names, or be left out")
        return dataclasses.replace(publish, broadcaster=user, identity_proven=True)

    def read_tokens(self) -> None:
        """Reads the secret of publish tokens again. Raises ConfigError, and the one before stays in force."""
        if self.settings.token_secret is not None:
            self._tokens = read_publish_tokens(self.settings.token_secret)

    def tell(self, event: Event) -> None:
        """Passes an event to the observer. An error of the observer must not end a stream."""
        if self._observer is not None:
            try:
                self._observer(event)
            except Exception as error:
                self.counters["observer_failures"] += 1
                log.error("observer failed", event_kind=type(event).__name__, error=repr(error))

    def _accept(self, wire: Connection) -> None:
        """Whoever publishes keeps its place. Of the others the one that has waited longest goes first."""
        try:
            losers = self._places.take(wire, {_PER_ADDRESS: network_of(wire.peer), _CONNECTIONS: ""})
        except NoPlace as error:
            self.counters["refused_connections"] += 1
            self.counters[f"refused_by_{error.limit}"] += 1
            wire.abort()
            return
        self._places.idle(wire)
        for loser in losers:
            self.counters["idle_connections_closed"] += 1
            loser.abort()
        self._connections.start(_PublisherConnection(self, wire).run())

    def _lacks_descriptors(self) -> None:
        self.counters["accepts_without_descriptor"] += 1
        now_ms = self.clock.monotonic_ms()
        if now_ms - self._said_ms >= 1000:
            self._said_ms = now_ms
            log.warning("no file descriptor is free for a connection; accepting pauses for a second")

    def keep_place(self, wire: Connection) -> None:
        """It publishes."""
        self._places.busy(wire)


class _PublisherConnection:
    """One publisher, from accept to close."""

    def __init__(self, ingest: ReferenceIngest, wire: Connection) -> None:
        self._ingest = ingest
        self._wire = wire
        self._settings = ingest.settings
        self._counters = ingest.counters
        self._id = new_id("rc")
        self._admitted = AdmittedStream()
        self._tasks = BackgroundTasks()
        self._gives_way = False
        self._gone = asyncio.Event()
        self._closed_ms: int | None = None
        self._session = RtmpSession(
            wire,
            max_message_bytes=self._settings.max_message_bytes,
            handshake_timeout_s=self._settings.handshake_timeout_s,
            idle_timeout_s=self._settings.idle_timeout_s,
        )

    async def run(self) -> None:
        self._counters["connections"] += 1
        reason, detail = "error", ""
        publish = None
        try:
            publish = await self._session.accept()
            reason = "publisher"
            if publish is not None:
                reason, detail = await self._publish(await self._ingest.identified(publish))
        except GateError as error:
            reason, detail = error.reason, str(error)
            if publish is not None:
                await self._close(detail)
        except TimeoutError:
            reason, detail = "timeout", "nothing was sent for too long"
        finally:
            closed_ms = await self._close()
            if publish is not None:
                self._ingest.on_air.leave(self, publish)
            self._gone.set()
            if self._gives_way and reason == "publisher":
                reason = "replaced"
            self._counters[f"closed_{reason}"] += 1
            self._ingest.tell(Closed(self._id, self._admitted.id, reason, detail, closed_ms))

    async def _publish(self, publish: PublishRequest) -> tuple[str, str]:
        """Asks for admission, then runs the stream. Returns the reason for closing, and details."""
        try:
            answer = await self._admit(publish)
        except GateUnavailable as error:
            self._gate_down(str(error))
            mode = self._settings.on_gate_down_admission
            self._counters[f"admission_{mode.value}_without_gate"] += 1
            if mode is FailureMode.DENY:
                self._ingest.tell(Refused(self._id, publish, None, self._now()))
                await self._close("the live service is not available now", _BAD_NAME)
                return "refused", str(error)
            answer = gate_pb2.AdmitResponse(allowed=True)
        if not answer.allowed:
            self._ingest.tell(Refused(self._id, publish, answer, self._now()))
            await self._close(_notice(answer.message), _BAD_NAME)
            return "refused", answer.message.en
        self._admitted = AdmittedStream.of(answer)
        before = self._ingest.on_air.predecessors(publish)
        self._ingest.on_air.enter(self, publish)
        self._ingest.keep_place(self._wire)
        await end_all(before)
        self._session.start()
        self._ingest.tell(Admitted(self._id, answer.stream_id, publish, self._now()))
        return await self._stream(publish)

    async def _admit(self, publish: PublishRequest) -> gate_pb2.AdmitResponse:
        """Asks the gate. Where its own predecessors hold the place that it needs, they go first, and it asks
        again. Raises GateUnavailable and InvalidInput."""
        answer = await self._ingest.gate.admit(publish, self._id)
        before = self._ingest.on_air.predecessors(publish)
        if answer.allowed or answer.reason not in _NO_PLACE or not before:
            return answer
        await end_all(before)
        return await self._ingest.gate.admit(publish, self._id)

    async def give_way(self) -> None:
        """Ends for a connection that takes over. Returns once the gate knows that its stream is over."""
        self._gives_way = True
        await self._close("another connection of the same publisher has taken over", _BAD_NAME)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._gone.wait(), _GIVE_WAY_S)

    async def _stream(self, publish: PublishRequest) -> tuple[str, str]:
        relay = self._open_relay(publish)
        watcher = WatchClient(
            self._ingest.gate,
            publish,
            self._id,
            self._admitted,
            self._settings,
            self._counters,
            lambda response: self._on_answer(response, watcher),
            self._gate_down,
            self._ingest.clock,
            relay,
        )
        media = MediaPath(
            self._session, watcher, self._counters, self._ingest.clock, self._settings.max_lead_ms
        )
        receiving = self._tasks.start(media.run(), awaited=True)
        watching = self._tasks.start(watcher.run(), awaited=True)
        relaying = self._tasks.start(relay.run()) if relay else None
        try:
            return await self._until_closed(receiving, watching, watcher, relay)
        finally:
            for task in (receiving, watching):
                task.cancel()
            await asyncio.gather(receiving, watching, return_exceptions=True)
            if relay is not None and relaying is not None:
                relay.end()
                await asyncio.wait({relaying}, timeout=_AFTER_END_S)
                relaying.cancel()
            if self._admitted.id and not watcher.configured:
                await self._close()
                await self._ingest.gate.give_back(self._admitted)

    async def _until_closed(
        self,
        receiving: asyncio.Task[None],
        watching: asyncio.Task[Ending],
        watcher: WatchClient,
        relay: Relay | None,
    ) -> tuple[str, str]:
        active: set[asyncio.Task[None] | asyncio.Task[Ending]] = {receiving, watching}
        while receiving in active:
            done, active = await asyncio.wait(
                active, timeout=_TICK_S if relay else None, return_when=asyncio.FIRST_COMPLETED
            )
            if watching in done and watching.result() is not Ending.NO_MORE_NEEDED:
                return await self._close_publisher(watching.result(), watcher, relay)
            if watching in done and relay is not None:
                relay.clear_all(self._ingest.clock.monotonic_ms())
            if relay is not None:
                relay.release(self._ingest.clock.monotonic_ms())
                if relay.overrun:
                    raise GateUnavailable("hold-back: the gate has not judged the stream in time")
        # The publisher is gone. Its last media may still be judged, and may still be a violation.
        error = receiving.exception()
        await self._close(str(error) if isinstance(error, GateError) else None)
        fault = isinstance(error, GateError) and error.fault is Fault.PUBLISHER
        if watcher.configured and not watching.done():
            if fault:
                watcher.finish(EndReason.UNWATCHABLE, str(error))
            else:
                watcher.finish(EndReason.PUBLISHER_GONE)
            await asyncio.wait({watching}, timeout=_AFTER_END_S)
        if watching.done() and watching.result() is Ending.CUT:
            if relay is not None:
                relay.stop_viewing()
            await self._confirm(watcher)
            if not fault:  # else the error itself is the reason
                return "cut", "after the publisher had left"
        if watching.done() and watching.result() is Ending.FINISHED and relay is not None:
            relay.clear_all(self._ingest.clock.monotonic_ms())
        receiving.result()
        return "publisher", ""

    async def _close_publisher(
        self, ending: Ending, watcher: WatchClient, relay: Relay | None
    ) -> tuple[str, str]:
        """The gate said no: stops the relay, then closes the publisher, then confirms the cut."""
        if relay is not None:
            relay.stop_viewing()
        await self._close(watcher.detail or ending.value)
        if ending is not Ending.GATE_LOST:
            await self._confirm(watcher)
        return ending.value, watcher.detail

    async def _close(self, error: str | None = None, code: str = _FAILED) -> int:
        """Closes the socket once, with an RTMP error if one is given. Returns the wall time of closing in
        ms."""
        if self._closed_ms is None:
            if error is None:
                await self._session.close()
            else:
                await self._session.refuse(code, error)
            self._closed_ms = self._now()
        return self._closed_ms

    async def _confirm(self, watcher: WatchClient) -> None:
        """Tells the gate that the socket is closed, and retries until the gate answers."""
        stream, closed_wall_ms = self._admitted, await self._close()
        if stream.id:
            for pause_s in (*_CONFIRM_PAUSES_S, None):
                try:
                    time_to_cut_ms = await self._ingest.gate.confirm_cut(stream, closed_wall_ms)
                except GateUnavailable as error:
                    self._gate_down(str(error))
                    if pause_s is None:
                        self._counters["cuts_not_confirmed"] += 1
                        break
                    await asyncio.sleep(pause_s)
                else:
                    self._ingest.tell(CutConfirmed(self._id, stream.id, time_to_cut_ms, self._now()))
                    break
        await watcher.farewell("cut")

    def _on_answer(self, answer: gate_pb2.WatchResponse, watcher: WatchClient) -> None:
        self._admitted = watcher.stream
        kind = answer.WhichOneof("response")
        if kind == "verdict":
            if answer.verdict.action == gate_pb2.ACTION_CUT:
                watcher.detail = _notice(answer.verdict.message)
            self._ingest.tell(
                Judged(self._id, self._admitted.id, answer.verdict, answer.cleared_pts_ms, self._now())
            )
        elif kind in ("opened", "tier"):
            self._ingest.tell(TierChanged(self._id, self._admitted.id, watcher.tier, self._now()))
        elif kind == "degraded":
            self._counters[f"degraded_{answer.degraded.reason}"] += answer.degraded.count

    def _open_relay(self, publish: PublishRequest) -> Relay | None:
        template = self._settings.relay
        if template is None:
            return None
        output = open_output(template, publish, self._admitted.id or self._id)
        return Relay(output, self._settings, self._counters, self._relay_down)

    def _gate_down(self, detail: str) -> None:
        self._ingest.tell(GateDown(self._id, self._admitted.id, detail, self._now()))

    def _relay_down(self, detail: str) -> None:
        self._ingest.tell(RelayDown(self._id, detail, self._now()))

    def _now(self) -> int:
        return self._ingest.clock.wall_ms()


def _publish_hook(settings: IngestSettings) -> PublishHook | None:
    if settings.upstream_url is None:
        return None
    from edge.ingest.publish_hook import PublishHook  # httpx, which an ingest without a hook need not load

    return PublishHook(settings.upstream_url, settings.upstream_timeout_s)


def _notice(message: gate_pb2.Message) -> str:
    """Joins both languages, because RTMP has one description only."""
    return " | ".join(text for text in (message.en, message.ar) if text) or "refused"
