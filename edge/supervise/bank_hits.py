"""How often banks and their entries matched, by the incidents on record and what is only counted.
Pure, but for the reading."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from edge.domain import Action, IncidentState
from edge.ledger.bank_records import MatchedIncident
from edge.supervise.context import Context
from edge.supervise.counted_matches import CountedMatches

PERIOD_MS: Final = 30 * 86_400_000
MOST: Final = 5_000
"""Most incidents that are counted, the newest ones."""
_PAGE: Final = 500
_OLD_MS: Final = 30_000.0
"""Age from which they are counted again."""


@dataclass(slots=True)
class MatchCount:
    """Incidents of one bank, or of one entry."""

    incidents: int = 0
    overturned: int = 0
    confirmed: int = 0
    last_ms: int = 0
    last_id: str = ""
    counted: int = 0
    """Streams that showed it and for which it was only counted, since the gate started."""

    def add_incident(self, incident: MatchedIncident) -> None:
        self.incidents += 1
        self.overturned += incident.state == IncidentState.OVERTURNED
        self.confirmed += incident.state == IncidentState.CONFIRMED
        if (incident.created_ms, incident.id) > (self.last_ms, self.last_id):
            self.last_ms, self.last_id = incident.created_ms, incident.id


@dataclass(slots=True)
class HitCount:
    """Hits of a period."""

    since_ms: int
    cut_short: bool = False
    banks: dict[str, MatchCount] = field(default_factory=dict)
    entries: dict[tuple[str, str], MatchCount] = field(default_factory=dict)
    """By bank and entry."""

    def add_incidents(self, incidents: Iterable[MatchedIncident]) -> None:
        for incident in incidents:
            found = _matched(incident.verdict)
            for bank in {bank for bank, _ in found}:
                self.banks.setdefault(bank, MatchCount()).add_incident(incident)
            for bank, entry in found:
                if entry:
                    self.entries.setdefault((bank, entry), MatchCount()).add_incident(incident)


def _matched(verdict: str) -> set[tuple[str, str]]:
    """The banks and entries that a verdict names, without those that are only counted.

    Empty for one that this version cannot read.
    """
    try:
        signals: list[Mapping[str, object]] = json.loads(verdict)["signals"]
        return {
            (str(signal["bank"]), str(signal.get("entry") or ""))
            for signal in signals
            if signal.get("bank") and signal.get("at_most") != Action.PASS
        }
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return set()


class BankHits:
    """Counts when somebody asks, and again after half a minute."""

    def __init__(self, context: Context, counted: CountedMatches) -> None:
        self._context = context
        self._only_counted = counted
        self._counted: HitCount | None = None
        self._counted_ms = float("-inf")

    async def count(self) -> HitCount:
        """Raises LedgerUnavailable."""
        now = self._context.clock.monotonic_ms()
        if self._counted is None or now - self._counted_ms >= _OLD_MS:
            self._counted, self._counted_ms = await self._count(), now
        return self._counted

    async def _count(self) -> HitCount:
        context = self._context
        found = HitCount(context.clock.wall_ms() - PERIOD_MS)
        for bank, streams in self._only_counted.banks.items():
            found.banks.setdefault(bank, MatchCount()).counted = streams
        for entry, streams in self._only_counted.entries.items():
            found.entries.setdefault(entry, MatchCount()).counted = streams
        before: str | None = None
        for _ in range(MOST // _PAGE):  # other calls of the ledger get their turns in between
            page = await context.executor.call(
                context.ledger.matched_incidents, found.since_ms, before_id=before, limit=_PAGE
            )
            found.add_incidents(page)
            if len(page) < _PAGE:
                return found
            before = page[-1].id
        found.cut_short = True
        return found
