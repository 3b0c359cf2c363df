"""Reads events from the ledger. Skips a decision that cannot become an event, and logs an error."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import structlog

from edge.errors import InvalidInput
from edge.ledger import AuditedDecision, Decisions, LedgerBase
from edge.webhook.events import WebhookEvent, events_of

_UNREADABLE = (
    InvalidInput,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
    RecursionError,
)
"""Errors that an entry's content can cause. Any other error is the machine's, and a retry may help."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Page:
    """The next events of the audit log."""

    events: tuple[WebhookEvent, ...]
    last: int
    """Number of the page's last audit entry. The next page begins after it."""


class Source:
    """This gate's own decisions as events. Methods block, and raise LedgerUnavailable."""

    def __init__(self, ledger: LedgerBase) -> None:
        self._decisions = Decisions(ledger)

    def newest(self) -> int:
        """Number of the last audit entry; 0 before the first."""
        return self._decisions.newest()

    def after(self, number: int) -> Page | None:
        """The events of the next entries, in order. None if there are no more entries."""
        try:
            decisions = self._decisions.after(number)
        except _UNREADABLE:
            return self._one_after(number)
        return self._page(decisions)

    def of(self, numbers: Collection[int]) -> dict[str, WebhookEvent]:
        """The events of those entries, by id. Leaves out unreadable ones."""
        try:
            decisions = self._decisions.of(numbers)
        except _UNREADABLE:
            if len(numbers) > 1:
                return {key: event for each in numbers for key, event in self.of([each]).items()}
            log.exception("webhooks: an audit entry cannot be read", audit_numbers=list(numbers))
            return {}
        return {event.id: event for decision in decisions for event in _told(decision)}

    def _one_after(self, number: int) -> Page | None:
        try:
            return self._page(self._decisions.after(number, limit=1))
        except _UNREADABLE:
            log.exception("webhooks: an audit entry cannot be read and is skipped", after=number)
            return Page((), number + 1)

    def _page(self, decisions: tuple[AuditedDecision, ...]) -> Page | None:
        if not decisions:
            return None
        own = (each for each in decisions if each.gate == self._decisions.gate)
        events = tuple(event for decision in own for event in _told(decision))
        return Page(events, decisions[-1].entry.number)


def _told(decision: AuditedDecision) -> tuple[WebhookEvent, ...]:
    try:
        return events_of(decision)
    except Exception:
        log.exception(
            "webhooks: a decision cannot become an event and is skipped",
            audit_number=decision.entry.number,
            what=decision.entry.what,
        )
        return ()
