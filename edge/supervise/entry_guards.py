"""Keeps the guards of a gate's bank entries: checks what is new, and judges sources by what people said.

It writes what it knows beside the verified copies of the banks, where the workers read it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Final

import structlog

from edge.intervals import wilson
from edge.match import BankSet, RecentFootage
from edge.match.bank.bank_set import OpenBank
from edge.match.bank.guards import (
    MOST_HELD,
    EntryFinding,
    Guards,
    SourceRecord,
    SourceTerms,
    read_guards,
    source_of,
    write_guards,
)
from edge.match.bank.new_entries import NewEntries
from edge.match.entry_check import CalmPart, check_entries
from edge.match.recent_footage import DAY_MS
from edge.policy import GuardPolicy
from edge.supervise.bank_hits import HitCount

log = structlog.get_logger(__name__)
_FILE_WAITS: Final = "the guards of bank entries wait for the disk: what is new may only flag"


class EntryGuards:
    """The guards of one gate. Blocking: call it in one thread."""

    def __init__(self, copies: Path, recent: RecentFootage) -> None:
        self._copies = copies
        self._recent = recent
        self._guards: Guards | None = None
        self._written: Guards | None = None

    @property
    def guards(self) -> Guards:
        return self._guards or Guards()

    def begin(self, banks: BankSet) -> None:
        """Takes what an earlier run has found. What a gate had before it had guards counts as checked."""
        self._guards = read_guards(self._copies)
        if self._guards is None:
            checked = {o.bank.name: dict.fromkeys(_digests(o), 1) for o in banks.banks}
            self._guards = Guards(checked=checked)
        self._written = None

    def unchecked(self, banks: BankSet) -> set[str]:
        """Returns the banks of which something has yet to be checked."""
        checked = self.guards.checked
        return {o.bank.name for o in banks.banks if set(_digests(o)) - checked.get(o.bank.name, {}).keys()}

    def take_policy(self, policy: GuardPolicy) -> None:
        terms = tuple(
            SourceTerms(
                source=rule.source,
                probation_ms=rule.probation_ms,
                vouched=rule.vouched,
                demoted=rule.demoted,
            )
            for rule in policy.sources
        )
        self._guards = self.guards.model_copy(update={"terms": terms, "most_seen": policy.seen_streams})

    def take_hits(
        self, banks: BankSet, hits: HitCount, policy: GuardPolicy, now_ms: int
    ) -> list[tuple[str, str]]:
        """Judges sources by what people said of their matches. Returns those that are demoted now, or no
        more, and why; empty: no more."""
        counted: dict[str, Counter[str]] = {}
        for (bank, entry), count in hits.entries.items():
            of_source = counted.setdefault(entry_source(banks, bank, entry), Counter())
            of_source.update(
                incidents=count.incidents, confirmed=count.confirmed, overturned=count.overturned
            )
        before = self.guards.sources
        sources = {
            source: source_record(counted.get(source, Counter()), policy, before.get(source), now_ms)
            for source in sorted({*counted, *(name for name, one in before.items() if one.demoted)})
        }
        self._guards = self.guards.model_copy(update={"sources": sources})
        return [
            (source, record.demoted)
            for source, record in sources.items()
            if bool(record.demoted) is not bool(before.get(source, SourceRecord()).demoted)
        ]

    def demote(self, source: str, why: str, until_ms: int, now_ms: int) -> None:
        """Demotes a source until a time."""
        record = self.guards.sources.get(source, SourceRecord())
        demoted = record.model_copy(update={"demoted": why, "since_ms": now_ms, "until_ms": until_ms})
        self._guards = self.guards.model_copy(update={"sources": {**self.guards.sources, source: demoted}})

    def check(
        self,
        banks: BankSet,
        news: Sequence[NewEntries],
        weights: Mapping[int, float],
        calm_parts: Mapping[str, CalmPart],
        waits: Collection[str],
        now_ms: int,
    ) -> dict[tuple[str, str], EntryFinding]:
        """Checks what is new. ``waits`` has the digests of segments whose check has yet to come. Returns the
        findings, by bank and entry."""
        views = self._recent.since(now_ms - DAY_MS, of_day=True)
        found = {
            (bank, entry): finding
            for bank, entry, finding in check_entries(views, news, banks, weights, calm_parts, now_ms)
        }
        findings = {bank: dict(entries) for bank, entries in self.guards.findings.items()}
        for (bank, entry), finding in found.items():
            findings.setdefault(bank, {})[entry] = finding
        fresh = {new.bank.bank.segments[new.segment].digest for new in news}
        checked = {}
        for opened in banks.banks:
            before = self.guards.checked.get(opened.bank.name, {})
            # What was merged, with nothing new in it, is as young as the youngest before.
            merged_ms = max(before.values(), default=1)
            checked[opened.bank.name] = {
                digest: before.get(digest, now_ms if digest in fresh else merged_ms)
                for digest in _digests(opened)
                if digest in before or digest not in waits
            }
        self._guards = self.guards.model_copy(
            update={"checked": checked, "findings": _newest(findings, {o.bank.name for o in banks.banks})}
        )
        return found

    def write(self) -> bool:
        """Writes what has changed. Returns whether anything has."""
        if self._guards is None or self._guards == self._written:
            return False
        try:
            self._copies.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_guards(self._copies, self._guards)
        except OSError as error:
            log.error(_FILE_WAITS, error=str(error))
            return False
        self._written = self._guards
        return True


def source_record(
    counted: Counter[str], policy: GuardPolicy, before: SourceRecord | None, now_ms: int
) -> SourceRecord:
    """Judges a source by its reviews. It is demoted while its whole interval is under the limit, so that few
    reviews decide nothing, or until the time of an earlier demotion."""
    before = before or SourceRecord()
    confirmed, overturned = counted["confirmed"], counted["overturned"]
    reviews = confirmed + overturned
    low, high = wilson(confirmed, reviews) if reviews else (0.0, 1.0)
    why, until_ms = (before.demoted, before.until_ms) if now_ms < before.until_ms else ("", 0)
    if not why and policy.least_precision and high < policy.least_precision:
        why = f"{overturned} of {reviews} reviewed matches were overturned"
    return SourceRecord(
        incidents=counted["incidents"],
        confirmed=confirmed,
        overturned=overturned,
        low=low,
        high=high,
        demoted=why,
        since_ms=(before.since_ms if before.demoted else now_ms) if why else 0,
        until_ms=until_ms,
    )


def entry_source(banks: BankSet, bank: str, entry_id: str) -> str:
    """Where an entry is from. That of its bank where it is gone, and the bank where that is gone too."""
    opened = banks.bank(bank)
    if opened is None:
        return bank
    info = opened.bank.info
    for segment in opened.bank.segments:
        if (entry := segment.find(entry_id)) is not None:
            return source_of(bank, info, entry)
    return info.source or bank


def _digests(opened: OpenBank) -> list[str]:
    return [segment.digest for segment in opened.bank.segments]


def _newest(
    findings: dict[str, dict[str, EntryFinding]], banks: set[str]
) -> dict[str, dict[str, EntryFinding]]:
    """Forgets the oldest of too many findings, and those of banks that are gone."""
    kept = [
        (f.wall_ms, bank, entry, f)
        for bank, of_bank in findings.items()
        if bank in banks
        for entry, f in of_bank.items()
    ]
    kept.sort(key=lambda one: -one[0])
    newest: dict[str, dict[str, EntryFinding]] = {}
    for _, bank, entry, finding in kept[:MOST_HELD]:
        newest.setdefault(bank, {})[entry] = finding
    return newest
