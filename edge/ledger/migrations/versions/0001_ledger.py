"""The first ledger: policies, incidents, strikes, blocks and the audit chain."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_MILLISECONDS = sa.BigInteger


def upgrade() -> None:
    op.create_table(
        "policies",
        sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("json", sa.Text, nullable=False),
        sa.Column("created_ms", _MILLISECONDS, nullable=False),
        sa.Column("created_by", sa.String(128), nullable=False),
        sa.Column("reason", sa.String(512), nullable=False, server_default=""),
    )
    op.create_table(
        "incidents",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("stream_id", sa.String(64), nullable=False),
        sa.Column("server", sa.String(64), nullable=False),
        sa.Column("connection", sa.String(256), nullable=False),
        sa.Column("app", sa.String(128), nullable=False),
        sa.Column("name", sa.String(256), nullable=False),
        sa.Column("broadcaster", sa.String(512), nullable=False),
        sa.Column("address", sa.String(64), nullable=False),
        sa.Column("attributes", sa.Text, nullable=False),
        sa.Column("action", sa.String(8), nullable=False),
        sa.Column("category", sa.String(64), nullable=False),
        sa.Column("reason", sa.String(64), nullable=False),
        sa.Column("score", sa.Float, nullable=False),
        sa.Column("shadow", sa.Boolean, nullable=False),
        sa.Column("verdict", sa.Text, nullable=False),
        sa.Column("created_ms", _MILLISECONDS, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("evidence_path", sa.Text),
        sa.Column("durable_ms", _MILLISECONDS),
        sa.Column("cut_asked_ms", _MILLISECONDS),
        sa.Column("cut_confirmed_ms", _MILLISECONDS),
        sa.Column("confirmed_by", sa.String(32)),
        sa.Column("reviewed_ms", _MILLISECONDS),
        sa.Column("reviewed_by", sa.String(128)),
        sa.Column("review_reason", sa.String(512)),
    )
    op.create_index("ix_incidents_stream_id", "incidents", ["stream_id"])
    op.create_index("ix_incidents_broadcaster", "incidents", ["broadcaster"])
    op.create_index("ix_incidents_unconfirmed", "incidents", ["durable_ms", "cut_confirmed_ms"])
    op.create_table(
        "strikes",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("stream_id", sa.String(64), nullable=False, unique=True),
        sa.Column("incident_id", sa.String(64), sa.ForeignKey("incidents.id"), nullable=False, unique=True),
        sa.Column("broadcaster", sa.String(512), nullable=False),
        sa.Column("app", sa.String(128), nullable=False),
        sa.Column("category", sa.String(64), nullable=False),
        sa.Column("created_ms", _MILLISECONDS, nullable=False),
        sa.Column("pardoned_ms", _MILLISECONDS),
    )
    op.create_index("ix_strikes_broadcaster_created", "strikes", ["broadcaster", "created_ms"])
    op.create_table(
        "blocks",
        sa.Column("id", sa.String(64), primary_key=True),
        sa.Column("subject_kind", sa.String(16), nullable=False),
        sa.Column("subject", sa.String(512), nullable=False),
        sa.Column("app", sa.String(128), nullable=False),
        sa.Column("reason", sa.String(512), nullable=False),
        sa.Column("category", sa.String(64), nullable=False),
        sa.Column("created_ms", _MILLISECONDS, nullable=False),
        sa.Column("until_ms", _MILLISECONDS, nullable=False),
        sa.Column("incident_id", sa.String(64), sa.ForeignKey("incidents.id")),
        sa.Column("created_by", sa.String(128), nullable=False),
        sa.Column("lifted_ms", _MILLISECONDS),
        sa.Column("lifted_by", sa.String(128)),
        sa.Column("lift_reason", sa.String(512)),
    )
    op.create_index("ix_blocks_subject", "blocks", ["subject"])
    op.create_index("ix_blocks_until_ms", "blocks", ["until_ms"])
    op.create_index("ix_blocks_incident_id", "blocks", ["incident_id"])
    op.create_table(
        "audit",
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("wall_ms", _MILLISECONDS, nullable=False),
        sa.Column("who", sa.String(128), nullable=False),
        sa.Column("what", sa.String(64), nullable=False),
        sa.Column("subject", sa.String(512), nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
        sa.Column("previous", sa.String(64), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
    )
    if op.get_bind().dialect.name == "sqlite":
        for event in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER audit_is_append_only_{event.lower()} BEFORE {event} ON audit "
                "BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END"
            )
    else:
        op.execute(
            "CREATE FUNCTION audit_is_append_only() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION 'the audit log is append-only'; END $$"
        )
        op.execute(
            "CREATE TRIGGER audit_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit "
            "EXECUTE FUNCTION audit_is_append_only()"
        )


def downgrade() -> None:
    for table in ("audit", "blocks", "strikes", "incidents", "policies"):
        op.drop_table(table)
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION audit_is_append_only")
