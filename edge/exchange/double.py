"""A stand-in for exchanges: a real HTTP server that speaks the documented APIs, and fails as they do.

It keeps one feed: records by key, each with the time of its last change. Each API tells it in its own words,
so one test runs against all of them. ``fail_next`` plans failures, one for each request to come.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

FIRST_S: Final = 1_700_000_000
"""Time of the first change of a feed, in seconds."""


@dataclass(frozen=True, slots=True)
class Told:
    """One record of the feed as its members tell it."""

    key: str
    digest: str
    """64 hexadecimal digits of a PDQ hash, or what another signal type has."""
    signal: str = "pdq"
    opinion: str = "positive"
    tags: tuple[str, ...] = ()
    gone: bool = False
    changed_s: int = 0


@dataclass(frozen=True, slots=True)
class Failure:
    """An answer in place of the right one."""

    status: int = 500
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes = b""
    broken: bool = False
    """The connection breaks in the middle of the right answer."""


class ExchangeDouble:
    """The state of the server. Thread-safe."""

    def __init__(self, page_size: int = 100) -> None:
        self.page_size = page_size
        self.url = ""
        self.records: dict[str, Told] = {}
        self.requests: list[tuple[str, dict[str, str], dict[str, str]]] = []
        """Path, query and lower-case headers of each request."""
        self._failures: deque[Failure | None] = deque()
        self._lock = threading.RLock()
        self._now_s = FIRST_S

    def put(self, *records: Told) -> None:
        """Adds or changes records, each a second after the one before."""
        with self._lock:
            for record in records:
                self._now_s += 1
                self.records[record.key] = Told(
                    record.key,
                    record.digest,
                    record.signal,
                    record.opinion,
                    record.tags,
                    record.gone,
                    self._now_s,
                )

    def withdraw(self, *keys: str) -> None:
        """Marks records as withdrawn: each API tells so for a while."""
        for key in keys:
            old = self.records[key]
            self.put(Told(key, old.digest, old.signal, old.opinion, old.tags, gone=True))

    def forget(self, *keys: str) -> None:
        """Drops records without a trace, as an API does that keeps withdrawals for some months only."""
        with self._lock:
            for key in keys:
                del self.records[key]

    def fail_next(self, *failures: Failure | None) -> None:
        """Plans failures for the next requests, in order. None: that one gets the right answer."""
        self._failures.extend(failures)

    def in_order(self) -> list[Told]:
        """The records by the time of their last change."""
        return sorted(self.records.values(), key=lambda record: record.changed_s)

    def answer(self, path: str, query: Mapping[str, str], headers: Mapping[str, str]) -> Failure:
        """The right answer to a request."""
        with self._lock:
            for prefix, tell in _APIS:
                if path.startswith(prefix):
                    told: Failure = tell(self, path, query, headers)
                    return told
        return Failure(404)

    def next_failure(self) -> Failure | None:
        return self._failures.popleft() if self._failures else None


def _list(double: ExchangeDouble, path: str, query: Mapping[str, str], headers: Mapping[str, str]) -> Failure:
    """A plain list of hashes with an ETag."""
    version = f'"{double._now_s}"'
    if headers.get("if-none-match") == version:
        return Failure(304, {"etag": version})
    lines = "".join(
        f"{told.digest}\n" for told in double.in_order() if told.signal == "pdq" and not told.gone
    )
    return Failure(200, {"etag": version}, lines.encode())


_APIS: Final[tuple[tuple[str, Any], ...]] = (("/list", _list),)


@contextmanager
def exchange_double(page_size: int = 100) -> Iterator[ExchangeDouble]:
    """Serves on a free port of this machine until the block ends."""
    double = ExchangeDouble(page_size)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(parts.query).items()}
            headers = {name.lower(): value for name, value in self.headers.items()}
            double.requests.append((parts.path, query, headers))
            planned = double.next_failure()
            if planned is not None and not planned.broken:
                self._send(planned)
            else:
                self._send(double.answer(parts.path, query, headers), cut_short=planned is not None)

        def _send(self, answer: Failure, *, cut_short: bool = False) -> None:
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer.content)))
            self.end_headers()
            if answer.status != 304:
                self.wfile.write(answer.content[: len(answer.content) // 2] if cut_short else answer.content)
            if cut_short:
                self.close_connection = True

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    double.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield double
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
