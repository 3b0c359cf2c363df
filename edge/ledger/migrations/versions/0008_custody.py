"""What becomes of evidence: its digest, holds, requests to erase it, and when it went."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_COLUMNS = (
    ("evidence_sha256", sa.String(64)),
    ("evidence_bytes", sa.BigInteger),
    ("evidence_erased_ms", sa.BigInteger),
    ("evidence_erased_why", sa.String(16)),
    ("hold_ms", sa.BigInteger),
    ("hold_by", sa.String(128)),
    ("hold_reason", sa.String(512)),
    ("erase_asked_ms", sa.BigInteger),
    ("erase_asked_by", sa.String(128)),
    ("erase_reason", sa.String(512)),
)


def upgrade() -> None:
    for name, kind in _COLUMNS:
        op.add_column("incidents", sa.Column(name, kind))


def downgrade() -> None:
    for name, _ in _COLUMNS:
        op.drop_column("incidents", name)
