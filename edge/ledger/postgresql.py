"""PostgreSQL as the gate uses it: through any pooler, and at the primary alone.

Nothing depends on a session: every transaction brings its own settings, and no statement is prepared. So a
pooler may give each transaction another server connection. Each transaction first asks whether the server is
still the primary. An old primary may stay reachable after a switch-over, and would serve what is out of date.
"""

from __future__ import annotations

import re
from typing import Any, Final
from urllib.parse import unquote

import sqlalchemy as sa

from edge.errors import NotPrimary

LOCK_NOT_AVAILABLE: Final = "55P03"
READ_ONLY: Final = "25006"
_ADVISORY_KEY: Final = 0x65646765_67617465
"""``edgegate`` in ASCII: the advisory lock that every writing gate of a fleet takes."""
_CONNECT_S: Final = 2
"""For each host."""
_IDLE_MS: Final = 5_000
"""A gate that hangs inside a transaction loses its lock after this time."""
_HOSTS: Final = re.compile(
    r"(?P<scheme>postgres\w*(?:\+\w+)?)://(?:(?P<who>[^@/?]*)@)?(?P<hosts>[^/?]*)(?P<rest>.*)"
)
_HOST: Final = re.compile(r"(?P<host>\[[^\]]*\]|[^:]*)(?::(?P<port>\d*))?")
_BEGIN: Final = (
    "SELECT pg_catalog.pg_is_in_recovery() OR pg_catalog.current_setting('transaction_read_only')::bool, "
    "pg_catalog.set_config('lock_timeout', '{lock_ms}', true), "
    "pg_catalog.set_config('synchronous_commit', 'on', true), "
    f"pg_catalog.set_config('idle_in_transaction_session_timeout', '{_IDLE_MS}', true)"
)
_LOCK: Final = f", pg_catalog.pg_advisory_xact_lock({_ADVISORY_KEY})"


def parse_hosts(url: str) -> sa.URL:
    """Parses a URL that may name several hosts, as libpq does: ``postgresql://user@one:5432,two:5433/db``.

    A host may be the folder of a socket: ``%2Frun%2Fpostgresql``.

    Raises ArgumentError.
    """
    found = _HOSTS.fullmatch(url)
    if found is None or not {",", "%"} & set(found["hosts"]):
        return _make_url(url)
    who = f"{found['who']}@" if found["who"] is not None else "@"
    hosts, ports = [], []
    for each in found["hosts"].split(","):
        place = _HOST.fullmatch(each)
        if place is None:
            raise sa.exc.ArgumentError(f"{each!r} is no HOST:PORT")
        hosts.append(unquote(place["host"].strip("[]")))
        ports.append(place["port"] or "5432")
    parsed = _make_url(f"{found['scheme']}://{who}{found['rest']}")
    return parsed.update_query_dict({"host": ",".join(hosts), "port": ",".join(ports)})


def _make_url(url: str) -> sa.URL:
    try:
        return sa.make_url(url)
    except ValueError as error:  # a port that is no number, a bracket that is not closed
        raise sa.exc.ArgumentError(f"is no SQLAlchemy URL: {error}") from None


def connect_arguments(name: str, **more: object) -> dict[str, Any]:
    """Arguments for the driver. They are safe behind a pooler."""
    return {
        "connect_timeout": _CONNECT_S,
        # A listener only waits. Without keepalives it would never notice a cut cable.
        "keepalives_idle": 5,
        "keepalives_interval": 2,
        "keepalives_count": 3,
        "application_name": name,
        "prepare_threshold": None,
        **more,
    }


def create_engine(url: sa.URL) -> sa.Engine:
    """An engine that connects to the primary. Raises ArgumentError."""
    attributes = {} if "target_session_attrs" in url.query else {"target_session_attrs": "read-write"}
    return sa.create_engine(
        url,
        connect_args=connect_arguments("edge-gate", **attributes),
        isolation_level="READ COMMITTED",
        # An error must not quote a row: it may hold a stream key.
        hide_parameters=True,
        # Would ask the server for a type of an extension.
        use_native_hstore=False,
    )


def begin(connection: sa.Connection, lock_ms: int, *, writes: bool) -> None:
    """Begins a transaction. Raises NotPrimary."""
    statement = _BEGIN.format(lock_ms=int(lock_ms)) + (_LOCK if writes else "")
    row = connection.exec_driver_sql(statement).one()
    if row[0]:
        raise NotPrimary("the server is read-only: it is not, or no longer, the primary")
