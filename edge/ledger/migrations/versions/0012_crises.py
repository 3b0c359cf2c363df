"""Crises: times of stricter policy for a fleet."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "crises",
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("declared_ms", sa.BigInteger, nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.Column("crisis", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_crises"),
    )
    op.create_index("ix_crises_revision", "crises", ["revision"])


def downgrade() -> None:
    op.drop_table("crises")
