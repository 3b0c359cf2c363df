"""Policies: every version that was ever in force."""

from __future__ import annotations

import sqlalchemy as sa

from edge.errors import StaleVersion
from edge.ledger.base import LedgerBase
from edge.ledger.bell import ring
from edge.ledger.tables import policies
from edge.policy import Policy, parse_policy


class Policies(LedgerBase):
    def policy_current(self) -> tuple[Policy, int, str] | None:
        """The policy in force, when it was stored and by whom; None before the first."""
        return self._policy(sa.select(policies).order_by(policies.c.version.desc()).limit(1))

    def policy_version(self, version: int) -> tuple[Policy, int, str] | None:
        return self._policy(sa.select(policies).where(policies.c.version == version))

    def policy_newest(self) -> int:
        """The version in force; 0 before the first."""
        with self._database.read("read the policy's version") as connection:
            return connection.execute(sa.select(sa.func.max(policies.c.version))).scalar() or 0

    def _policy(self, query: sa.Select[tuple[object, ...]]) -> tuple[Policy, int, str] | None:
        with self._database.read("read the policy") as connection:
            row = connection.execute(query).first()
        if row is None:
            return None
        return parse_policy(row.json), row.created_ms, row.created_by

    def policy_put(
        self, policy: Policy, by: str, reason: str, wall_ms: int, expected_version: int | None
    ) -> Policy:
        """Store as the next version. Raises StaleVersion when another than the expected one is in force."""
        with self._database.write("store a policy") as connection:
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
            ring(connection)
        return stored
