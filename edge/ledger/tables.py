"""The ledger's tables. Times are milliseconds since the Unix epoch, UTC."""

from __future__ import annotations

from sqlalchemy import (
    DDL,
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    event,
    false,
)
from sqlalchemy.schema import ExecutableDDLElement

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(column_0_label)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

policies = Table(
    "policies",
    metadata,
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("json", Text, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("created_by", String(128), nullable=False),
    Column("reason", String(512), nullable=False, server_default=""),
)

incidents = Table(
    "incidents",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("stream_id", String(64), nullable=False, index=True),
    Column("server", String(64), nullable=False),
    Column("connection", String(256), nullable=False),
    Column("app", String(128), nullable=False),
    Column("name", String(256), nullable=False),
    Column("broadcaster", String(512), nullable=False, index=True),
    Column("address", String(64), nullable=False),
    Column("attributes", Text, nullable=False),
    Column("action", String(8), nullable=False),
    Column("category", String(64), nullable=False),
    Column("reason", String(64), nullable=False),
    Column("score", Float, nullable=False),
    Column("shadow", Boolean, nullable=False),
    Column("verdict", Text, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("state", String(16), nullable=False),
    Column("evidence_path", Text),
    Column("durable_ms", BigInteger),
    Column("cut_asked_ms", BigInteger),
    Column("cut_confirmed_ms", BigInteger),
    Column("confirmed_by", String(32)),
    Column("reviewed_ms", BigInteger),
    Column("reviewed_by", String(128)),
    Column("review_reason", String(512)),
    Column("gate", String(128), nullable=False, server_default=""),
    Column("claimed_by", String(128)),
    Column("claimed_until_ms", BigInteger),
    Column("first_confirmed_by", String(128)),
    Column("first_confirmed_ms", BigInteger),
    Column("cut_unconfirmed_ms", BigInteger),
    Column("cut_unconfirmed_reason", String(32)),
    Column("admitted_ms", BigInteger),
    Column("evidence_begin_pts_ms", BigInteger),
    Column("evidence_end_pts_ms", BigInteger),
    Column("verdicts", Integer),
    Column("peak_score", Float),
    Column("start_pts_ms", BigInteger),
    Column("end_pts_ms", BigInteger),
    Column("seen_ms", BigInteger, index=True),
    Column("banking", Text),
    Column("evidence_sha256", String(64)),
    Column("evidence_bytes", BigInteger),
    Column("evidence_erased_ms", BigInteger),
    Column("evidence_erased_why", String(16)),
    Column("hold_ms", BigInteger),
    Column("hold_by", String(128)),
    Column("hold_reason", String(512)),
    Column("erase_asked_ms", BigInteger),
    Column("erase_asked_by", String(128)),
    Column("erase_reason", String(512)),
    Column("looked_ms", BigInteger),
    Column("looked_by", String(128)),
    Column("undo_until_ms", BigInteger),
    Column("undo", Text),
    Index("ix_incidents_unconfirmed", "durable_ms", "cut_confirmed_ms"),
    Index("ix_incidents_state", "state"),
)

strikes = Table(
    "strikes",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("stream_id", String(64), unique=True),
    Column("incident_id", String(64), ForeignKey("incidents.id"), unique=True),
    Column("broadcaster", String(512), nullable=False),
    Column("app", String(128), nullable=False),
    Column("category", String(64), nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("pardoned_ms", BigInteger),
    Column("severity", String(16), nullable=False, server_default="normal"),
    Column("review_by_ms", BigInteger, index=True),
    Column("reason", String(512), nullable=False, server_default=""),
    Column("created_by", String(128), nullable=False, server_default="gate"),
    Column("pardoned_by", String(128)),
    Column("pardon_reason", String(512)),
    Column("admitted_ms", BigInteger),
    Column("gate", String(128), nullable=False, server_default=""),
    Column("part_of", String(64)),
    Index("ix_strikes_broadcaster_created", "broadcaster", "created_ms"),
)

blocks = Table(
    "blocks",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("subject_kind", String(16), nullable=False),
    Column("subject", String(640), nullable=False, index=True),
    Column("app", String(128), nullable=False),
    Column("reason", String(512), nullable=False),
    Column("category", String(64), nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("until_ms", BigInteger, nullable=False, index=True),
    Column("incident_id", String(64), ForeignKey("incidents.id"), index=True),
    Column("created_by", String(128), nullable=False),
    Column("lifted_ms", BigInteger),
    Column("lifted_by", String(128)),
    Column("lift_reason", String(512)),
    Column("revision", BigInteger, nullable=False, server_default="0", index=True),
    Column("provisional", Boolean, nullable=False, server_default=false()),
    Column("full_until_ms", BigInteger),
    Column("review_by_ms", BigInteger, index=True),
    Column("strike_id", String(64), index=True),
)

appeals = Table(
    "appeals",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("incident_id", String(64), ForeignKey("incidents.id"), index=True),
    Column("block_id", String(64), ForeignKey("blocks.id"), index=True),
    Column("broadcaster", String(640), nullable=False, index=True),
    Column("app", String(128), nullable=False),
    Column("text", Text, nullable=False),
    Column("filed_ms", BigInteger, nullable=False),
    Column("filed_by", String(128), nullable=False),
    Column("state", String(16), nullable=False, index=True),
    Column("decided_ms", BigInteger),
    Column("decided_by", String(128)),
    Column("decision_reason", String(512)),
)

gates = Table(
    "gates",
    metadata,
    Column("name", String(128), primary_key=True),
    Column("url", String(300), nullable=False),
    Column("announced_ms", BigInteger, nullable=False),
)

exchange_claims = Table(
    "exchange_claims",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("gate", String(128), nullable=False),
    Column("until_ms", BigInteger, nullable=False),
    Column("done_ms", BigInteger, nullable=False),
)

crises = Table(
    "crises",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("state", String(16), nullable=False),
    Column("declared_ms", BigInteger, nullable=False),
    Column("revision", BigInteger, nullable=False, index=True),
    Column("crisis", Text, nullable=False),
)

comments = Table(
    "comments",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("incident_id", String(64), ForeignKey("incidents.id"), index=True),
    Column("created_ms", BigInteger, nullable=False),
    Column("created_by", String(128), nullable=False),
    Column("text", Text, nullable=False),
)

bank_changes = Table(
    "bank_changes",
    metadata,
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    Column("bank", String(64), nullable=False),
    Column("number", BigInteger, nullable=False),
    Column("kind", String(32), nullable=False),
    Column("who", String(128), nullable=False),
    Column("gate", String(128), nullable=False),
    Column("wall_ms", BigInteger, nullable=False),
    Column("detail", Text, nullable=False),
    Column("digest", String(64), nullable=False),
    Index("ix_bank_changes_bank_number", "bank", "number", unique=True),
)

bank_parts = Table(
    "bank_parts",
    metadata,
    Column("digest", String(64), primary_key=True),
    Column("part", Integer, primary_key=True, autoincrement=False),
    Column("content", LargeBinary, nullable=False),
    Column("stored_ms", BigInteger, nullable=False),
)
"""Files that bank changes name by their digest, in parts. No entry of the audit log names them."""

audit = Table(
    "audit",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("wall_ms", BigInteger, nullable=False),
    Column("who", String(128), nullable=False),
    Column("what", String(64), nullable=False),
    Column("subject", String(512), nullable=False),
    Column("detail", Text, nullable=False),
    Column("previous", String(64), nullable=False),
    Column("digest", String(64), nullable=False),
)

_APPEND_ONLY = (
    (
        "sqlite",
        (
            f"CREATE TRIGGER audit_is_append_only_{change.lower()} BEFORE {change} ON audit "
            "BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END"
            for change in ("UPDATE", "DELETE")
        ),
    ),
    (
        "postgresql",
        (
            "CREATE FUNCTION audit_is_append_only() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION 'the audit log is append-only'; END $$",
            "CREATE TRIGGER audit_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit "
            "EXECUTE FUNCTION audit_is_append_only()",
        ),
    ),
)
for _dialect, _statements in _APPEND_ONLY:
    for _statement in _statements:
        _made: ExecutableDDLElement = DDL(_statement)  # type: ignore[no-untyped-call]
        event.listen(audit, "after_create", _made.execute_if(dialect=_dialect))
