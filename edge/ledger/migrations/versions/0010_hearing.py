"""Who looked at an incident first, what people say of it, and how its last decision can be undone."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_COLUMNS = (
    ("looked_ms", sa.BigInteger),
    ("looked_by", sa.String(128)),
    ("undo_until_ms", sa.BigInteger),
    ("undo", sa.Text),
)


def upgrade() -> None:
    for name, kind in _COLUMNS:
        op.add_column("incidents", sa.Column(name, kind))
    op.create_table(
        "comments",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("incident_id", sa.String(64), sa.ForeignKey("incidents.id"), index=True),
        sa.Column("created_ms", sa.BigInteger, nullable=False),
        sa.Column("created_by", sa.String(128), nullable=False),
        sa.Column("text", sa.Text, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("comments")
    for name, _ in _COLUMNS:
        op.drop_column("incidents", name)
