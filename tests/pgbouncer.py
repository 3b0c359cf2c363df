"""A real PgBouncer in front of the session's PostgreSQL, in a pooling mode that a test chooses."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.servers.switch_over import as_user

_CONFIG = """
[databases]
edge = host={host} dbname={database} user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
auth_type = any
pool_mode = {mode}
default_pool_size = {pool_size}
admin_users = edge
logfile = {folder}/log
pidfile = {folder}/pid
unix_socket_dir =
{more}
"""
_START_S = 30.0


def program() -> str | None:
    """Path of PgBouncer; Debian puts it where only root looks."""
    return shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


@contextmanager
def pgbouncer(host: Path, database: str, mode: str, *, pool_size: int = 4, more: str = "") -> Iterator[str]:
    """Yields the URL of a running PgBouncer. ``host`` is the folder of PostgreSQL's socket."""
    folder = Path(tempfile.mkdtemp(prefix="edge-pgbouncer"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config = folder / "pgbouncer.ini"
    config.write_text(
        _CONFIG.format(
            host=host, database=database, port=port, mode=mode, folder=folder, pool_size=pool_size, more=more
        )
    )
    user = None
    if os.geteuid() == 0:  # It does not run as root.
        user = pwd.getpwuid(host.stat().st_uid).pw_name
        shutil.chown(folder, user)
    process = subprocess.Popen(
        [*as_user(user), program() or "pgbouncer", str(config)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        end = time.monotonic() + _START_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                assert process.poll() is None, (folder / "log").read_text()
                assert time.monotonic() < end
                time.sleep(0.05)
        yield f"postgresql://edge@127.0.0.1:{port}/edge"
    finally:
        process.terminate()
        process.wait(20)
        shutil.rmtree(folder, ignore_errors=True)
