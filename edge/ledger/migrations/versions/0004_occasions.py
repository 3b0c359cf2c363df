"""Occasions: when a violation's stream was admitted, and which strike counts for the occasion."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("incidents", sa.Column("admitted_ms", sa.BigInteger))
    op.add_column("strikes", sa.Column("admitted_ms", sa.BigInteger))
    op.add_column("strikes", sa.Column("gate", sa.String(128), nullable=False, server_default=""))
    op.add_column("strikes", sa.Column("part_of", sa.String(64)))


def downgrade() -> None:
    """The older ledger would count a violation that is part of an occasion as a strike: it goes."""
    op.execute("DELETE FROM strikes WHERE part_of IS NOT NULL")
    for column in ("part_of", "gate", "admitted_ms"):
        op.drop_column("strikes", column)
    op.drop_column("incidents", "admitted_ms")
