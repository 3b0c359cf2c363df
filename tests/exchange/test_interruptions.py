"""A run that is killed anywhere goes on to the same result as one that is not."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from edge.clock import SystemClock
from edge.errors import CheckpointStale
from edge.exchange import filling, sync
from edge.exchange.definition import Definition
from edge.exchange.kind import ExchangeKind, KindOptions
from edge.exchange.mirror import Mirror
from edge.exchange.page import Shared, SharedPage, shared_hash
from edge.exchange.sync import run_exchange
from edge.match import BankPurpose, Withdrawal
from edge.match.bank import array_file, manifest
from edge.match.bank.manifest import bank_files, read_manifest
from edge.policy import ExchangeOpinion
from tests.exchange.exchanges import digest, held

OPINIONS = list(ExchangeOpinion)


class Killed(BaseException):
    """Stands for the end of the process: nothing catches it but ``finally``."""


class History:
    """An exchange as a list of changes. It forgets those before ``oldest``, and tells the state instead."""

    def __init__(self, steps: list[tuple[int, int]], oldest: int) -> None:
        self.steps = steps
        self.oldest = oldest
        self.upto = len(steps)

    def pages(self, checkpoint: str) -> Iterator[SharedPage]:
        at = int(checkpoint or 0)
        if checkpoint and at < self.oldest <= self.upto:
            raise CheckpointStale("too old")
        begin = 0
        if not checkpoint:
            state = dict(self.steps[: min(self.oldest, self.upto)])
            begin = min(self.oldest, self.upto)
            present = [change(key, word) for key, word in state.items() if word < len(OPINIONS)]
            for start in range(0, len(present), 3):
                last = start + 3 >= len(present)
                yield SharedPage(tuple(present[start : start + 3]), str(begin) if last else "")
        for start in range(max(begin, at), self.upto, 3):
            stop = min(start + 3, self.upto)
            yield SharedPage(tuple(change(*step) for step in self.steps[start:stop]), str(stop))


def change(key: int, word: int) -> Shared | Withdrawal:
    if word >= len(OPINIONS):
        return Withdrawal(digest(key))
    return shared_hash(digest(key), OPINIONS[word])


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filling, "CHANGES_AT_ONCE", 4)
    monkeypatch.setattr(sync, "FILL_AFTER", 5)


def run_once(folder: Path, history: History, monkeypatch: pytest.MonkeyPatch) -> None:
    kind: ExchangeKind[Any] = ExchangeKind("history", "", KindOptions, lambda opening: history)
    with monkeypatch.context() as patched:
        patched.setattr(Definition, "kind_record", property(lambda self: kind))
        definition = Definition(name="partner", kind="history", purpose=BankPurpose.VIOLATING)
        run_exchange(folder, definition, SystemClock())


class Killer:
    """Ends the process at the n-th write to a bank or the mirror, before it or after."""

    def __init__(self, patched: pytest.MonkeyPatch, after: int) -> None:
        self._left = after
        replace, take = array_file.replace_file, Mirror.take

        def replaced(path: Path, fill: Any) -> None:
            self._count()
            replace(path, fill)
            self._count()

        def taken(mirror: Mirror, page: SharedPage) -> None:
            self._count()
            take(mirror, page)
            self._count()

        for module in (array_file, manifest):
            patched.setattr(module, "replace_file", replaced)
        patched.setattr(Mirror, "take", taken)

    def _count(self) -> None:
        self._left -= 1
        if self._left == 0:
            raise Killed


steps = st.lists(st.tuples(st.integers(0, 9), st.integers(0, len(OPINIONS))), min_size=1, max_size=30)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=steps,
    oldest=st.integers(0, 30),
    kills=st.lists(st.tuples(st.integers(0, 30), st.integers(1, 40)), max_size=6),
)
@example(steps=[(0, 0), (1, 0), (0, 4)], oldest=0, kills=[(3, after) for after in range(1, 9)])
@example(steps=[(0, 0), (1, 0), (0, 4), (2, 0)], oldest=3, kills=[(2, 100)])  # told of nothing but the state
def test_killed_anywhere_it_ends_as_one_clean_run(
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    steps: list[tuple[int, int]],
    oldest: int,
    kills: list[tuple[int, int]],
) -> None:
    """``kills``: how much the exchange has told by then, and at which write the process ends."""
    clean, killed = tmp_path_factory.mktemp("clean"), tmp_path_factory.mktemp("killed")
    history = History(steps, oldest)
    run_once(clean, history, monkeypatch)
    for upto, after in kills:
        history.upto = min(upto, len(steps))
        with monkeypatch.context() as patched:
            Killer(patched, after)
            with contextlib.suppress(Killed):
                run_once(killed, history, monkeypatch)
    history.upto = len(steps)
    run_once(killed, history, monkeypatch)
    assert held(killed) == held(clean)
    names = {path.name for path in killed.iterdir() if path.suffix in (".seg", ".part")}
    assert names == {each.file for path in bank_files(killed) for each in read_manifest(path)[0].segments}
