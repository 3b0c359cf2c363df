"""Which gate of a fleet fetches an exchange."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "exchange_claims",
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("gate", sa.String(128), nullable=False),
        sa.Column("until_ms", sa.BigInteger, nullable=False),
        sa.Column("done_ms", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_exchange_claims"),
    )


def downgrade() -> None:
    op.drop_table("exchange_claims")
