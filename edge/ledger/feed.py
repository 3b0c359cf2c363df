"""Keeps every gate of a fleet up to date: each gate learns at once which blocks and policy others commit.

The ledger numbers changes without a gap, in the order in which they become visible. A gate asks for
everything after its own number. It does so on a PostgreSQL notification, every ``poll_ms``, and first after
a lost connection. So it misses nothing, whichever side was away. A database restored without its last
commits gives their numbers again. The digest of the change reveals that, and the gate reads everything from
the beginning.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import structlog

from edge.crisis import Crisis
from edge.domain import Block
from edge.errors import InvalidInput, LedgerUnavailable
from edge.ledger.blocks import Revision
from edge.ledger.change_listener import ChangeListener
from edge.ledger.ledger import Ledger
from edge.policy import Policy
from edge.telemetry.records import CommitsLost, PolicyUnusable, Record

_AT_ONCE = 100
"""Most changes handed over together; the receiver's event loop handles them in one go."""

log = structlog.get_logger(__name__)


class FleetFeed:
    """A thread that hands every changed block to ``on_change``: new, lengthened or lifted.

    The thread calls ``on_change`` at least once for each change, in order. ``since`` is
    ``Ledger.revision()`` from before the blocks were loaded. It calls ``on_policy`` for each policy that
    comes into force, other than ``policy_version``. It skips versions that were replaced meanwhile. It calls
    ``on_crises`` with the crises that have not ended, at first and when one changes. It calls
    ``on_failure`` for each error that is not the loss of the database, and tries again.

    After a loss of commits it hands over every block of the ledger again, ended ones included. It also hands
    over the policy in force, possibly an earlier version. It does not withdraw blocks that the ledger lost.
    """

    def __init__(
        self,
        ledger: Ledger,
        on_change: Callable[[tuple[Block, ...]], None],
        *,
        since: Revision,
        on_policy: Callable[[Policy], None],
        policy_version: int,
        on_failure: Callable[[Exception], None],
        on_crises: Callable[[tuple[Crisis, ...]], None] = lambda crises: None,
        poll_ms: int = 500,
        on_away: Callable[[bool], None] = lambda away: None,
        report: Callable[[Record], None] = lambda record: None,
    ) -> None:
        """``on_away`` is told when news stop coming (True), and when everything is up to date again."""
        self._ledger = ledger
        self._on_change = on_change
        self._on_policy = on_policy
        self._revision = since
        self._policy_version = policy_version
        self._on_crises = on_crises
        self._crises_revision = 0
        self._on_failure = on_failure
        self.down = False
        """What others commit does not arrive here, for an error that is no loss of the database."""
        self._poll_s = poll_ms / 1000
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="fleet-feed", daemon=True)
        self._away = False
        self._on_away = on_away
        self._report = report

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Stops the thread. After it returns, ``on_change`` is not called again."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                with self._ledger.change_listener() as changes:
                    self._follow(changes)
            except Exception as error:
                # No error, of the receiver or of the listener, may end the feed. It is retried.
                self.down = True
                self._on_failure(error)
                self._stopping.wait(self._poll_s)

    def _follow(self, changes: ChangeListener) -> None:
        while not self._stopping.is_set():
            try:
                # Listen first: then a commit after the catch-up wakes the wait.
                changes.listen()
                self._catch_up()
                self.down = False
                self._report_availability(away=False)
                changes.wait(self._poll_s, self._stopping)
            except LedgerUnavailable as error:
                self._report_availability(away=True, why=str(error))
                self._stopping.wait(self._poll_s)

    def _catch_up(self) -> None:
        while not self._stopping.is_set():
            changes = self._ledger.changes_after(self._revision, _AT_ONCE)
            if changes is None:
                self._report(CommitsLost(self._revision.number))
                self._revision, self._policy_version, self._crises_revision = Revision(), 0, -1
                continue
            if changes.blocks:
                self._on_change(changes.blocks)
            self._revision = changes.revision
            if not changes.more:
                self._take_policy(changes.policy_version)
                self._take_crises(changes.crises_revision)
                return

    def _take_policy(self, version: int) -> None:
        if version == self._policy_version:
            return
        try:
            stored = self._ledger.policy_version(version)
            policy = None if stored is None else stored.parse()
        except InvalidInput as error:
            # A gate of a later version may have stored a policy that this one cannot read.
            self._ledger.unknown_rows.note("policies", str(version), str(error))
            self._report(PolicyUnusable(version, str(error)))
        else:
            if policy is not None:
                self._on_policy(policy)
        self._policy_version = version

    def _take_crises(self, revision: int) -> None:
        if revision != self._crises_revision:
            self._on_crises(self._ledger.crises(ended=False))
            self._crises_revision = revision

    def _report_availability(self, *, away: bool, why: str = "") -> None:
        if away != self._away:
            self._away = away
            self._on_away(away)
            if away:  # What follows its end is on_away's.
                log.warning("no news from the fleet", error=why)
