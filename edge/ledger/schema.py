"""The version of the ledger's schema, and the migration to the newest version.

Alembic is imported only when there is something to migrate: its import takes longer than the rest of the
ledger's.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Final

import sqlalchemy as sa

MIGRATIONS: Final = Path(__file__).parent / "migrations"
NEWEST: Final = max(path.name.partition("_")[0] for path in (MIGRATIONS / "versions").glob("[0-9]*.py"))
"""The version that this program reads and writes. The file name of a migration begins with its version."""
_VERSIONS = sa.table("alembic_version", sa.column("version_num"))
_migrating = threading.Lock()
"""Serialises migrations: Alembic keeps the running one in globals of the process."""


def version_of(connection: sa.Connection) -> str | None:
    """Version of the ledger in this database. None if the database holds no ledger."""
    if not sa.inspect(connection).has_table(_VERSIONS.name):
        return None
    version: str | None = connection.scalar(sa.select(_VERSIONS.c.version_num))
    return version


def upgrade(connection: sa.Connection) -> None:
    """Migrates the schema to the newest version, in the transaction of ``connection``."""
    with _migrating:
        if version_of(connection) == NEWEST:
            return
        from alembic import command
        from alembic.config import Config

        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
