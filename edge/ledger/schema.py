"""The version of the ledger's schema, and the way to the newest.

Alembic is imported only where there is something to migrate: that takes longer than the rest of the ledger.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Final

import sqlalchemy as sa

MIGRATIONS: Final = Path(__file__).parent / "migrations"
NEWEST: Final = max(path.name.partition("_")[0] for path in (MIGRATIONS / "versions").glob("[0-9]*.py"))
"""Version that this program reads and writes. Files of migrations begin with their version."""
_VERSIONS = sa.table("alembic_version", sa.column("version_num"))
_migrating = threading.Lock()
"""Alembic keeps the migration that it runs in globals of the process."""


def version_of(connection: sa.Connection) -> str | None:
    """Version of the ledger in this database; None where it holds none."""
    if not sa.inspect(connection).has_table(_VERSIONS.name):
        return None
    version: str | None = connection.scalar(sa.select(_VERSIONS.c.version_num))
    return version


def upgrade(connection: sa.Connection) -> None:
    """Brings the schema to the newest version, in the transaction of ``connection``."""
    with _migrating:
        if version_of(connection) == NEWEST:
            return
        from alembic import command
        from alembic.config import Config

        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
