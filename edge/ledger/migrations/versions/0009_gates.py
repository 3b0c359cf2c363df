"""Where the gates of a fleet reach each other."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "gates",
        sa.Column("name", sa.String(128), nullable=False),
        sa.Column("url", sa.String(300), nullable=False),
        sa.Column("announced_ms", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_gates"),
    )


def downgrade() -> None:
    op.drop_table("gates")
