"""What of a confirmed incident became known footage, and what was left out."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("incidents", sa.Column("banking", sa.Text))


def downgrade() -> None:
    op.drop_column("incidents", "banking")
