"""One run of an exchange: fetches what has changed, and brings it into banks."""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from edge.clock import Clock
from edge.errors import CheckpointStale, Conflict, ExchangeFailed, GateError
from edge.exchange.definition import Definition, exchange_path, read_credentials
from edge.exchange.filling import Filler, banks_of
from edge.exchange.kind import Opening
from edge.exchange.mirror import Mirror, mirror_path, parts_of
from edge.exchange.page import ExchangeSource, SharedPage
from edge.exchange.run_status import RunStatus
from edge.exchange.transport import Transport
from edge.match import Bank, Updated, Withdrawal
from edge.match.bank.manifest import read_manifest
from edge.match.bank.privacy import give_to_owner_of
from edge.policy import DEFAULT_EXCHANGES, ExchangeRule

FILL_AFTER: Final = 100_000
"""Changes after which the banks are filled although the run goes on."""
FILL_AFTER_MS: Final = 60_000.0
STATUS: Final = "status"
RUN: Final = "run"
"""Names of notes in the mirror: how the runs went, and what the last good one did."""
_TABLE: Final = "table"


@dataclass(slots=True)
class Run:
    """What a run has done so far."""

    fetched: int = 0
    """Changes that were fetched."""
    pages: int = 0
    all_anew: bool = False
    """Whether everything was fetched again."""
    unfinished: bool = False
    """Its time is over, and the next run goes on."""
    updated: Updated = field(default_factory=Updated)
    left_out: dict[str, int] = field(default_factory=dict)
    banks: dict[str, int] = field(default_factory=dict)
    """Entries of the banks of the exchange afterwards."""

    def as_dict(self) -> dict[str, Any]:
        return {
            "fetched": self.fetched,
            "pages": self.pages,
            "all_anew": self.all_anew,
            "unfinished": self.unfinished,
            "added": self.updated.added,
            "replaced": self.updated.replaced,
            "removed": self.updated.removed,
            "left_out": self.left_out,
            "banks": self.banks,
        }


def run_exchange(
    folder: Path,
    definition: Definition,
    clock: Clock,
    *,
    table: Sequence[ExchangeRule] | None = None,
    longest_ms: float = 1_800_000.0,
    transport: Transport | None = None,
    progress: Callable[[Run], None] = lambda run: None,
) -> Run:
    """Runs an exchange once. ``table`` is the policy's; None: that of the last run, or the default.

    After ``longest_ms`` it ends with what it has. Raises Conflict while another run goes on, and
    ExchangeFailed, InvalidInput, ConfigError, BankError or OSError. How it went is kept in any case.
    """
    with alone(folder, definition.name):
        mirror = Mirror.open(mirror_path(folder, definition.name))
        try:
            before = RunStatus.of(mirror.noted(STATUS))
            try:
                rules = _table(mirror, table)
                run = _run(folder, definition, rules, mirror, clock, longest_ms, transport, progress)
            except (GateError, OSError) as error:
                wait_s = error.wait_s if isinstance(error, ExchangeFailed) else 0.0
                mirror.note(STATUS, before.failed(clock.wall_ms(), str(error), wait_s).as_dict())
                raise
            mirror.note(RUN, run.as_dict() | {"opinions": mirror.counts()})
            mirror.note(STATUS, before.done(clock.wall_ms(), unfinished=run.unfinished).as_dict())
            return run
        finally:
            mirror.close()


def remove_exchange(folder: Path, definition: Definition, *, keep_entries: bool, by: str = "") -> int:
    """Withdraws the entries of an exchange, and forgets it. Returns how many entries were withdrawn.

    Its banks stay. ``by`` is who does it, for the record. Raises Conflict while it is being run, BankError
    and OSError.
    """
    with alone(folder, definition.name):
        removed = 0
        for path in [] if keep_entries else banks_of(folder, definition.name):
            entries = Bank.open(path, verify=False).entries()
            changes = (Withdrawal(entry.id) for entry, _ in entries)
            removed += Bank.open(path, verify=False).update(changes, by=by).removed
        for part in parts_of(mirror_path(folder, definition.name)):
            part.unlink(missing_ok=True)
        exchange_path(folder / definition.name).unlink(missing_ok=True)
    return removed


def _run(
    folder: Path,
    definition: Definition,
    table: Sequence[ExchangeRule],
    mirror: Mirror,
    clock: Clock,
    longest_ms: float,
    transport: Transport | None,
    progress: Callable[[Run], None],
) -> Run:
    credentials = read_credentials(definition)
    options = definition.kind_options()
    end_ms = clock.monotonic_ms() + longest_ms
    run, filler = Run(), Filler(folder, definition, table, mirror)
    way = transport or Transport(secret=credentials is not None)
    try:
        source = definition.kind_record.open(Opening(options, credentials, way, folder, clock))
        _fetch(source, definition, mirror, filler, run, clock, end_ms, progress)
    except (GateError, OSError):
        filler.fill()  # What came before is whole pages, and known footage should not wait.
        raise
    finally:
        way.close()
    filler.fill()
    run.updated, run.left_out = filler.updated, mirror.left_out
    run.banks = {path.stem: entries for path, entries in _sizes(folder, definition.name)}
    return run


def _fetch(
    source: ExchangeSource,
    definition: Definition,
    mirror: Mirror,
    filler: Filler,
    run: Run,
    clock: Clock,
    end_ms: float,
    progress: Callable[[Run], None],
) -> None:
    filled, filled_ms = mirror.newest, clock.monotonic_ms()
    if mirror.feed != definition.feed or not mirror.checkpoint:
        _begin(mirror, definition, run)
    for page in _pages(source, mirror, definition, run):
        mirror.take(page)
        run.pages += 1
        run.fetched += len(page.changes)
        progress(run)
        now_ms = clock.monotonic_ms()
        if mirror.newest - filled >= FILL_AFTER or now_ms - filled_ms >= FILL_AFTER_MS:
            filler.fill()
            filled, filled_ms = mirror.newest, clock.monotonic_ms()
        if now_ms >= end_ms:
            run.unfinished = True
            return
    mirror.finish()


def _pages(source: ExchangeSource, mirror: Mirror, definition: Definition, run: Run) -> Iterator[SharedPage]:
    try:
        yield from source.pages(mirror.checkpoint)
        return
    except CheckpointStale:
        if not mirror.checkpoint:
            raise
    _begin(mirror, definition, run)
    yield from source.pages("")


def _begin(mirror: Mirror, definition: Definition, run: Run) -> None:
    mirror.begin(definition.feed)
    run.all_anew = True


def _table(mirror: Mirror, given: Sequence[ExchangeRule] | None) -> Sequence[ExchangeRule]:
    if given is None:
        kept = mirror.noted(_TABLE)
        return (
            DEFAULT_EXCHANGES if kept is None else tuple(ExchangeRule.model_validate(rule) for rule in kept)
        )
    rules = [rule.model_dump(mode="json", exclude_unset=True) for rule in given]
    if mirror.noted(_TABLE) != rules:
        mirror.note(_TABLE, rules)
    return given


def _sizes(folder: Path, exchange: str) -> Iterator[tuple[Path, int]]:
    for path in banks_of(folder, exchange):
        yield path, read_manifest(path)[0].entries


@contextlib.contextmanager
def alone(folder: Path, name: str) -> Iterator[None]:
    """Raises Conflict while another process of this machine runs the same exchange."""
    with (folder / f".{name}.exchange.lock").open("a") as lock:
        give_to_owner_of(folder, lock.fileno())
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Conflict(f"exchange {name} is being run already") from None
        yield
