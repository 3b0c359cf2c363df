"""What each process that touches media may do. Pure description: nothing here changes a process."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from edge.pull_sources import DEFAULT_PORTS, address_of

_MB: Final = 2**20
_DNS: Final = 53
_RESOLVER: Final = tuple(
    Path(path)
    for path in (
        "/etc/resolv.conf",
        "/etc/hosts",
        "/etc/host.conf",
        "/etc/nsswitch.conf",
        "/etc/gai.conf",
        "/etc/services",
        "/etc/protocols",
    )
)
_AUTHORITIES: Final = tuple(
    Path(path)
    for path in (
        "/etc/ssl/certs",
        "/etc/ssl/cert.pem",
        "/etc/ssl/openssl.cnf",
        "/etc/pki/tls/certs",
        "/etc/pki/ca-trust/extracted",
        "/etc/ca-certificates",
        "/usr/share/ca-certificates",
        "/usr/lib/ssl",
    )
)


class ContainmentMode(StrEnum):
    """What happens where the kernel lacks a measure."""

    OFF = "off"
    """No process is contained."""
    TRY = "try"
    """What there is comes into force. Log, health and metrics say what is missing."""
    REQUIRE = "require"
    """The process does not start."""


class Measure(StrEnum):
    """One of the kernel's means. Stable: a label of metrics."""

    NO_NEW_PRIVS = "no_new_privs"
    RLIMITS = "rlimits"
    LANDLOCK = "landlock"
    LANDLOCK_TCP = "landlock_tcp"
    """The part of Landlock that limits TCP to ports, since Linux 6.7. Only a role with network needs it:
    for the others seccomp refuses every socket."""
    SECCOMP = "seccomp"


@dataclass(frozen=True, slots=True)
class ProcessRole:
    """What a process may do once it is contained. What is not named here fails."""

    name: str
    """A short word for logs and metrics."""
    read: tuple[Path, ...] = ()
    """Files and folders that it may read. A missing one is left out."""
    write: tuple[Path, ...] = ()
    """Folders in which it may create, write, rename and remove plain files."""
    network: bool = False
    """Whether it may open IPv4 and IPv6 sockets. It may never listen."""
    datagrams: bool = False
    """Whether these sockets may send datagrams, as to a name server."""
    tcp_ports: frozenset[int] = frozenset()
    """Remote TCP ports that it may connect to."""
    memory_bytes: int = 8192 * _MB
    """Most private memory. An allocation beyond it fails."""
    open_files: int = 256

    @property
    def measures(self) -> tuple[Measure, ...]:
        """The measures that contain this role, in the order in which they come into force."""
        tcp = (Measure.LANDLOCK_TCP,) if self.network else ()
        return Measure.NO_NEW_PRIVS, Measure.RLIMITS, Measure.LANDLOCK, *tcp, Measure.SECCOMP

    @property
    def limits(self) -> Mapping[str, int]:
        """Resource limits by their name in ``resource``."""
        return {
            # Not 0: a core pattern that pipes to a program ignores 0.
            "RLIMIT_CORE": 1,
            "RLIMIT_DATA": self.memory_bytes,
            "RLIMIT_NOFILE": self.open_files,
            "RLIMIT_MEMLOCK": 0,
            "RLIMIT_MSGQUEUE": 0,
        }


def worker(
    models: Iterable[Path], banks: Iterable[Path], evidence: Iterable[Path], max_resident_mb: int
) -> ProcessRole:
    """Decodes and judges streams. It reads models and banks, and writes clips into ``evidence``.

    The supervisor replaces a worker over ``max_resident_mb``. The limit here is twice as high: it stops what
    grows faster than the supervisor looks.
    """
    return ProcessRole(
        "worker",
        read=(*models, *banks),
        write=tuple(evidence),
        memory_bytes=2 * max_resident_mb * _MB,
    )


def puller(url: str) -> ProcessRole:
    """Opens one URL and passes its access units on. It connects to the URL's port, and over TLS it reads
    certificate authorities.

    It asks name servers only where the URL has a name. There is no limit to its addresses: the caller has
    checked them.
    """
    parts = urlsplit(url)
    scheme = parts.scheme.lower()
    try:
        port = parts.port or DEFAULT_PORTS.get(scheme, 0)
    except ValueError:  # over 65535: whoever opens the URL says so
        port = 0
    asks = address_of(parts.hostname or "") is None
    return ProcessRole(
        "puller",
        read=(*(_RESOLVER if asks else ()), *(_AUTHORITIES if scheme in ("rtmps", "https") else ())),
        network=True,
        datagrams=asks,
        tcp_ports=frozenset({port, _DNS if asks else 0} - {0}),
        memory_bytes=1024 * _MB,
    )


def fingerprint(file: Path) -> ProcessRole:
    """Turns one file into hashes. It writes nothing: its parent puts the hashes into the bank."""
    return ProcessRole("fingerprint", read=(file,))


def posters(clip: Path) -> ProcessRole:
    """Decodes a few frames of one clip. It writes nothing: its parent gets the posters."""
    return ProcessRole("posters", read=(clip,), memory_bytes=2048 * _MB)


def thumbnails() -> ProcessRole:
    """Decodes single frames of live streams, which its parent sends. It reads and writes no file."""
    return ProcessRole("thumbnails", memory_bytes=2048 * _MB)


def replay(models: Iterable[Path], banks: Iterable[Path], files: Iterable[Path]) -> ProcessRole:
    """Judges recorded files. It writes nothing: its parent gets the reports."""
    return ProcessRole("replay", read=(*models, *banks, *files))


def tuning(models: Iterable[Path], files: Iterable[Path]) -> ProcessRole:
    """Scores labelled files. It writes nothing: its parent keeps the scores."""
    return ProcessRole("tuning", read=(*models, *files))
