"""The changes of the fleet's banks, and the files that they name."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "bank_changes",
        sa.Column("sequence", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("bank", sa.String(64), nullable=False),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("who", sa.String(128), nullable=False),
        sa.Column("gate", sa.String(128), nullable=False),
        sa.Column("wall_ms", sa.BigInteger, nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("sequence", name="pk_bank_changes"),
    )
    op.create_index("ix_bank_changes_bank_number", "bank_changes", ["bank", "number"], unique=True)
    op.create_table(
        "bank_parts",
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("part", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("content", sa.LargeBinary, nullable=False),
        sa.Column("stored_ms", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("digest", "part", name="pk_bank_parts"),
    )


def downgrade() -> None:
    op.drop_table("bank_parts")
    op.drop_table("bank_changes")
