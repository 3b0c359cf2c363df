"""Migrations of an earlier version's ledger keep its data, upwards and downwards."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory

from edge.domain import Severity
from edge.ledger import Ledger
from edge.ledger.schema import MIGRATIONS, NEWEST
from edge.ledger.tables import audit, metadata

if TYPE_CHECKING:
    from tests.postgresql import Store

NOW = 1_700_000_000_000
BEFORE = "0002"
ROWS = (
    "INSERT INTO incidents (id, stream_id, server, connection, app, name, broadcaster, address, attributes, "
    "action, category, reason, score, shadow, verdict, created_ms, state) VALUES ('in_1', 'st_1', 's', 'c', "
    "'live', 'n', 'anna', '', '{}', 'cut', 'fight', 'detector', 0.9, false, '{\"action\": \"cut\", "
    '"pts_ms": 1, "cleared_pts_ms": 0, "signals": []}\', 1, \'open\')',
    "INSERT INTO strikes (id, stream_id, incident_id, broadcaster, app, category, created_ms) "
    "VALUES ('sk_1', 'st_1', 'in_1', 'anna', 'live', 'fight', 1)",
    "INSERT INTO blocks (id, subject_kind, subject, app, reason, category, created_ms, until_ms, "
    "incident_id, created_by, revision) "
    f"VALUES ('bl_1', 'broadcaster', 'anna', '', 'detector', 'fight', 1, {NOW + 1}, 'in_1', 'gate', 1)",
)


def migrate(store: Store, revision: str, *, down: bool = False) -> None:
    engine = sa.create_engine(store.url, poolclass=sa.NullPool)
    with engine.begin() as connection:
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        config.attributes["connection"] = connection
        (command.downgrade if down else command.upgrade)(config, revision)


def look(store: Store) -> None:
    ledger = Ledger.open(store.url)
    (strike,) = ledger.strikes_of("anna")
    assert (strike.severity, strike.review_by_ms, strike.created_by) == (Severity.NORMAL, None, "gate")
    (block,) = ledger.active_blocks(NOW)
    assert (block.subject, block.provisional, block.until_ms) == ("anna", False, NOW + 1)
    case = ledger.case("in_1")
    assert (case.strike, case.blocks) == (strike, (block,))
    ledger.close()


def test_up_down_and_up_again(store: Store) -> None:
    migrate(store, BEFORE)
    store.execute(*ROWS)
    look(store)
    migrate(store, BEFORE, down=True)
    look(store)
    inspector = sa.inspect(store.engine)
    for table in metadata.tables.values():
        if table is not audit:
            unique = {tuple(found["column_names"]) for found in inspector.get_unique_constraints(table.name)}
            assert {(column.name,) for column in table.columns if column.unique} <= unique, table


def test_the_newest_version_is_the_head_of_the_migrations() -> None:
    assert ScriptDirectory(str(MIGRATIONS)).get_heads() == [NEWEST]


def test_an_older_ledger_does_not_count_what_is_part_of_an_occasion(store: Store) -> None:
    migrate(store, BEFORE)
    store.execute(*ROWS)
    migrate(store, "0004")
    store.execute(
        "INSERT INTO strikes (id, broadcaster, app, category, created_ms, part_of) "
        "VALUES ('sk_2', 'anna', 'live', 'fight', 2, 'sk_1')"
    )
    migrate(store, "0003", down=True)
    look(store)
