"""Migrations of an earlier version's ledger keep its data, upwards and downwards."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory

from edge.domain import Severity
from edge.errors import LedgerUnavailable
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


_TRIGGERS = {
    "sqlite": "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' ORDER BY name",
    "postgresql": "SELECT tgname, tgtype, prosrc FROM pg_trigger JOIN pg_proc ON pg_proc.oid = tgfoid "
    "WHERE NOT tgisinternal AND tgrelid = CAST('audit' AS regclass) ORDER BY tgname",
}


def schema_of(store: Store) -> dict[str, Any]:
    """Everything about the tables except the order of their columns, and the bounds of texts that SQLite
    ignores."""

    def ordered(found: list[Any]) -> list[str]:
        said = sorted(repr(sorted((key, str(value)) for key, value in one.items())) for one in found)
        return [re.sub(r"VARCHAR\(\d+\)", "VARCHAR", one) for one in said] if store.kind == "sqlite" else said

    def parts(table: str) -> Iterator[Any]:
        yield ordered(inspector.get_columns(table))
        yield inspector.get_pk_constraint(table)
        yield ordered(inspector.get_foreign_keys(table))
        yield ordered(inspector.get_unique_constraints(table))
        yield ordered(inspector.get_indexes(table))

    inspector = sa.inspect(store.engine)
    found: dict[str, Any] = {table: list(parts(table)) for table in inspector.get_table_names()}
    with store.engine.connect() as connection:
        found["version"] = connection.exec_driver_sql("SELECT version_num FROM alembic_version").all()
        found["triggers"] = connection.exec_driver_sql(_TRIGGERS[store.kind]).all()
    return found


def test_a_new_ledger_is_as_the_migrations_make_it(store: Store) -> None:
    migrate(store, "head")
    migrated = schema_of(store)
    migrate(store, "base", down=True)
    Ledger.open(store.url).close()
    new = schema_of(store)
    assert set(new) >= set(metadata.tables)
    assert new == migrated
    assert new["triggers"]


def test_a_new_ledger_imports_no_alembic(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from edge.ledger import Ledger; "
        "Ledger.open(Path(sys.argv[1])).close(); assert 'alembic' not in sys.modules"
    )
    for _ in range(2):
        subprocess.run([sys.executable, "-c", script, str(tmp_path / "ledger.db")], check=True)


def test_a_table_of_somebody_else_is_left_alone(store: Store) -> None:
    store.execute("CREATE TABLE appeals (text VARCHAR(9))")
    with pytest.raises(LedgerUnavailable, match="appeals"):
        Ledger.open(store.url)
    assert sa.inspect(store.engine).get_table_names() == ["appeals"]
