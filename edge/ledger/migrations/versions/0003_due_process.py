"""Due process: provisional blocks, severity, strikes by hand, claims, appeals, alarms of cuts."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_MILLISECONDS = sa.BigInteger


def upgrade() -> None:
    for name, kind in (
        ("claimed_by", sa.String(128)),
        ("claimed_until_ms", _MILLISECONDS()),
        ("first_confirmed_by", sa.String(128)),
        ("first_confirmed_ms", _MILLISECONDS()),
        ("cut_unconfirmed_ms", _MILLISECONDS()),
        ("cut_unconfirmed_reason", sa.String(32)),
    ):
        op.add_column("incidents", sa.Column(name, kind))
    op.create_index("ix_incidents_state", "incidents", ["state"])

    with op.batch_alter_table("strikes") as strikes:
        strikes.alter_column("stream_id", existing_type=sa.String(64), nullable=True)
        strikes.alter_column("incident_id", existing_type=sa.String(64), nullable=True)
        strikes.add_column(sa.Column("severity", sa.String(16), nullable=False, server_default="normal"))
        strikes.add_column(sa.Column("review_by_ms", _MILLISECONDS))
        strikes.add_column(sa.Column("reason", sa.String(512), nullable=False, server_default=""))
        strikes.add_column(sa.Column("created_by", sa.String(128), nullable=False, server_default="gate"))
        strikes.add_column(sa.Column("pardoned_by", sa.String(128)))
        strikes.add_column(sa.Column("pardon_reason", sa.String(512)))
    op.create_index("ix_strikes_review_by_ms", "strikes", ["review_by_ms"])

    if op.get_bind().dialect.name != "sqlite":  # which does not bound the length of a text
        op.alter_column("blocks", "subject", existing_type=sa.String(512), type_=sa.String(640))
    op.add_column("blocks", sa.Column("provisional", sa.Boolean, nullable=False, server_default=sa.false()))
    op.add_column("blocks", sa.Column("full_until_ms", _MILLISECONDS))
    op.add_column("blocks", sa.Column("review_by_ms", _MILLISECONDS))
    op.add_column("blocks", sa.Column("strike_id", sa.String(64)))
    op.create_index("ix_blocks_review_by_ms", "blocks", ["review_by_ms"])
    op.create_index("ix_blocks_strike_id", "blocks", ["strike_id"])

    op.create_table(
        "appeals",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("incident_id", sa.String(64), sa.ForeignKey("incidents.id")),
        sa.Column("block_id", sa.String(64), sa.ForeignKey("blocks.id")),
        sa.Column("broadcaster", sa.String(640), nullable=False),
        sa.Column("app", sa.String(128), nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("filed_ms", _MILLISECONDS, nullable=False),
        sa.Column("filed_by", sa.String(128), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("decided_ms", _MILLISECONDS),
        sa.Column("decided_by", sa.String(128)),
        sa.Column("decision_reason", sa.String(512)),
    )
    for column in ("incident_id", "block_id", "broadcaster", "state"):
        op.create_index(f"ix_appeals_{column}", "appeals", [column])


def downgrade() -> None:
    """Strikes by hand, and blocks of attributes, have no place in the older ledger: they go."""
    op.drop_table("appeals")
    for index in ("ix_blocks_strike_id", "ix_blocks_review_by_ms"):
        op.drop_index(index, "blocks")
    op.execute("DELETE FROM blocks WHERE subject_kind = 'attribute'")
    for column in ("strike_id", "review_by_ms", "full_until_ms", "provisional"):
        op.drop_column("blocks", column)
    if op.get_bind().dialect.name != "sqlite":
        op.alter_column("blocks", "subject", existing_type=sa.String(640), type_=sa.String(512))
    op.drop_index("ix_strikes_review_by_ms", "strikes")
    op.execute("DELETE FROM strikes WHERE incident_id IS NULL OR stream_id IS NULL")
    with op.batch_alter_table("strikes") as strikes:
        for column in (
            "pardon_reason",
            "pardoned_by",
            "created_by",
            "reason",
            "review_by_ms",
            "severity",
        ):
            strikes.drop_column(column)
        strikes.alter_column("incident_id", existing_type=sa.String(64), nullable=False)
        strikes.alter_column("stream_id", existing_type=sa.String(64), nullable=False)
    op.drop_index("ix_incidents_state", "incidents")
    for column in (
        "cut_unconfirmed_reason",
        "cut_unconfirmed_ms",
        "first_confirmed_ms",
        "first_confirmed_by",
        "claimed_until_ms",
        "claimed_by",
    ):
        op.drop_column("incidents", column)
