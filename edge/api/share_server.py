"""The server of what is shared with other companies: a port of its own, and mutual TLS alone.

Who has no certificate of the peers' authority gets no connection. What the certificate says decides which
banks there are.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any, Final, TypeVar

import grpc
import structlog

from edge.allowance import Allowance
from edge.api import bounds
from edge.api.certificates import Certificates, TlsFiles
from edge.api.connections import listeners
from edge.api.status import INTERNAL, Context, abort
from edge.clock import Clock
from edge.contract.gen import share_pb2, share_pb2_grpc
from edge.descriptors import accept_only_who_sends
from edge.errors import BankError, CapacityExceeded, ConfigError, GateError, NotFound, PermissionRefused
from edge.match.bank.manifest import BankManifest
from edge.section import grpc_target
from edge.sharing.settings import SharePeer, ShareSection
from edge.sharing.share_log import MOST_CHANGES, ChangesPage, ShareLog, log_path
from edge.telemetry.records import BankTaken, PeerRefused, Record

_MAX_CHECKPOINT: Final = 128
_MAX_BANK: Final = 64
_AT_ONCE: Final = 4
"""Pages that are read at a time."""
_STRANGERS_PER_S: Final = 1 / 600
"""How often the same stranger is reported."""
_ON_RECORD: Final = 10_000
"""Changes of one bank after which an unfinished take is put on record."""
_CONNECTIONS: Final = 256
_OPTIONS: Final = [
    ("grpc.max_receive_message_length", 16 * 1024),
    ("grpc.max_metadata_size", 8 * 1024),
    ("grpc.max_concurrent_streams", 4),
    ("grpc.so_reuseport", 0),
    ("grpc.server_handshake_timeout_ms", 10_000),
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.http2.ping_timeout_ms", 10_000),
    ("grpc.max_connection_idle_ms", 120_000),
    ("grpc.max_allowed_incoming_connections", _CONNECTIONS),
]

log = structlog.get_logger(__name__)

Answer = TypeVar("Answer")
Recorded = Callable[[str, str, int, int], Awaitable[None]]
"""Puts on record what a peer has taken: peer, bank, entries, withdrawals. May raise GateError."""


class ShareServicer(share_pb2_grpc.ShareServicer):
    """Answers peers. ``section`` returns the settings as they are now."""

    def __init__(
        self,
        logs: Path,
        section: Callable[[], ShareSection],
        clock: Clock,
        report: Callable[[Record], None],
        recorded: Recorded,
    ) -> None:
        self._logs = logs
        self._section = section
        self._clock = clock
        self._report = report
        self._recorded = recorded
        self._rate = 0
        self._allowance = Allowance(1, 1)
        self._strangers = Allowance(_STRANGERS_PER_S, 3)
        self._reading = asyncio.Semaphore(_AT_ONCE)
        self._taken: Counter[tuple[str, str, bool]] = Counter()
        """Changes that are not on record yet, by peer, bank and whether they are withdrawals."""

    async def ListShared(
        self, request: share_pb2.ListSharedRequest, context: Context
    ) -> share_pb2.ListSharedResponse:
        async def answer() -> share_pb2.ListSharedResponse:
            _, peer = await self._peer(context)
            found = [await self._described(bank) for bank in peer.banks]
            banks = [bank for bank in found if bank is not None]
            return share_pb2.ListSharedResponse(origin=self._section().name, banks=banks)

        return await _answered(answer, context)

    async def ListChanges(
        self, request: share_pb2.ListChangesRequest, context: Context
    ) -> share_pb2.ListChangesResponse:
        async def answer() -> share_pb2.ListChangesResponse:
            name, peer = await self._peer(context)
            bank = bounds.text("bank", request.bank, _MAX_BANK, required=True)
            checkpoint = bounds.text("checkpoint", request.checkpoint, _MAX_CHECKPOINT)
            limit = bounds.number("limit", request.limit, 0, MOST_CHANGES) or MOST_CHANGES
            if bank not in peer.banks:
                raise PermissionRefused(f"bank: {bank!r} is not shared with {name}")
            async with self._reading:
                page = await asyncio.to_thread(self._page, bank, checkpoint, limit)
            await self._note(name, bank, page)
            return share_pb2.ListChangesResponse(
                origin=self._section().name,
                changes=[share_pb2.Change(id=one, entry=entry) for one, entry in page.changes],
                checkpoint=page.checkpoint,
                more=page.more,
                start_again=page.start_again,
            )

        return await _answered(answer, context)

    async def _peer(self, context: Context) -> tuple[str, SharePeer]:
        """The peer that calls, by its certificate. Raises PermissionRefused, and CapacityExceeded for one
        that asks too often."""
        section = self._section()
        said = {text.lower() for text in _names(context)}
        for name, peer in section.peers.items():
            if peer.subject.lower() in said:
                self._charge(section, name)
                return name, peer
        shown = ", ".join(sorted(said)[:4])[:200]
        now_ms = self._clock.monotonic_ms()
        if not self._strangers.debt_ms(shown, now_ms):
            self._strangers.charge(shown, now_ms)
            self._report(PeerRefused(context.peer(), shown))
        raise PermissionRefused(f"no peer here has a name of this certificate ({shown or 'it has none'})")

    def _charge(self, section: ShareSection, name: str) -> None:
        if section.pages_per_minute != self._rate:
            self._rate = section.pages_per_minute
            self._allowance = Allowance(self._rate / 60, self._rate // 6)
        now_ms = self._clock.monotonic_ms()
        if self._allowance.debt_ms(name, now_ms):
            raise CapacityExceeded(f"{name} asks for more than {self._rate} pages a minute: ask again later")
        self._allowance.charge(name, now_ms)

    def _page(self, bank: str, checkpoint: str, limit: int) -> ChangesPage:
        path = log_path(self._logs, bank)
        if not path.exists():
            raise NotFound("bank", bank)
        with ShareLog.open(path) as shared:
            return shared.page(checkpoint, limit)

    async def _described(self, bank: str) -> share_pb2.SharedBank | None:
        def read() -> BankManifest | None:
            path = log_path(self._logs, bank)
            if not path.exists():
                return None
            with ShareLog.open(path) as shared:
                return shared.manifest

        manifest = await asyncio.to_thread(read)
        if manifest is None:
            return None
        info = manifest.info
        return share_pb2.SharedBank(name=bank, category=info.label, severity=info.severity.value)

    async def _note(self, peer: str, bank: str, page: ChangesPage) -> None:
        """Puts on record who takes what, once for a peer that has caught up."""
        withdrawn = sum(entry is None for _, entry in page.changes)
        self._taken[peer, bank, False] += len(page.changes) - withdrawn
        self._taken[peer, bank, True] += withdrawn
        entries, gone = self._taken[peer, bank, False], self._taken[peer, bank, True]
        if not entries + gone or (page.more and entries + gone < _ON_RECORD):
            return
        await self._recorded(peer, bank, entries, gone)
        self._report(BankTaken(peer, bank, entries, gone))
        for is_withdrawal in (False, True):
            del self._taken[peer, bank, is_withdrawal]


class ShareServer:
    """The server. ``address`` is what it actually listens on."""

    def __init__(self, section: ShareSection, servicer: ShareServicer) -> None:
        """Raises ConfigError when the certificates cannot be used."""
        files = TlsFiles.of_share(section)
        assert files is not None
        assert section.listen is not None
        self.certificates = Certificates(files)
        self.address = section.listen
        self._server = grpc.aio.server(options=_OPTIONS)
        share_pb2_grpc.add_ShareServicer_to_server(servicer, self._server)

    async def start(self) -> None:
        """Binds and serves. Raises ConfigError when the address cannot be used."""
        try:
            port = self._server.add_secure_port(grpc_target(self.address), self.certificates.credentials())
        except RuntimeError as error:
            raise ConfigError(f"share.listen: cannot listen on {self.address}: {error}") from None
        await self._server.start()
        for listener in listeners(port):
            accept_only_who_sends(listener)
        self.address = f"{self.address.rpartition(':')[0]}:{port}"

    async def stop(self, grace_s: float) -> None:
        await self._server.stop(grace_s)


def _names(context: Context) -> Iterable[str]:
    """The alternative names of the peer's certificate."""
    found: Any = context.auth_context()
    return [name.decode(errors="replace") for name in found.get("x509_subject_alternative_name", ())]


async def _answered(answer: Callable[[], Awaitable[Answer]], context: Context) -> Answer:
    try:
        return await answer()
    except BankError as error:  # its text names files of this machine
        log.error("a shared bank cannot be read", error=str(error))
        await abort(context, CapacityExceeded("the bank cannot be read now"))
    except GateError as error:
        await abort(context, error)
    except (grpc.aio.AbortError, asyncio.CancelledError):
        raise
    except Exception:
        log.exception("call failed")
        await context.abort(grpc.StatusCode.INTERNAL, INTERNAL)
        raise
