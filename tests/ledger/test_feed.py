"""A block of one gate reaches all others, even after an outage."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from edge.domain import Block, IncidentState, SubjectKind
from edge.ladder import Sanction
from edge.ledger import AdmissionView, FleetFeed, Ledger
from edge.ledger.blocks import Revision
from edge.ledger.change_listener import ChangeListener
from edge.policy import Policy, ReviewPolicy, UnreviewedOutcome

if TYPE_CHECKING:
    from tests.ledger.conftest import MakeIncident
    from tests.postgresql import Cluster, Store

NOW = 1_700_000_000_000
PATIENCE_S = 90.0
SANCTION = Sanction(review=ReviewPolicy(detector=UnreviewedOutcome.STAND))


class Edge:
    """The view of another gate, kept current by its feed."""

    def __init__(
        self, store: Store, poll_ms: int, on_away: Callable[[bool], None] = lambda away: None
    ) -> None:
        self.ledger = Ledger.open(store.url, gate="other")
        self.view = AdmissionView()
        self.batches: list[tuple[Block, ...]] = []
        self.changed = threading.Condition()
        self.fail = 0
        self.failures: list[Exception] = []
        since = self.ledger.revision()
        self.view.load(self.ledger.active_blocks(NOW))
        self.policies: list[int] = []
        current = self.ledger.policy_current()
        self.feed = FleetFeed(
            self.ledger,
            self.take,
            since=since,
            on_policy=self.take_policy,
            policy_version=0 if current is None else current.version,
            on_failure=self.failures.append,
            poll_ms=poll_ms,
            on_away=on_away,
        )

    def take_policy(self, policy: Policy) -> None:
        with self.changed:
            self.policies.append(policy.version)
            self.changed.notify_all()

    def take(self, blocks: tuple[Block, ...]) -> None:
        with self.changed:
            if self.fail:
                self.fail -= 1
                raise RuntimeError("not now")
            self.batches.append(blocks)
            for block in blocks:
                self.view.add_block(block)
            self.changed.notify_all()

    def until(self, condition: Callable[[], bool]) -> None:
        with self.changed:
            assert self.changed.wait_for(condition, PATIENCE_S)


@contextmanager
def running(edge: Edge) -> Iterator[Edge]:
    edge.feed.start()
    try:
        yield edge
    finally:
        edge.feed.stop()
        edge.ledger.close()


def test_every_kind_of_change_arrives(store: Store, ledger: Ledger, make_incident: MakeIncident) -> None:
    early = ledger.add_block(SubjectKind.BROADCASTER, "early", "", None, "spam", "rita", NOW)
    with running(Edge(store, poll_ms=20)) as edge:
        assert len(edge.view) == 1
        violation = ledger.record_violation(make_incident(), SANCTION, NOW)
        edge.until(lambda: len(edge.view) == 1 + len(violation.blocks))
        found = edge.view.check(violation.incident.publish, NOW)
        assert found in violation.blocks
        ledger.lift_block(early.id, "mistake", "rita", NOW)
        edge.until(lambda: len(edge.view) == len(violation.blocks))
        ledger.review(violation.incident.id, IncidentState.OVERTURNED, "a film set", "rita", NOW, Policy())
        edge.until(lambda: len(edge.view) == 0)
        assert [len(batch) for batch in edge.batches] == [len(violation.blocks), 1, len(violation.blocks)]


def test_a_receiver_that_fails_is_offered_the_change_again(store: Store, ledger: Ledger) -> None:
    with running(Edge(store, poll_ms=20)) as edge:
        edge.fail = 2
        block = ledger.add_block(SubjectKind.BROADCASTER, "anna", "", None, "spam", "rita", NOW)
        edge.until(lambda: edge.batches == [(block,)])
        assert [str(failure) for failure in edge.failures] == 2 * ["not now"]


def test_a_listener_that_fails_in_whatever_way_does_not_end_the_feed(
    store: Store, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    edge, tried = Edge(store, poll_ms=20), threading.Event()
    change_listener = edge.ledger.change_listener

    def broken() -> ChangeListener:
        if tried.is_set():
            return change_listener()
        tried.set()
        raise RuntimeError("can't start a listener")

    monkeypatch.setattr(edge.ledger, "change_listener", broken)
    with running(edge):
        assert tried.wait(PATIENCE_S)
        block = ledger.add_block(SubjectKind.BROADCASTER, "anna", "", None, "spam", "rita", NOW)
        edge.until(lambda: edge.batches == [(block,)])
        assert len(edge.failures) == 1
        until(lambda: not edge.feed.down)


def until(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_new_policy_arrives_and_one_that_cannot_be_used_holds_up_nothing(
    store: Store, ledger: Ledger
) -> None:
    ledger.policy_put(Policy(), "gate", "first start", NOW, None)
    with running(Edge(store, poll_ms=20)) as edge:
        ledger.policy_put(Policy(budget_ms=300), "rita", "slower", NOW, 1)
        edge.until(lambda: edge.policies == [2])
        store.execute(
            "INSERT INTO policies (version, json, created_ms, created_by) "
            "VALUES (3, '{\"later\": 1}', 0, 'x')"
        )
        block = ledger.add_block(SubjectKind.BROADCASTER, "anna", "", None, "spam", "rita", NOW)
        edge.until(lambda: edge.batches == [(block,)])
        ledger.policy_put(Policy(), "rita", "back", NOW, 3)
        edge.until(lambda: edge.policies == [2, 4])


def test_many_changes_come_page_by_page_and_whole(
    store: Store, ledger: Ledger, make_incident: MakeIncident
) -> None:
    violations = [ledger.record_violation(make_incident(f"b{n}"), SANCTION, NOW) for n in range(7)]
    revision, seen = Revision(), list[Block]()
    while True:
        changes = ledger.changes_after(revision, limit=3)
        assert changes is not None
        revision = changes.revision
        if not changes.blocks:
            break
        seen += changes.blocks
    assert seen == [block for violation in violations for block in violation.blocks]
    assert revision == ledger.revision()


def lose_after(store: Store, revision: Revision, policy_version: int) -> None:
    """The database returns without its last commits: a lagging replica or an older backup.

    All of them vanish at once. A gate that read between two deletions would take the lost policy again.
    """
    store.drop_audit_triggers()
    store.execute(
        "BEGIN",
        f"DELETE FROM audit WHERE number > {revision.number}",
        f"DELETE FROM blocks WHERE revision > {revision.number}",
        f"DELETE FROM policies WHERE version > {policy_version}",
        "COMMIT",
    )


@pytest.mark.parametrize("again", [1, 3, 9])
def test_what_follows_a_loss_of_commits_is_heard_although_its_numbers_were_known(
    store: Store, ledger: Ledger, again: int
) -> None:
    ledger.policy_put(Policy(), "gate", "first start", NOW, None)
    kept = ledger.add_block(SubjectKind.BROADCASTER, "kept", "", None, "spam", "rita", NOW)
    revision = ledger.revision()
    for number in range(3):
        ledger.add_block(SubjectKind.BROADCASTER, f"lost{number}", "", None, "spam", "rita", NOW)
    ledger.policy_put(Policy(budget_ms=300), "rita", "lost", NOW, 1)
    edge = Edge(store, poll_ms=20)
    lose_after(store, revision, 1)
    ledger.policy_put(Policy(budget_ms=400), "rita", "slower", NOW, 1)
    later = [
        ledger.add_block(SubjectKind.BROADCASTER, f"later{number}", "", None, "spam", "rita", NOW)
        for number in range(again)
    ]
    with running(edge):
        edge.until(lambda: edge.policies == [2])
        assert [block for batch in edge.batches for block in batch] == [kept, *later]
        ledger.lift_block(kept.id, "mistake", "rita", NOW)
        edge.until(lambda: len(edge.batches) == 2)
        assert [block.id for block in edge.batches[1]] == [kept.id], "only what is new comes after that"


def test_a_policy_alone_that_was_lost_is_noticed(store: Store, ledger: Ledger) -> None:
    ledger.policy_put(Policy(), "gate", "first start", NOW, None)
    revision = ledger.revision()
    with running(Edge(store, poll_ms=20)) as edge:
        ledger.policy_put(Policy(budget_ms=300), "rita", "lost", NOW, 1)
        edge.until(lambda: edge.policies == [2])
        lose_after(store, revision, 1)
        edge.until(lambda: edge.policies == [2, 1])
        ledger.policy_put(Policy(budget_ms=400), "rita", "slower", NOW, 1)
        edge.until(lambda: edge.policies == [2, 1, 2])


def test_a_gate_resumes_only_its_own_cuts(store: Store, make_incident: MakeIncident) -> None:
    one, other = (Ledger.open(store.url, gate=gate) for gate in ("one", "other"))
    mine = one.record_violation(make_incident(), SANCTION, NOW).incident
    others = other.record_violation(make_incident(), SANCTION, NOW).incident
    assert one.pending_cuts() == (mine,)
    assert other.pending_cuts() == (others,)
    assert one.incidents() == (others, mine)
    one.close()
    other.close()


class TestNotified:
    """Only PostgreSQL notifies. Polling alone would be too slow for the test's time limit."""

    @pytest.fixture
    def store(self, postgresql: Cluster, tmp_path: Path) -> Store:
        return postgresql.new_store(tmp_path)

    def test_at_once(self, store: Store, ledger: Ledger) -> None:
        with running(Edge(store, poll_ms=1000 * 3600)) as edge:
            listening(store)
            block = ledger.add_block(SubjectKind.BROADCASTER, "anna", "", None, "spam", "rita", NOW)
            edge.until(lambda: edge.batches == [(block,)])
            ledger.policy_put(Policy(), "rita", "first", NOW, None)
            edge.until(lambda: edge.policies == [1])

    def test_what_happens_while_the_line_is_cut_is_caught_up(self, store: Store, ledger: Ledger) -> None:
        with running(Edge(store, poll_ms=200)) as edge:
            listening(store)
            blocks = []
            for number in range(5):
                store.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%%'"
                )
                name = f"b{number}"
                blocks.append(ledger.add_block(SubjectKind.BROADCASTER, name, "", None, "spam", "rita", NOW))
            edge.until(lambda: [block for batch in edge.batches for block in batch] == blocks)


def listening(store: Store) -> None:
    deadline = time.monotonic() + PATIENCE_S
    with store.engine.connect() as connection:
        while time.monotonic() < deadline:
            if connection.exec_driver_sql(
                "SELECT count(*) FROM pg_stat_activity "
                "WHERE query LIKE 'LISTEN%%' AND state = 'idle' AND datname = current_database()"
            ).scalar():
                return
            time.sleep(0.02)
    raise AssertionError("nobody listens")
