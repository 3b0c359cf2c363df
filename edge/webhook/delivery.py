"""Telling the platform: every decision of this gate, at least once, each under one id for ever.

audit log ─▶ events that wait ─▶ signed POST ─▶ 2xx: done
                    ▲                  └─ else: again, later and later, until it is too old
                    └──────────────────────────┘

Reads the ledger beside the gate, and nothing waits for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import random
import time
from collections.abc import Callable
from pathlib import Path

import structlog

from edge.clock import Clock
from edge.config import WebhookSection
from edge.errors import GateError, LedgerUnavailable
from edge.ledger.base import LedgerBase
from edge.ledger.decisions import Decisions
from edge.telemetry.metrics import Metrics
from edge.webhook import state as files
from edge.webhook.events import Event, events_of
from edge.webhook.receiver import Receiver
from edge.webhook.schedule import retry_after_ms
from edge.webhook.signing import key_of
from edge.webhook.state import DeliveryState, Waiting

_POLL_S = 0.25
_PAUSE_S = 0.02
_SAVE_S = 1.0
"""Between saves; what was delivered in between is sent again after a crash, under its id."""
_GRACE_S = 2.0
_REBUILD = 200

log = structlog.get_logger(__name__)


class Delivery:
    """One background task. Lives in one event loop."""

    def __init__(
        self,
        settings: WebhookSection,
        directory: Path,
        ledger: LedgerBase,
        metrics: Metrics,
        clock: Clock,
        spread: Callable[[], float] = random.random,
    ) -> None:
        """``directory``: where what was delivered is remembered. Raises ConfigError."""
        self._settings = settings
        self._directory = directory
        self._decisions = Decisions(ledger)
        self._metrics = metrics
        self._clock = clock
        self._spread = spread
        self._receiver = Receiver(
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
            known = DeliveryState(await asyncio.to_thread(self._decisions.newest))
            await asyncio.to_thread(files.save, self._directory, known)
        self._state = known
        self._task = asyncio.create_task(self._run())

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
            if self._sending:
                await asyncio.wait(self._sending.values(), timeout=_GRACE_S)
            for task in list(self._sending.values()):
                task.cancel()
            await asyncio.gather(*self._sending.values(), return_exceptions=True)
            await self._save()
        except (GateError, OSError) as error:
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
        await self._take_up()
        now = self._clock.wall_ms()
        due = [each for each in self._state.waiting.values() if each.next_ms <= now]
        # What fails again and again must not hold up what was never tried.
        due = sorted((w for w in due if w.id not in self._sending), key=lambda w: (w.attempts, w.number))
        for waiting in due[: max(0, self._settings.concurrency - len(self._sending))]:
            event = await self._event(waiting)
            if event is None:
                self._give_up(waiting, "its decision is not in the ledger any more")
            else:
                self._sending[waiting.id] = asyncio.create_task(self._send(waiting, event))
        oldest = min((each.since_ms for each in self._state.waiting.values()), default=now)
        self._metrics.webhooks_waiting.set(len(self._state.waiting))
        self._metrics.webhook_oldest.set((now - oldest) / 1000)
        await self._save()

    async def _take_up(self) -> None:
        """New decisions, as many as may wait; the others stay where they are, in the ledger."""
        while len(self._state.waiting) < self._settings.max_waiting:
            decisions = await asyncio.to_thread(self._decisions.after, self._state.cursor)
            if not decisions:
                return
            now = self._clock.wall_ms()
            for decision in decisions:
                if decision.gate == self._decisions.gate:
                    for event in events_of(decision):
                        if self._wanted(event):
                            self._state.waiting[event.id] = Waiting(event.id, event.number, now)
                            self._events[event.id] = event
                self._state.cursor = decision.entry.number
            self._changed = True

    def _wanted(self, event: Event) -> bool:
        return not self._settings.events or event.type in self._settings.events

    async def _event(self, waiting: Waiting) -> Event | None:
        if waiting.id not in self._events:
            missing = [each for each in self._state.waiting.values() if each.id not in self._events]
            numbers = {waiting.number, *(each.number for each in missing[:_REBUILD])}
            for decision in await asyncio.to_thread(self._decisions.of, sorted(numbers)):
                self._events.update((event.id, event) for event in events_of(decision))
        return self._events.get(waiting.id)

    async def _send(self, waiting: Waiting, event: Event) -> None:
        try:
            attempt = await self._receiver.send(event)
            if attempt.delivered:
                self._metrics.webhooks.labels("delivered").inc()
                self._done(waiting.id)
                return
            waiting.attempts += 1
            now = self._clock.wall_ms()
            if now - waiting.since_ms >= self._settings.max_age_ms:
                self._give_up(waiting, attempt.problem)
                return
            self._metrics.webhooks.labels("failed").inc()
            pause_ms = retry_after_ms(
                waiting.attempts,
                self._settings.first_retry_ms,
                self._settings.max_retry_ms,
                self._spread(),
                attempt.retry_after_ms,
            )
            waiting.next_ms = now + pause_ms
            self._changed = True
            log.warning(
                "webhook not delivered, it is tried again",
                event_id=event.id,
                type=event.type,
                attempts=waiting.attempts,
                again_in_ms=pause_ms,
                problem=attempt.problem,
            )
        finally:
            self._sending.pop(waiting.id, None)
            self._wake.set()

    def _done(self, ident: str) -> None:
        self._state.waiting.pop(ident, None)
        self._events.pop(ident, None)
        self._changed = True

    def _give_up(self, waiting: Waiting, problem: str) -> None:
        """Counted, logged, and kept beside the gate's data for people."""
        event = self._events.get(waiting.id)
        self._done(waiting.id)
        self._metrics.webhooks.labels("dead").inc()
        kind = "" if event is None else event.type
        log.error(
            "webhook given up",
            event_id=waiting.id,
            type=kind,
            audit_number=waiting.number,
            attempts=waiting.attempts,
            problem=problem,
        )
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
