"""Policies: every version that was ever in force."""

from __future__ import annotations

import dataclasses

import sqlalchemy as sa

from edge.errors import InvalidInput, StaleVersion
from edge.ledger.base import LedgerBase
from edge.ledger.change_listener import notify
from edge.ledger.tables import policies
from edge.policy import Policy, parse_policy

_PAGE = 20


@dataclasses.dataclass(frozen=True, slots=True)
class StoredPolicy:
    """One version of the policy as the ledger stores it."""

    version: int
    json: str
    """The policy as JSON. Any gate may have stored it; ``parse`` tells whether this one can use it."""
    created_ms: int
    created_by: str
    reason: str

    def parse(self) -> Policy:
        """Parses the policy. Raises InvalidInput for one that this gate does not know."""
        try:
            return parse_policy(self.json)
        except (ValueError, TypeError, AttributeError) as error:
            raise InvalidInput("policy", str(error)) from None


class Policies(LedgerBase):
    def policy_current(self) -> StoredPolicy | None:
        """The policy in force; None before the first."""
        return next(iter(self.policy_history(limit=1)), None)

    def policy_readable(self) -> Policy | None:
        """The policy in force, or the newest before it that this gate can read. None without any."""
        before = None
        while page := self.policy_history(limit=_PAGE, before_version=before):
            for stored in page:
                try:
                    return stored.parse()
                except InvalidInput as error:
                    problem = f"{error}; an earlier version is in force at this gate"
                    self.unknown_rows.note(policies.name, str(stored.version), problem)
            before = page[-1].version
        return None

    def policy_version(self, version: int) -> StoredPolicy | None:
        return next(iter(self.policy_history(limit=1, version=version)), None)

    def policy_history(
        self, *, limit: int = 20, before_version: int | None = None, version: int | None = None
    ) -> tuple[StoredPolicy, ...]:
        """Versions, newest first."""
        query = sa.select(policies).order_by(policies.c.version.desc()).limit(limit)
        if before_version is not None:
            query = query.where(policies.c.version < before_version)
        if version is not None:
            query = query.where(policies.c.version == version)
        with self._database.read("read policies") as connection:
            return tuple(StoredPolicy(*row) for row in connection.execute(query))

    def policy_put(
        self, policy: Policy, by: str, reason: str, wall_ms: int, expected_version: int | None
    ) -> Policy:
        """Stores the policy as the next version. Raises StaleVersion if ``expected_version`` is not in
        force."""
        with self._database.write_transaction("store a policy") as connection:
            current = connection.execute(sa.select(sa.func.max(policies.c.version))).scalar() or 0
            if expected_version is not None and expected_version != current:
                raise StaleVersion(
                    f"expected_version: {expected_version} was edited, but version {current} is in force"
                )
            stored = policy.model_copy(update={"version": current + 1})
            connection.execute(
                policies.insert().values(
                    version=stored.version,
                    json=stored.model_dump_json(),
                    created_ms=wall_ms,
                    created_by=by,
                    reason=reason,
                )
            )
            self._audit(
                connection,
                wall_ms,
                by,
                "policy",
                str(stored.version),
                {"reason": reason},
                {policies: [stored.version]},
            )
            notify(connection)
        return stored
