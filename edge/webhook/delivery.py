"""Telling the platform: every decision of this gate, at least once, each under one id for ever.

audit log ─▶ events that wait ─▶ signed POST ─▶ 2xx: done
                    ▲                  └─ else: again, later and later, until it is too old
                    └──────────────────────────┘

Reads the ledger beside the gate, and nothing waits for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import json
import os
import random
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import structlog

from edge.background import BackgroundTasks
from edge.clock import Clock
from edge.errors import GateError, LedgerUnavailable
from edge.ledger.base import LedgerBase
from edge.telemetry.records import WebhookDelivered, WebhookFailed, WebhookGivenUp, WebhookQueue
from edge.telemetry.telemetry import Telemetry
from edge.webhook import state as files
from edge.webhook.endpoint import Endpoint
from edge.webhook.events import Event
from edge.webhook.retry import REFUSALS, is_refusal, retry_after_ms
from edge.webhook.settings import WebhookSection
from edge.webhook.signing import key_of
from edge.webhook.source import Source
from edge.webhook.state import DeliveryState, Waiting

_POLL_S = 0.25
_PAUSE_S = 0.02
_SAVE_S = 1.0
"""Between saves; what was delivered in between is sent again after a crash, under its id."""
_GRACE_S = 2.0
_PAGES = 20
"""Of the audit log, that are taken up in one turn."""
_MAX_TRIED = 10_000
"""Events that have failed and wait; those that wait for their first try are ``webhook.max_waiting``."""
_MAX_BURIED = 50
"""Events that are given up in one turn for others."""
_EARLY, _MAX_EARLY = 8, 64
"""Events that are tried before their pause is over, for each that is delivered; and at most."""

log = structlog.get_logger(__name__)


class Delivery:
    """One background task. Lives in one event loop."""

    def __init__(
        self,
        settings: WebhookSection,
        directory: Path,
        ledger: LedgerBase,
        telemetry: Telemetry,
        clock: Clock,
        spread: Callable[[], float] = random.random,
    ) -> None:
        """``directory``: where what was delivered is remembered. Raises ConfigError."""
        self._settings = settings
        self._directory = directory
        self._source = Source(ledger)
        self._telemetry = telemetry
        self._clock = clock
        self._spread = spread
        self._receiver = Endpoint(
            settings.url,
            [key_of(secret.get_secret_value()) for secret in settings.secrets],
            timeout_ms=settings.timeout_ms,
            ca=settings.ca,
            public_only=settings.public_only,
            connections=settings.concurrency,
        )
        self._state = DeliveryState(0)
        self._events: dict[str, Event] = {}
        """Of what waits; those that are missing here are read from the ledger again."""
        self._held: set[str] = set()
        """What failed when its time had come, and no time was asked for: tried early once others arrive."""
        self._early = 0
        self._taken = 0
        """Events that the receiver took in this run."""
        self._failed: dict[str, int] = {}
        """How many those were when an event that waits first failed in this run."""
        self._unwanted: set[str] = set()
        """What was refused, or failed although the receiver took others since it first did."""
        self._tasks = BackgroundTasks()
        self._sending: dict[str, asyncio.Task[None]] = {}
        self._wake = asyncio.Event()
        self._changed = False
        self._saved = 0.0
        self._away = False
        self._stopping = False
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Goes on where the last run has stopped; the first one begins with the next decision.

        Raises ConfigError, and LedgerUnavailable where the ledger must say where that is.
        """
        known = await asyncio.to_thread(files.load, self._directory)
        if known is None:
            known = DeliveryState(await asyncio.to_thread(self._source.newest))
            await asyncio.to_thread(files.save, self._directory, known)
        self._state = known
        self._held = {each.id for each in known.waiting.values() if each.attempts}
        self._task = self._tasks.start(self._run())

    async def stop(self) -> None:
        """What is decided is still taken up, and sent if that is quick; the rest waits on disk."""
        if self._task is None:
            return
        # Not cancelled: its thread would go on, and could write an older state over the last one.
        self._stopping = True
        self._wake.set()
        await self._task
        try:
            await self._turn()
        except (GateError, OSError) as error:
            log.warning("the last decisions wait for the next start of the gate", error=str(error))
        await self._tasks.settle(_GRACE_S)
        await self._tasks.aclose()
        try:
            await self._save()
        except OSError as error:
            log.warning("what webhooks have delivered was not saved", error=str(error))
        log.info("webhooks stop", waiting=len(self._state.waiting))
        await self._receiver.aclose()

    async def _run(self) -> None:
        while not self._stopping:
            try:
                await self._turn()
                self._heard(away=False)
            except LedgerUnavailable as error:
                self._heard(away=True, why=str(error))
            except Exception:
                # Whatever is wrong with one decision or the disk, deliveries go on.
                log.exception("webhooks: a turn failed; it is tried again")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_POLL_S):
                    await self._wake.wait()
            if not self._stopping:
                self._wake.clear()
                # Many that end at once are one turn: the event loop is the gate's.
                await asyncio.sleep(_PAUSE_S)

    async def _turn(self) -> None:
        try:
            await self._take_up()
        finally:
            # What was taken up before is sent, whatever is wrong with what follows.
            try:
                await self._send_due()
            finally:
                self._measure()
                await self._save()

    async def _take_up(self) -> None:
        """New decisions, as many as may wait; the others stay where they are, in the ledger."""
        for _ in range(_PAGES):
            untried = sum(not each.attempts for each in self._state.waiting.values())
            if untried >= self._settings.max_waiting:
                return
            page = await asyncio.to_thread(self._source.after, self._state.cursor)
            if page is None:
                return
            wanted = [each for each in page.events if self._wanted(each)]
            if wanted and not self._makes_room():
                return
            now = self._clock.wall_ms()
            for event in wanted:
                self._state.waiting[event.id] = Waiting(event.id, event.number, now)
                self._events[event.id] = event
            self._state.cursor = page.last
            self._changed = True

    def _makes_room(self) -> bool:
        """Whether more may wait. Where too many have failed, the most tried of those that the receiver does
        not want are given up; what fails because it is away stays."""
        tried = [each for each in self._state.waiting.values() if each.attempts]
        over = len(tried) - _MAX_TRIED
        unwanted = (each for each in tried if each.id in self._unwanted and each.id not in self._sending)
        given_up = heapq.nlargest(
            min(over, _MAX_BURIED), unwanted, key=lambda each: (each.attempts, -each.number)
        )
        for waiting in given_up:
            self._give_up(waiting, f"over {_MAX_TRIED} events fail, and it was tried most often")
        return len(given_up) >= over

    def _wanted(self, event: Event) -> bool:
        return not self._settings.events or event.type in self._settings.events

    async def _send_due(self) -> None:
        now = self._clock.wall_ms()
        idle = [each for each in self._state.waiting.values() if each.id not in self._sending]
        free = self._settings.concurrency - len(self._sending)
        due = _least_tried(free, (each for each in idle if each.next_ms <= now))
        early = _least_tried(
            min(free - len(due), self._early),
            (each for each in idle if each.next_ms > now and each.id in self._held),
        )
        unread = []
        for waiting in (*due, *early):
            if waiting.id in self._events:
                self._begin(waiting, now)
            else:
                unread.append(waiting)
        if not unread:
            return
        events = await asyncio.to_thread(self._source.of, sorted({each.number for each in unread}))
        for waiting in unread:
            if waiting.id in events:
                self._events[waiting.id] = events[waiting.id]
                self._begin(waiting, now)
            else:
                self._give_up(waiting, "its decision cannot be read from the ledger any more")

    def _begin(self, waiting: Waiting, now: int) -> None:
        early = waiting.next_ms > now
        self._early -= early
        self._held.discard(waiting.id)
        sending = self._send(waiting, self._events[waiting.id], early)
        self._sending[waiting.id] = self._tasks.start(sending)

    def _measure(self) -> None:
        waiting, now = self._state.waiting, self._clock.wall_ms()
        oldest = min((each.since_ms for each in waiting.values()), default=now)
        self._telemetry.report(WebhookQueue(len(waiting), (now - oldest) / 1000))

    async def _send(self, waiting: Waiting, event: Event, early: bool) -> None:
        taken_before = self._taken
        try:
            attempt = await self._receiver.send(event)
            now = self._clock.wall_ms()
            if attempt.delivered:
                self._telemetry.report(WebhookDelivered())
                self._taken += 1
                self._done(waiting.id)
                self._early = min(self._early + _EARLY, _MAX_EARLY, len(self._held))
                return
            waiting.attempts += 1
            self._changed = True
            refused = is_refusal(attempt.status)
            others = taken_before > self._failed.setdefault(waiting.id, self._taken)
            if refused or others:
                self._unwanted.add(waiting.id)
            # A receiver that refuses everything is set up wrongly: then all of it is kept.
            hopeless = refused and others and waiting.attempts >= REFUSALS
            if hopeless or now - waiting.since_ms >= self._settings.max_age_ms:
                self._give_up(waiting, attempt.problem)
                return
            pause_ms = retry_after_ms(
                waiting.attempts,
                self._settings.first_retry_ms,
                self._settings.max_retry_ms,
                self._spread(),
                attempt.retry_after_ms,
            )
            waiting.next_ms = now + pause_ms
            if not early and not attempt.retry_after_ms:
                self._held.add(waiting.id)
            self._telemetry.report(
                WebhookFailed(event.id, event.type, waiting.attempts, pause_ms, attempt.problem)
            )
        finally:
            self._sending.pop(waiting.id, None)
            self._wake.set()

    def _done(self, ident: str) -> None:
        self._state.waiting.pop(ident, None)
        self._events.pop(ident, None)
        self._held.discard(ident)
        self._failed.pop(ident, None)
        self._unwanted.discard(ident)
        self._changed = True

    def _give_up(self, waiting: Waiting, problem: str) -> None:
        """Counted, logged, and kept beside the gate's data for people."""
        event = self._events.get(waiting.id)
        self._done(waiting.id)
        kind = "" if event is None else event.type
        self._telemetry.report(WebhookGivenUp(waiting.id, kind, waiting.number, waiting.attempts, problem))
        line = {
            "id": waiting.id,
            "type": kind,
            "audit_number": waiting.number,
            "attempts": waiting.attempts,
            "problem": problem,
            "given_up_ms": self._clock.wall_ms(),
        }
        try:
            self._bury(json.dumps(line, ensure_ascii=False) + "\n")
        except OSError as error:
            log.error("no dead letter written", error=error.strerror)

    def _bury(self, line: str) -> None:
        path = self._directory / "webhook.dead.jsonl"
        if path.exists() and path.stat().st_size > self._settings.max_dead_bytes // 2:
            path.replace(path.with_suffix(".jsonl.1"))
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(line)

    async def _save(self) -> None:
        due = self._stopping or time.monotonic() - self._saved >= _SAVE_S
        if self._changed and due:
            self._changed = False
            self._saved = time.monotonic()
            try:
                await asyncio.to_thread(files.save, self._directory, files.copy_of(self._state))
            except OSError:
                self._changed = True
                raise

    def _heard(self, *, away: bool, why: str = "") -> None:
        if away != self._away:
            self._away = away
            if away:
                log.warning("webhooks wait for the ledger", error=why)
            else:
                log.info("webhooks go on")


def _least_tried(count: int, waiting: Iterable[Waiting]) -> list[Waiting]:
    """What fails again and again must not hold up what was never tried; of equals the oldest first."""
    return heapq.nsmallest(count, waiting, key=lambda each: (each.attempts, each.number))
