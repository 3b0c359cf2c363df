"""A stand-in for exchanges: a real HTTP server that speaks the documented APIs, and fails as they do.

It keeps one feed: records by key, each with the time of its last change. Each API tells it in its own words,
so one test runs against all of them. ``fail_next`` plans failures, one for each request to come.
"""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import parse_qs, urlencode, urlsplit
from xml.sax.saxutils import escape

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


@dataclass(frozen=True, slots=True)
class Asked:
    """A request, with lower-case names of headers."""

    path: str
    query: dict[str, str]
    headers: dict[str, str]


class ExchangeDouble:
    """The state of the server. Thread-safe."""

    def __init__(self, page_size: int = 100) -> None:
        self.page_size = page_size
        self.url = ""
        self.records: dict[str, Told] = {}
        self.requests: list[Asked] = []
        self._failures: deque[Failure | None] = deque()
        self._lock = threading.RLock()
        self._now_s = FIRST_S

    def put(self, *records: Told) -> None:
        """Adds or changes records a minute after what came before, each a second after the one before."""
        with self._lock:
            self._now_s += 60
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

    @property
    def now_s(self) -> int:
        """Time of the last change, in seconds."""
        return self._now_s

    def in_order(self) -> list[Told]:
        """The records by the time of their last change."""
        return sorted(self.records.values(), key=lambda record: record.changed_s)

    def answer(self, asked: Asked) -> Failure:
        """The right answer to a request."""
        with self._lock:
            for prefix, tell in _APIS:
                if asked.path.startswith(prefix):
                    told: Failure = tell(self, asked)
                    return told
        return Failure(404)

    def next_failure(self) -> Failure | None:
        return self._failures.popleft() if self._failures else None


def _list(double: ExchangeDouble, asked: Asked) -> Failure:
    """A plain list of hashes with an ETag."""
    version = f'"{double.now_s}"'
    if asked.headers.get("if-none-match") == version:
        return Failure(304, {"etag": version})
    lines = "".join(
        f"{told.digest}\n" for told in double.in_order() if told.signal == "pdq" and not told.gone
    )
    return Failure(200, {"etag": version}, lines.encode())


def _stopncii(double: ExchangeDouble, asked: Asked) -> Failure:
    """FetchHashes: pages by a token, from a time on. Records of withdrawn cases are told as such."""
    if (
        asked.headers.get("x-functions-key") != "fetch-key"
        or asked.headers.get("ocp-apim-subscription-key") != "subscription"
    ):
        return Failure(401)
    since_s, start = int(asked.query["startTimestamp"]), int(asked.query.get("nextPageToken") or 0)
    due = [told for told in double.in_order() if told.changed_s >= since_s]
    shown = due[start : start + double.page_size]
    more = start + len(shown) < len(due)
    feedback = {"positive": "Blocked", "negative": "NotBlocked", "investigate": "PendingReview"}
    return _json(
        {
            "count": len(shown),
            "nextPageToken": str(start + len(shown)) if more else None,
            "nextSetTimestamp": shown[-1].changed_s if shown else since_s,
            "hasMoreRecords": more,
            "hashRecords": [
                {
                    "lastModtimestamp": told.changed_s,
                    "signalType": {"pdq": "ImagePDQ", "md5": "VideoMD5"}[told.signal],
                    "hashValue": told.digest,
                    "hashStatus": "Withdrawn" if told.gone else "Active",
                    "caseNumbers": [] if told.gone else {f"case-{told.key}": "Active"},
                    "CSPFeedbacks": [
                        {"feedbackValue": feedback[told.opinion], "tags": list(told.tags), "source": "a"}
                    ],
                }
                for told in shown
            ],
        }
    )


def _ncmec(double: ExchangeDouble, asked: Asked) -> Failure:
    """Entries of a period, by 1,000 in reality. A page links to the next; the order is not that of time."""
    if not asked.headers.get("authorization", "").startswith("Basic "):
        return Failure(401)
    begin_s, end_s = (_seconds(asked.query[name]) for name in ("from", "to"))
    start = int(asked.query.get("start", 0))
    due = [told for told in double.records.values() if begin_s <= told.changed_s < end_s]
    due.sort(key=lambda told: told.digest)
    shown = due[start : start + double.page_size]
    newest_s = max((told.changed_s for told in due), default=end_s)
    votes = {
        "negative": '<feedback><negativeFeedback type="PDQ"><reasons><reason guid="g" name="wrong"/>'
        '<members><member id="9">B</member></members></reasons></negativeFeedback></feedback>'
    }
    entries = "".join(
        f'<{"deletedImage" if told.gone else "image"}><member id="7">A</member><id>{told.key}</id>'
        + f"<classification>{told.tags[0] if told.tags else 'A1'}</classification>"
        + ("" if told.gone else f"<fingerprints><{told.signal}>{told.digest}</{told.signal}></fingerprints>")
        + votes.get(told.opinion, "")
        + f"</{'deletedImage' if told.gone else 'image'}>"
        for told in shown
    )
    link = ""
    if start + len(shown) < len(due):
        following = urlencode(
            {**asked.query, "start": start + len(shown), "size": double.page_size, "max": len(due)}
        )
        link = f"<paging><next>{escape(f'{_NCMEC}?{following}')}</next></paging>"
    content = (
        '<?xml version="1.0" encoding="UTF-8"?>'
        '<queryResult xmlns="https://hashsharing.ncmec.org/hashsharing/v2">'
        f'<images count="{len(shown)}" maxTimestamp="{_date(newest_s)}">{entries}</images>'
        f"{link}</queryResult>"
    )
    return Failure(200, {"content-type": "application/xml"}, content.encode())


def _graph(double: ExchangeDouble, asked: Asked) -> Failure:
    """threat_updates of a privacy group: pages that link to the next, token included."""
    if asked.query.get("access_token") != GRAPH_TOKEN:
        return Failure(400, {}, b'{"error": {"message": "Invalid OAuth access token", "code": 190}}')
    since_s, start = int(asked.query.get("start_time", 0)), int(asked.query.get("after", 0))
    due = [told for told in double.in_order() if told.changed_s >= since_s]
    shown = due[start : start + double.page_size]
    status = {"positive": "MALICIOUS", "negative": "NON_MALICIOUS", "investigate": "UNKNOWN"}
    found: dict[str, Any] = {
        "data": [
            {
                "id": told.key,
                "indicator": told.digest,
                "type": {"pdq": "HASH_PDQ", "md5": "HASH_MD5"}[told.signal],
                "last_updated": told.changed_s,
                "should_delete": told.gone,
                "descriptors": {
                    "data": [
                        {
                            "id": f"1{told.key}",
                            "owner": {"id": "77"},
                            "status": status[told.opinion],
                            "tags": {"data": [{"id": "1", "text": tag} for tag in told.tags]},
                        }
                    ]
                },
            }
            for told in shown
        ]
    }
    if start + len(shown) < len(due):
        found["paging"] = {
            "next": f"{double.url}{asked.path}?{urlencode({**asked.query, 'after': start + len(shown)})}"
        }
    return _json(found)


def _hma(double: ExchangeDouble, asked: Asked) -> Failure:
    """Contents of a bank by their numbers; one that was taken out is not found."""
    _, _, bank, *rest = asked.path.strip("/").split("/")
    if bank != "PARTNER":
        return Failure(404)
    config = {"name": bank, "matching_enabled_ratio": 1.0}
    if not rest:
        return _json(config)
    told = double.records.get(rest[-1])
    if told is None or told.gone:
        return Failure(404)
    return _json(
        {
            "id": int(told.key),
            "disable_until_ts": 0 if told.opinion == "negative" else 1,
            "collab_metadata": {tag: ["1"] for tag in told.tags},
            "original_media_uri": None,
            "bank": config,
            "signals": {"pdq" if told.signal == "pdq" else "video_md5": told.digest},
        }
    )


def _json(document: Any) -> Failure:
    return Failure(200, {"content-type": "application/json"}, json.dumps(document).encode())


def _seconds(date: str) -> int:
    return int(datetime.strptime(date, _DATE).replace(tzinfo=UTC).timestamp())


def _date(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime(_DATE)


_DATE: Final = "%Y-%m-%dT%H:%M:%SZ"
_NCMEC: Final = "/v2/entries"
GRAPH_TOKEN: Final = "12345678|abcdefghijklmnopqrstuvwxyz"
_APIS: Final[tuple[tuple[str, Any], ...]] = (
    ("/list", _list),
    ("/FetchHashes", _stopncii),
    (_NCMEC, _ncmec),
    ("/c/bank/", _hma),
    ("/4711/threat_updates", _graph),
)


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
            asked = Asked(parts.path, query, headers)
            double.requests.append(asked)
            planned = double.next_failure()
            if planned is not None and not planned.broken:
                self._send(planned)
            else:
                self._send(double.answer(asked), cut_short=planned is not None)

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
