"""Asks another company for a bank that it shares. What comes is hostile: bounded, checked, and never half.

Each answer has a limit of bytes and of time, whatever the server sends. An answer that is wrong anywhere is
refused whole.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import grpc

from edge.backoff import backoff_ms
from edge.contract.gen import share_pb2, share_pb2_grpc
from edge.contract.trailing import REASON
from edge.errors import ConfigError, ExchangeFailed, InvalidInput
from edge.match import Footage, Withdrawal
from edge.printable import printable
from edge.section import grpc_target
from edge.settings_file import MAX_KEY_BYTES, read_settings_file
from edge.sharing.shared_entry import checked_id, footage_of

MAX_ANSWER_BYTES: Final = 20 << 20
MAX_CHANGES: Final = 1_000
MAX_CHECKPOINT: Final = 128
ANSWER_S: Final = 60.0
"""Longest time of one answer, from the call to its last byte."""
_TRIES: Final = 4
_FIRST_PAUSE_MS, _MOST_PAUSE_MS = 1_000, 4_000
_ORIGIN: Final = 64
_OPTIONS: Final = [
    ("grpc.max_receive_message_length", MAX_ANSWER_BYTES),
    ("grpc.max_metadata_size", 16 * 1024),
    ("grpc.enable_http_proxy", 0),
    ("grpc.enable_retries", 0),
]


@dataclass(frozen=True, slots=True)
class PeerChange:
    """One change, checked. ``confidence`` of a withdrawal says nothing."""

    change: Footage | Withdrawal
    severity: str = ""
    confidence: str = ""
    """``listed``, ``confirmed`` or ``doubted``."""
    provenance: str = ""
    """``bank`` or ``incident``."""


@dataclass(frozen=True, slots=True)
class PeerPage:
    """A whole answer, checked."""

    changes: tuple[PeerChange, ...]
    checkpoint: str
    more: bool
    start_again: bool


@dataclass(frozen=True, slots=True)
class OwnCertificate:
    """The files by which this side shows who it is, and whom it trusts. PEM."""

    cert: Path
    key: Path
    ca: Path

    def credentials(self) -> grpc.ChannelCredentials:
        """Raises ConfigError that names a file that cannot be used."""
        chain, key, ca = (read_settings_file(path, MAX_KEY_BYTES) for path in (self.cert, self.key, self.ca))
        try:
            context = ssl.create_default_context(cadata=ca.decode("ascii", "ignore"))
            context.load_cert_chain(self.cert, self.key, password="")
        except (OSError, ValueError) as error:
            raise ConfigError(f"{self.cert}, {self.key}, {self.ca}: {error}") from None
        return grpc.ssl_channel_credentials(ca, key, chain)


class PeerClient:
    """One peer's server, at ``HOST:PORT``. Synchronous; ``close`` it afterwards."""

    def __init__(
        self,
        place: str,
        certificate: OwnCertificate,
        *,
        answer_s: float = ANSWER_S,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Raises ConfigError."""
        self.place = place
        self._answer_s = answer_s
        self._sleep = sleep
        self._channel = grpc.secure_channel(grpc_target(place), certificate.credentials(), _OPTIONS)
        self._stub: Any = share_pb2_grpc.ShareStub(self._channel)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._channel.close()

    def banks(self) -> dict[str, tuple[str, str]]:
        """Returns category and severity of each bank that this side may have. Raises ExchangeFailed."""
        found = self._call(self._stub.ListShared, share_pb2.ListSharedRequest())
        return {
            printable(bank.name)[:64]: (printable(bank.category)[:64], printable(bank.severity)[:16])
            for bank in found.banks[:256]
        }

    def page(self, bank: str, checkpoint: str) -> PeerPage:
        """Returns the next page after a checkpoint. Raises ExchangeFailed, also for a wrong answer."""
        request = share_pb2.ListChangesRequest(bank=bank, checkpoint=checkpoint, limit=MAX_CHANGES)
        answer = self._call(self._stub.ListChanges, request)
        try:
            return self._checked(answer, checkpoint)
        except InvalidInput as error:
            raise ExchangeFailed(f"{self.place}: wrong page: {error}") from None

    def pages(self, bank: str, checkpoint: str) -> Iterator[PeerPage]:
        """Yields pages until there is no more, or one that says to start again."""
        while True:
            page = self.page(bank, checkpoint)
            yield page
            if page.start_again or not page.more:
                return
            checkpoint = page.checkpoint

    def _checked(self, answer: share_pb2.ListChangesResponse, before: str) -> PeerPage:
        if answer.start_again:
            if answer.changes or not before:
                raise InvalidInput("start_again", "comes with changes, or at the beginning")
            return PeerPage((), "", more=False, start_again=True)
        if len(answer.changes) > MAX_CHANGES:
            raise InvalidInput("changes", f"{len(answer.changes)} are over the limit of {MAX_CHANGES}")
        checkpoint = answer.checkpoint
        printed = checkpoint.isascii() and checkpoint.isprintable()
        if not 0 < len(checkpoint) <= MAX_CHECKPOINT or not printed:
            raise InvalidInput("checkpoint", f"wants 1 to {MAX_CHECKPOINT} printable characters of ASCII")
        if answer.more and (not answer.changes or checkpoint == before):
            raise InvalidInput("more", "the page has no changes, or leads nowhere")
        source = f"shared by {printable(answer.origin)[:_ORIGIN] or self.place}"
        changes = tuple(_checked_change(change, source) for change in answer.changes)
        return PeerPage(changes, checkpoint, answer.more, start_again=False)

    def _call(self, method: Any, request: Any) -> Any:
        for attempt in range(1, _TRIES + 1):
            try:
                return method(request, timeout=self._answer_s)
            except grpc.RpcError as error:
                failed: Any = error
                code, details = failed.code(), printable(failed.details() or "")[:300]
                known = any(name == REASON for name, _ in failed.trailing_metadata() or ())
                if code is not grpc.StatusCode.UNAVAILABLE or attempt == _TRIES:
                    raise ExchangeFailed(f"{self.place}: {_meaning(code, details, known)}") from None
            self._sleep(backoff_ms(attempt, _FIRST_PAUSE_MS, _MOST_PAUSE_MS) / 1000)
        raise AssertionError("unreachable")


def _checked_change(change: share_pb2.Change, source: str) -> PeerChange:
    entry_id = checked_id(change.id)
    if not change.HasField("entry"):
        return PeerChange(Withdrawal(entry_id))
    entry = change.entry
    return PeerChange(
        footage_of(entry_id, entry, source),
        entry.severity,
        _CONFIDENCE.get(entry.confidence, "doubted"),
        "incident" if entry.provenance == share_pb2.PROVENANCE_INCIDENT else "bank",
    )


def _meaning(code: grpc.StatusCode, details: str, known: bool) -> str:
    match code:
        case grpc.StatusCode.UNAVAILABLE if not known:
            return f"cannot be reached, or one side refuses the other's certificate ({details})"
        case grpc.StatusCode.PERMISSION_DENIED:
            return f"refuses: {details}"
        case grpc.StatusCode.DEADLINE_EXCEEDED:
            return "did not answer in time"
        case grpc.StatusCode.RESOURCE_EXHAUSTED:
            return f"an answer is over the limit of {MAX_ANSWER_BYTES} bytes ({details})"
    return f"answers {code.name.lower()}: {details}"


_CONFIDENCE: Final = {
    share_pb2.CONFIDENCE_LISTED: "listed",
    share_pb2.CONFIDENCE_CONFIRMED: "confirmed",
    share_pb2.CONFIDENCE_DOUBTED: "doubted",
}
