"""Activities: how often, how strongly and how long what an incident shows was flagged."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("incidents", sa.Column("verdicts", sa.Integer))
    op.add_column("incidents", sa.Column("peak_score", sa.Float))
    for column in ("start_pts_ms", "end_pts_ms", "seen_ms"):
        op.add_column("incidents", sa.Column(column, sa.BigInteger))
    op.create_index("ix_incidents_seen_ms", "incidents", ["seen_ms"])


def downgrade() -> None:
    op.drop_index("ix_incidents_seen_ms", table_name="incidents")
    for column in ("seen_ms", "end_pts_ms", "start_pts_ms", "peak_score", "verdicts"):
        op.drop_column("incidents", column)
