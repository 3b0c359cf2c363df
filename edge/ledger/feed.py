"""Blocks and policy of a whole fleet in every gate: what one gate commits, the others hear of at once.

The ledger numbers its changes without a gap, in the order in which they become visible. A gate asks
for everything after the number it has, when PostgreSQL notifies it, every ``poll_ms`` in any case,
and first of all after a lost connection: so nothing is missed, whoever was away. A database that comes
back without its last commits gives their numbers again: that shows in the digest of the change, and
the gate asks for everything from the beginning.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import structlog

from edge.domain import Block
from edge.errors import InvalidInput, LedgerUnavailable
from edge.ledger.blocks import Revision
from edge.ledger.ledger import Ledger
from edge.policy import Policy

_AT_ONCE = 100
"""Changes that are handed over together: the receiver's event loop takes them in one go."""

log = structlog.get_logger(__name__)


class FleetFeed:
    """A thread that hands every changed block to ``on_change``: new, lengthened, lifted.

    ``on_change`` is called in that thread, at least once a change, in the order of changes.
    ``since``: ``Ledger.revision()`` from before the blocks were loaded. ``on_policy`` is called there
    with every policy other than ``policy_version`` that comes into force; versions that were replaced
    meanwhile are passed over.

    After a loss of commits every block that the ledger has comes again, ended ones included, and so
    does the policy in force, whose version may be an earlier one. Blocks that the ledger no longer has
    are not taken back.
    """

    def __init__(
        self,
        ledger: Ledger,
        on_change: Callable[[tuple[Block, ...]], None],
        *,
        since: Revision,
        on_policy: Callable[[Policy], None],
        policy_version: int,
        poll_ms: int = 500,
    ) -> None:
        self._ledger = ledger
        self._on_change = on_change
        self._on_policy = on_policy
        self._revision = since
        self._policy_version = policy_version
        self._poll_s = poll_ms / 1000
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="fleet-feed", daemon=True)
        self._away = False

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Returns when ``on_change`` will not be called again."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        with self._ledger.bell() as bell:
            while not self._stopping.is_set():
                try:
                    # Listening comes first: what is committed after the look rings.
                    bell.listen()
                    self._catch_up()
                    self._heard(away=False)
                    bell.wait(self._poll_s, self._stopping)
                except LedgerUnavailable as error:
                    self._heard(away=True, why=str(error))
                    self._stopping.wait(self._poll_s)
                except Exception:
                    # Whatever the receiver does wrong, the news of the fleet keep coming.
                    log.exception("a change of the fleet was not taken; it is offered again")
                    self._stopping.wait(self._poll_s)

    def _catch_up(self) -> None:
        while not self._stopping.is_set():
            changes = self._ledger.changes_after(self._revision, _AT_ONCE)
            if changes is None:
                log.critical(
                    "the ledger's database has come back without changes that were committed: every block "
                    "and the policy are read again; what was lost must be decided anew",
                    known_revision=self._revision.number,
                )
                self._revision, self._policy_version = Revision(), 0
                continue
            if changes.blocks:
                self._on_change(changes.blocks)
            self._revision = changes.revision
            if not changes.blocks:
                self._take_policy(changes.policy_version)
                return

    def _take_policy(self, version: int) -> None:
        if version == self._policy_version:
            return
        try:
            stored = self._ledger.policy_version(version)
            policy = None if stored is None else stored.parse()
        except InvalidInput as error:
            # A gate of a later version may have stored what this one does not know.
            log.critical("the fleet's policy cannot be used here", version=version, error=str(error))
        else:
            if policy is not None:
                self._on_policy(policy)
        self._policy_version = version

    def _heard(self, *, away: bool, why: str = "") -> None:
        if away != self._away:
            self._away = away
            if away:
                log.warning("no news from the fleet", error=why)
            else:
                log.info("news from the fleet again", revision=self._revision.number)
