"""The media time that a clip covers, so that a moment of a verdict can be found in it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_COLUMNS = ("evidence_begin_pts_ms", "evidence_end_pts_ms")


def upgrade() -> None:
    for column in _COLUMNS:
        op.add_column("incidents", sa.Column(column, sa.BigInteger))


def downgrade() -> None:
    for column in _COLUMNS:
        op.drop_column("incidents", column)
