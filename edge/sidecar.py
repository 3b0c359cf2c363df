"""The composition root: builds a sidecar from settings, runs it, and drains it on SIGTERM or Ctrl-C."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import gc
import os
import resource
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import structlog
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from edge.api.auth import Role, TokenFile, ensure_token_file, parse_tokens
from edge.api.server import GrpcServer
from edge.api.share_server import ShareServer, ShareServicer
from edge.background import BackgroundTasks
from edge.clock import SystemClock
from edge.config import Settings
from edge.console.console import served
from edge.console.routes import console_mount
from edge.containment import ContainmentMode, lacking, problems
from edge.descriptors import accept_only_who_sends, most_connections, report_lack
from edge.detect.default_policy import first_policy
from edge.errors import (
    ConfigError,
    DecisionsLost,
    LedgerUnavailable,
    NotContained,
    NotSignedIn,
    SignInUnavailable,
)
from edge.evidence import INCOMING, forget_unfinished
from edge.ledger import DurableLedger, UnwrittenDecision
from edge.notices import use_messages
from edge.policy import Mode, Policy
from edge.reloading import Reloading
from edge.servers.http_app import create_app
from edge.servers.http_server import HookServer
from edge.servers.installed import IngestServers
from edge.supervise import Gate
from edge.supervise.model_swap import model_store
from edge.telemetry.log_lines import LogBackend
from edge.telemetry.prometheus import PrometheusBackend
from edge.telemetry.records import CallBroken, DecisionLost, Draining
from edge.telemetry.telemetry import Telemetry
from edge.webhook.delivery import Delivery
from edge.workers.settings import WorkerSettings

_GRACE_S = 2.0
_LEDGER_WAIT_S = 60.0
"""How long a starting gate waits for its ledger before it gives up."""
_LEDGER_PAUSE_S = 1.0
_FILES = 65_536
_HTTP_SHARE = 0.25
"""Of the file descriptors. What remains beside the shares of HTTP and gRPC is for workers and files."""
_SWITCH_S = 0.0005
_THREADS = 64

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Ready:
    """Addresses and versions of a running sidecar."""

    grpc: str
    http: str | None
    share: str | None
    """Where other companies have banks."""
    policy_version: int
    mode: Mode
    """What the policy of most streams lets the gate act on."""
    model_digest: str
    operator_tokens: str
    tokens_created: bool


async def run_sidecar(
    settings: Settings, announce: Callable[[Ready], None], read: Callable[[], Settings]
) -> None:
    """Serves until SIGTERM or SIGINT, then drains. Raises ConfigError when it cannot start.

    At SIGHUP ``read`` returns the settings anew, or raises ConfigError.
    """
    # Admit must not wait while a ledger thread replays the journal. Python's own interval of 5 ms is paid
    # at every turn of the event loop.
    sys.setswitchinterval(_SWITCH_S)
    # These threads resolve host names. A name server that hangs must not keep a cut from resolving its own.
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(_THREADS, thread_name_prefix="waits"))
    # Until the gate serves, its files are being read anyway. By default the signal would end it.
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, lambda: None)
    clock = SystemClock()
    prometheus = PrometheusBackend()
    telemetry = Telemetry(prometheus, LogBackend())
    _allow_files()
    report_lack(asyncio.get_running_loop(), lambda: telemetry.report(CallBroken("no_descriptors")))
    # Ledger, evidence and tokens name people, so only the owner may read what this process makes.
    os.umask(0o077)
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    (settings.evidence_folder / INCOMING).mkdir(parents=True, exist_ok=True, mode=0o700)
    if unfinished := forget_unfinished(settings.evidence_folder, clock.wall_ms() / 1000):
        log.warning("removed unfinished evidence of a gate that was killed", files=unfinished)
    created = ensure_token_file(settings.operator_tokens)
    parse_tokens(settings.operator_tokens)
    os.environ["EDGE_CONTAINMENT"] = settings.containment  # for the commands that fingerprint incidents
    if settings.containment is ContainmentMode.REQUIRE and (missing := lacking()):
        raise NotContained("worker", problems(missing))
    store = model_store(settings)
    model_dir, damage = store.verified_copy()
    if damage:
        log.error("another copy of the model judges", model_dir=str(model_dir), error=damage)
    # A contained worker may read these folders, and for that they have to exist.
    for folder in (store.folder, settings.bank_copies):
        folder.mkdir(exist_ok=True)
    use_messages(settings.messages_dir)
    secret = settings.http.hook_secret
    servers = IngestServers(settings.servers(), None if secret is None else secret.get_secret_value())
    ledger = await _open_ledger(settings, telemetry)
    _report_lost(telemetry, ledger.unwritten.missing, earlier_run=True)
    try:
        policy = _policy_in_force(ledger, model_dir, settings.first_policy, clock.wall_ms())
        gate = Gate(
            settings,
            _worker_settings(settings, model_dir, store.folder),
            ledger,
            policy,
            servers.connectors(),
            telemetry,
            clock,
        )
        webhooks = _webhooks(settings, ledger, telemetry, clock)
        stop = asyncio.Event()
        with _signals(stop):
            if webhooks is not None:
                # Started before anything is decided, so that every decision is delivered.
                await webhooks.start()
            await gate.start()
            tokens = TokenFile(settings.operator_tokens, gate.alarms.token_file_refused)
            server = GrpcServer(settings, gate, tokens)
            http = _http_server(settings, gate, tokens, servers, prometheus, telemetry)
            sharing = _share_server(gate)
            serving = listener = None
            reloads = BackgroundTasks()
            try:
                await server.start()
                gate.announce(server.address)
                if sharing is not None:
                    await sharing.start()
                tls = server.certificates, None if sharing is None else sharing.certificates
                certificates = [each for each in tls if each is not None]
                reloading = Reloading(gate, tokens, certificates, read)
                reloads.keep(reloading.run, needed=False)
                asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, reloading.asked.set)
                address = None
                if http is not None:
                    listener = _listener(settings.http.listen or "")
                    host, port = listener.getsockname()[:2]
                    address = f"{host}:{port}"
                    serving = BackgroundTasks().keep(partial(_serve, http, listener))
                _settle_memory()
                announce(
                    Ready(
                        grpc=server.address,
                        http=address,
                        share=None if sharing is None else sharing.address,
                        policy_version=policy.version,
                        mode=policy.mode,
                        model_digest=gate.pool.model_digest,
                        operator_tokens=str(settings.operator_tokens),
                        tokens_created=created,
                    )
                )
                await stop.wait()
                telemetry.report(Draining())
                await server.draining()
            finally:
                await reloads.aclose()
                if sharing is not None:
                    await sharing.stop(_GRACE_S)
                await gate.stop()
                if webhooks is not None:
                    await webhooks.stop()
                await server.stop(_GRACE_S)
                if http is not None and serving is not None:
                    http.should_exit = True
                    await serving
                if listener is not None:
                    listener.close()
    finally:
        await servers.aclose()
        lost = await asyncio.to_thread(ledger.write_unwritten)
        _report_lost(telemetry, lost, earlier_run=False)
        ledger.close()
    if lost:
        raise DecisionsLost(len(lost))


def _report_lost(telemetry: Telemetry, decisions: Iterable[UnwrittenDecision], *, earlier_run: bool) -> None:
    for decision in decisions:
        telemetry.report(DecisionLost(**dataclasses.asdict(decision), earlier_run=earlier_run))


async def _serve(http: HookServer, listener: socket.socket) -> None:
    """Serves until ``http.should_exit``. Leaves the listener open, so that a server that failed can be begun
    again."""
    await http.serve(sockets=[listener.dup()])


async def _open_ledger(settings: Settings, telemetry: Telemetry) -> DurableLedger:
    """Opens the ledger. Raises LedgerUnavailable.

    Waits for a remote database, which may start together with the gate. A database in a file is not waited
    for.
    """
    journal = settings.data_dir / "journal.jsonl"
    give_up_at = time.monotonic() + _LEDGER_WAIT_S
    while True:
        try:
            return DurableLedger.open(
                settings.ledger,
                journal,
                gate=settings.gate_name,
                reserve_bytes=settings.limits.journal_reserve_mb << 20,
                report=telemetry.report,
            )
        except LedgerUnavailable as error:
            in_file = (settings.ledger_url or "sqlite").startswith("sqlite")
            if in_file or time.monotonic() > give_up_at:
                raise
            log.warning("the ledger is unavailable; the gate waits for it before it starts", error=str(error))
        await asyncio.sleep(_LEDGER_PAUSE_S)


def _settle_memory() -> None:
    """Begins garbage collection, and excludes the objects of a started gate from it.

    A full collection through all of them would hold up the event loop, and every Admit, for a tenth of a
    second. None is made here, either: a start leaves a few hundred objects to it.
    """
    gc.freeze()
    gc.enable()


def _allow_files() -> None:
    """Raises the limit of open files. Each pulled stream is a socket of its puller, and 1,024 is a common
    default."""
    files, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES if most == resource.RLIM_INFINITY else min(_FILES, most)
    if files != resource.RLIM_INFINITY and files < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


def _policy_in_force(ledger: DurableLedger, model_dir: Path, patch: Path | None, wall_ms: int) -> Policy:
    """Returns the stored policy, or on the first start a default one with the model's own thresholds.

    A newer gate's policy stays the fleet's. This gate uses the newest that it can read, or its default.
    """
    stored = ledger.policy_readable()
    if stored is not None:
        return stored
    if ledger.policy_current() is not None:
        return first_policy(model_dir, patch)
    return ledger.policy_put(first_policy(model_dir, patch), "gate", "first start", wall_ms, None)


def _webhooks(
    settings: Settings, ledger: DurableLedger, telemetry: Telemetry, clock: SystemClock
) -> Delivery | None:
    if not settings.webhook.url:
        return None
    return Delivery(settings.webhook, settings.data_dir, ledger, telemetry, clock)


def _worker_settings(settings: Settings, model_dir: Path, model_store: Path) -> WorkerSettings:
    limits = settings.limits
    return WorkerSettings(
        model_dir=model_dir,
        model_store=model_store,
        bank_dir=settings.bank_copies,
        log_level=settings.log_level,
        max_access_unit_bytes=limits.max_access_unit_bytes,
        max_extradata_bytes=limits.max_extradata_bytes,
        max_picture_long_edge=limits.max_picture_long_edge,
        max_picture_short_edge=limits.max_picture_short_edge,
        max_queue_units=limits.max_queue_units,
        max_queue_bytes=limits.max_queue_bytes,
        spare_load=settings.workers.spare_load,
        evidence_min_free_mb=limits.evidence_min_free_mb,
        evidence_incoming=settings.evidence_folder / INCOMING,
        max_resident_mb=settings.workers.max_resident_mb,
        containment=settings.containment,
    )


@contextlib.contextmanager
def _signals(stop: asyncio.Event) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        yield
    finally:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.remove_signal_handler(number)


def _http_server(
    settings: Settings,
    gate: Gate,
    tokens: TokenFile,
    servers: IngestServers,
    prometheus: PrometheusBackend,
    telemetry: Telemetry,
) -> HookServer | None:
    if not settings.http.listen:
        return None

    def may_look(request: Request) -> bool:
        if not settings.http.wants_token:
            return True
        person = tokens.identify(request.headers.get("authorization", ""))
        return person is not None and person.role >= Role.VIEWER

    async def exposition(request: Request) -> Response:
        try:
            if may_look(request):
                return Response(prometheus.exposition(), media_type="text/plain; version=0.0.4")
        except SignInUnavailable as error:
            return PlainTextResponse(f"{error}\n", 503)
        return PlainTextResponse(f"{NotSignedIn()}\n", 401, {"www-authenticate": "Bearer"})

    def may_know(request: Request) -> bool:
        with contextlib.suppress(SignInUnavailable):
            return may_look(request)
        return False

    resumed = [(stream.id, stream.publish) for stream in gate.registry if not stream.cutting]
    app: Starlette = create_app(servers.hooks(gate), resumed, gate.health, gate.unready, may_know)
    app.router.routes.append(Route("/metrics", exposition, methods=["GET"]))
    if served(settings):
        app.router.routes.append(console_mount(settings, gate, tokens))
    limits = settings.limits
    return HookServer(
        app,
        request_ms=limits.http_request_ms,
        max_connections=most_connections(limits.max_http_connections, _HTTP_SHARE),
        max_per_address=limits.max_http_connections_per_address,
        broken=lambda cause: telemetry.report(CallBroken(cause)),
        trusted_proxies=settings.http.trusted_proxies,
    )


def _share_server(gate: Gate) -> ShareServer | None:
    """Raises ConfigError."""
    settings = gate.settings
    if settings.share.listen is None:
        return None
    servicer = ShareServicer(
        settings.share_logs,
        lambda: gate.settings.share,
        gate.clock,
        gate.telemetry.report,
        gate.shared_banks.note_taken,
    )
    return ShareServer(settings.share, servicer)


def _listener(listen: str) -> socket.socket:
    host, _, port = listen.rpartition(":")
    try:
        family, kind, proto, _, address = socket.getaddrinfo(
            host.strip("[]"), int(port), type=socket.SOCK_STREAM
        )[0]
        listener = socket.socket(family, kind, proto)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        # Listens before "ready" is announced. What connects from then on waits for the server instead of
        # failing.
        listener.listen(1024)
        accept_only_who_sends(listener)
    except (OSError, ValueError) as error:
        raise ConfigError(f"http.listen: cannot listen on {listen!r}: {error}") from None
    return listener
