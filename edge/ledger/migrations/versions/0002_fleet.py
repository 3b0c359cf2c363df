"""Several gates on one ledger: which of them an incident is of, and in which order blocks changed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("incidents", sa.Column("gate", sa.String(128), nullable=False, server_default=""))
    op.add_column("blocks", sa.Column("revision", sa.BigInteger, nullable=False, server_default="0"))
    op.create_index("ix_blocks_revision", "blocks", ["revision"])


def downgrade() -> None:
    op.drop_index("ix_blocks_revision", "blocks")
    op.drop_column("blocks", "revision")
    op.drop_column("incidents", "gate")
