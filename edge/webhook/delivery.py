"""Delivers every decision of this gate to the platform: at least once, each under one permanent id.

audit log ─▶ waiting events ─▶ signed POST ─▶ 2xx: done
                   ▲                 └─ else: retry with backoff, until the event is too old
                   └─────────────────────────┘

It reads the ledger in the background, and nothing waits for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import json
import random
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import structlog

from edge.background import BackgroundTasks, task_health
from edge.clock import Clock
from edge.errors import GateError, LedgerUnavailable
from edge.ledger import LedgerBase
from edge.telemetry.records import (
    WebhookDelivered,
    WebhookFailed,
    WebhookGivenUp,
    WebhookQueue,
    WebhooksBack,
    WebhooksStopped,
)
from edge.telemetry.telemetry import Telemetry
from edge.webhook import state as files
from edge.webhook.endpoint import Endpoint
from edge.webhook.events import WebhookEvent
from edge.webhook.retry import REFUSALS, is_refusal, retry_after_ms
from edge.webhook.settings import WebhookSection
from edge.webhook.signing import key_of
from edge.webhook.source import Source
from edge.webhook.state import DeliveryState, Waiting

_POLL_S = 0.25
_PAUSE_S = 0.02
_SAVE_S = 1.0
"""Interval between saves. After a crash, events delivered since the last save are sent again under their
ids."""
_GRACE_S = 2.0
_PAGES = 20
"""Most pages of the audit log that one turn reads."""
_MAX_TRIED = 10_000
"""Most waiting events that have failed. ``webhook.max_waiting`` bounds those that wait for a first try."""
_MAX_BURIED = 50
"""Most events that one turn gives up to make room."""
_EARLY, _MAX_EARLY = 8, 64
"""Early retries that each delivery permits, and the most that may be open."""

log = structlog.get_logger(__name__)


class Delivery:
    """The delivery task. It belongs to one event loop."""

    def __init__(
        self,
        settings: WebhookSection,
        directory: Path,
        ledger: LedgerBase,
        telemetry: Telemetry,
        clock: Clock,
        spread: Callable[[], float] = random.random,
    ) -> None:
        """``directory`` holds the delivery state. Raises ConfigError."""
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
        self._events: dict[str, WebhookEvent] = {}
        """Contents of waiting events by id. Missing ones are read from the ledger again."""
        self._held: set[str] = set()
        """Events that failed when due, without a Retry-After. They are retried early once others are
        delivered."""
        self._early = 0
        self._taken = 0
        """Number of events that the receiver accepted in this run."""
        self._failed: dict[str, int] = {}
        """For each waiting event, the value of ``_taken`` when it first failed in this run."""
        self._unwanted: set[str] = set()
        """Events that the receiver refused, or that kept failing while it accepted others."""
        self._tasks = BackgroundTasks()
        self._letters: list[str] = []
        """Dead letters that are not on disk yet."""
        self._sending: dict[str, asyncio.Task[None]] = {}
        self._wake = asyncio.Event()
        self._changed = False
        self._saved = 0.0
        self._away = False
        self._stopping = False
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Continues where the last run stopped. The first run begins with the next decision.

        Raises ConfigError, and LedgerUnavailable if the first run cannot read its starting point.
        """
        known = await asyncio.to_thread(files.load, self._directory)
        if known is None:
            known = DeliveryState(await asyncio.to_thread(self._source.newest))
            await asyncio.to_thread(files.save, self._directory, known)
        self._state = known
        self._held = {each.id for each in known.waiting.values() if each.attempts}
        self._task = self._tasks.keep(self._run, needed=False)

    async def stop(self) -> None:
        """Takes up the last decisions and sends them within a short grace period. The rest waits on disk."""
        if self._task is None:
            return
        # Do not cancel the task: its thread would go on, and could overwrite the last state with an older
        # one.
        self._stopping = True
        self._wake.set()
        await self._task
        try:
            await self._turn()
        except (GateError, OSError) as error:
            log.warning("webhooks: the last decisions wait for the next start of the gate", error=str(error))
        await self._tasks.settle(_GRACE_S)
        await self._tasks.aclose()
        try:
            await self._save()
        except OSError as error:
            log.warning("webhooks: the delivery state was not saved", error=str(error))
        self._telemetry.report(WebhooksStopped(len(self._state.waiting)))
        await self._receiver.aclose()

    async def _run(self) -> None:
        while not self._stopping:
            try:
                await self._turn()
                self._report_availability(away=False)
            except LedgerUnavailable as error:
                self._report_availability(away=True, why=str(error))
            except Exception as error:
                # An error of one decision or of the disk must not end the deliveries.
                task_health().failed("Delivery.turn", error)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_POLL_S):
                    await self._wake.wait()
            if not self._stopping:
                self._wake.clear()
                # Gathers events that end together into one turn, because the gate needs the event loop.
                await asyncio.sleep(_PAUSE_S)

    async def _turn(self) -> None:
        try:
            await self._take_up()
        finally:
            # Sends earlier events even if taking up new ones fails.
            try:
                await self._send_due()
            finally:
                self._measure()
                await self._save()

    async def _take_up(self) -> None:
        """Takes up new decisions, as many as may wait. The others stay in the ledger."""
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
        """Whether more events may wait. Gives up events if too many have failed.

        Gives up those with the most attempts among events that the receiver does not want. Events that fail
        because the receiver is away stay.
        """
        tried = [each for each in self._state.waiting.values() if each.attempts]
        over = len(tried) - _MAX_TRIED
        unwanted = (each for each in tried if each.id in self._unwanted and each.id not in self._sending)
        given_up = heapq.nlargest(
            min(over, _MAX_BURIED), unwanted, key=lambda each: (each.attempts, -each.number)
        )
        for waiting in given_up:
            self._give_up(waiting, f"over {_MAX_TRIED} events fail, and this one had most attempts")
        return len(given_up) >= over

    def _wanted(self, event: WebhookEvent) -> bool:
        return not self._settings.events or event.type in self._settings.events

    async def _send_due(self) -> None:
        now = self._clock.wall_ms()
        idle = [each for each in self._state.waiting.values() if each.id not in self._sending]
        free = self._settings.concurrency - len(self._sending)
        due = _least_tried(free, (each for each in idle if self._is_due(each, now)))
        early = _least_tried(
            min(free - len(due), self._early),
            (each for each in idle if not self._is_due(each, now) and each.id in self._held),
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
                self._give_up(waiting, "the ledger no longer has its decision")

    def _is_due(self, waiting: Waiting, now: int) -> bool:
        """A pause beyond the longest is one of a clock that was set back."""
        return not 0 < waiting.next_ms - now <= self._settings.max_retry_ms

    def _begin(self, waiting: Waiting, now: int) -> None:
        early = not self._is_due(waiting, now)
        self._early -= early
        self._held.discard(waiting.id)
        sending = self._send(waiting, self._events[waiting.id], early)
        self._sending[waiting.id] = self._tasks.start(sending)

    def _measure(self) -> None:
        waiting, now = self._state.waiting, self._clock.wall_ms()
        oldest = min((each.since_ms for each in waiting.values()), default=now)
        self._telemetry.report(WebhookQueue(len(waiting), max(0, now - oldest) / 1000))

    async def _send(self, waiting: Waiting, event: WebhookEvent, early: bool) -> None:
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
            # A receiver that refuses everything is misconfigured, so all its events are kept.
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
        """Counts and logs the event. The next save writes it to a dead-letter file for people."""
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
        self._letters.append(json.dumps(line, ensure_ascii=False) + "\n")

    async def _save(self) -> None:
        due = self._stopping or time.monotonic() - self._saved >= _SAVE_S
        if self._changed and due:
            self._changed = False
            self._saved = time.monotonic()
            state = await files.copy_of(self._state)
            # After the copy: it lacks no event whose letter is not among these.
            letters, buried = "".join(self._letters), len(self._letters)
            try:
                # The file forgets an event only once its dead letter is on disk.
                if letters:
                    most = self._settings.max_dead_bytes
                    await asyncio.to_thread(files.bury, self._directory, letters, most)
                    del self._letters[:buried]
                await asyncio.to_thread(files.save, self._directory, state)
            except OSError:
                self._changed = True
                raise

    def _report_availability(self, *, away: bool, why: str = "") -> None:
        if away != self._away:
            self._away = away
            if away:
                log.warning("webhooks wait for the ledger", error=why)
            else:
                self._telemetry.report(WebhooksBack())


def _least_tried(count: int, waiting: Iterable[Waiting]) -> list[Waiting]:
    """Fewest attempts first, then oldest. Repeated failures must not hold up untried events."""
    return heapq.nsmallest(count, waiting, key=lambda each: (each.attempts, each.number))
