"""The version of the ledger's schema, and the way to the newest version.

An empty database gets the newest tables at once. Alembic is imported only when there is something to migrate:
its import takes longer than the rest of the ledger's.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Final

import sqlalchemy as sa

from edge.ledger.tables import metadata

MIGRATIONS: Final = Path(__file__).parent / "migrations"
NEWEST: Final = max(path.name.partition("_")[0] for path in (MIGRATIONS / "versions").glob("[0-9]*.py"))
"""The version that this program reads and writes. The file name of a migration begins with its version."""
_VERSIONS = sa.Table(
    "alembic_version",
    sa.MetaData(naming_convention={"pk": "%(table_name)s_pkc"}),  # as Alembic names it
    sa.Column("version_num", sa.String(32), primary_key=True),
)
_migrating = threading.Lock()
"""Serialises migrations: Alembic keeps the running one in globals of the process."""


def version_of(connection: sa.Connection) -> str | None:
    """Version of the ledger in this database. None if the database holds no ledger."""
    if not sa.inspect(connection).has_table(_VERSIONS.name):
        return None
    version: str | None = connection.scalar(sa.select(_VERSIONS.c.version_num))
    return version


def upgrade(connection: sa.Connection) -> None:
    """Brings the schema to the newest version, in the transaction of ``connection``."""
    with _migrating:
        version = version_of(connection)
        if version is None:
            # A table that is there already is of somebody else. It fails, and nothing is changed.
            metadata.create_all(connection, checkfirst=False)
            _VERSIONS.create(connection, checkfirst=True)
            connection.execute(_VERSIONS.insert().values(version_num=NEWEST))
        elif version != NEWEST:
            _migrate(connection)


def _migrate(connection: sa.Connection) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
