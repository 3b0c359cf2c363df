"""A gate that is killed and restarted, with a publisher that behaves as real ones do.

What must hold afterwards is checked from outside, through the gate's API and in its ledger.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.request import urlopen

import grpc

from benchmarks.servers.flv_publisher import flv_messages
from benchmarks.servers.nginx_rtmp import NginxRtmp
from benchmarks.servers.server_process import free_port
from edge.api.auth import parse_tokens
from edge.contract.gen import gate_pb2, gate_pb2_grpc, operator_pb2, operator_pb2_grpc
from edge.crash_points import VARIABLE
from edge.domain import Incident
from edge.errors import ConfigError, GateError
from edge.gate_process import GateProcess
from edge.ingest.rtmp_client import RtmpPublisher
from edge.ledger import Ledger
from edge.stream.synthetic import EncodedMedia

WAIT_S = 60.0
_ANY_SCORE = {"raise_at": 0, "release_at": 0, "flag_at": 0, "cut_at": 0}
_BUDGET_MS = 10_000
"""Long, so that a machine busy with several gates does not shed the deciding samples."""
_CALL_S = 10.0
_AFTERMATH_S = 2.0
_TELLING = (
    "edge_verdicts",
    "edge_not_judged",
    "edge_streams",
    "edge_cuts",
    "edge_ledger_down",
    "edge_worker_busy",
)


class Broken(AssertionError):
    """A guarantee does not hold after a crash."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The state after one crash, once the gate is back."""

    point: str
    crashed: bool
    """False when the gate was done before the crash was due."""
    strikes: int
    cut_confirmed: bool
    restart_to_gone_ms: float
    """Time from the start of the new gate until the publisher was gone; 0 when it was gone before."""
    verdict_to_confirmed_ms: float
    """The ledger's figure; 0 when it has no confirmation."""


class CallerPublisher:
    """Pushes over Watch as an ingest server does. Asks again when the gate is back, and obeys a CUT."""

    def __init__(self, gate: str, name: str, media: EncodedMedia) -> None:
        self._gate, self._name, self._media = gate, name, media
        self._numbers = iter(range(1_000_000))
        self.gone = threading.Event()
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self._run, name=name, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        with grpc.insecure_channel(self._gate, [("grpc.max_reconnect_backoff_ms", 100)]) as channel:
            stub: Any = gate_pb2_grpc.GateStub(channel)
            while not self.stopping.is_set():
                try:
                    if self._publish(stub):
                        self.gone.set()
                        return
                except grpc.RpcError:
                    time.sleep(0.05)

    def _publish(self, stub: Any) -> bool:
        """Publishes once. Returns whether the publisher was refused or cut."""
        admitted = stub.Admit(
            admit_request(self._name, f"{self._name}-{next(self._numbers)}"), timeout=_CALL_S
        )
        if not admitted.allowed:
            return bool(admitted.reason == gate_pb2.REASON_CODE_BLOCKED)
        call = stub.Watch(self._messages(admitted), timeout=WAIT_S)
        for answer in call:
            if answer.verdict.action == gate_pb2.ACTION_CUT:
                # The connection is closed now, whatever happens to the gate.
                with contextlib.suppress(grpc.RpcError):
                    confirmation = gate_pb2.ConfirmCutRequest(
                        stream_id=admitted.stream_id, admission_secret=admitted.admission_secret
                    )
                    stub.ConfirmCut(confirmation, timeout=_CALL_S)
                return True
        return False

    def _messages(self, admitted: gate_pb2.AdmitResponse) -> Iterator[gate_pb2.WatchRequest]:
        media = self._media
        yield gate_pb2.WatchRequest(
            open=gate_pb2.WatchOpen(
                stream_id=admitted.stream_id,
                admission_secret=admitted.admission_secret,
                codec=media.codec.value,
                extradata=media.extradata,
            )
        )
        started = time.monotonic()
        for unit in media.units:
            time.sleep(max(0.0, started + unit.dts_ms / 1000 - time.monotonic()))
            if self.stopping.is_set():
                return
            yield gate_pb2.WatchRequest(
                access_unit=gate_pb2.AccessUnit(
                    pts_ms=unit.pts_ms, dts_ms=unit.dts_ms, keyframe=unit.keyframe, data=unit.data
                )
            )


class RtmpLoop:
    """One RTMP connection to a real server that sends footage in a loop until it is closed."""

    def __init__(self, url: str, programme: Path) -> None:
        self._url, self._programme = url, programme
        self.gone = threading.Event()
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)
        self.thread.start()

    async def _run(self) -> None:
        while True:
            try:
                publisher = await RtmpPublisher.connect(self._url)
                break
            except (OSError, TimeoutError, GateError):
                if self.stopping.is_set():
                    return
                await asyncio.sleep(0.2)
        closed = asyncio.create_task(publisher.wait_closed())
        try:
            messages = list(flv_messages(self._programme))
            length_ms = messages[-1].timestamp + 40
            started = time.monotonic()
            for number in range(1_000_000):
                for message in messages:
                    stamp = message.timestamp + number * length_ms
                    pause_s = started + stamp / 1000 - time.monotonic()
                    if pause_s > 0:
                        await asyncio.wait({closed}, timeout=pause_s)
                    if closed.done() or self.stopping.is_set():
                        return
                    with contextlib.suppress(ConnectionError, TimeoutError):
                        await publisher.send(message, stamp)
        finally:
            closed.cancel()
            await publisher.close()
            self.gone.set()


class Lane:
    """One ledger and one gate at a time. With ``nginx`` publishers come through a real nginx-rtmp."""

    def __init__(self, directory: Path, media: EncodedMedia, programme: Path, *, nginx: bool) -> None:
        self._directory = directory
        self._media = media
        self._programme = programme
        self._listen, self._http = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
        self._nginx = NginxRtmp(directory / "nginx") if nginx else None
        self._gate: GateProcess | None = None
        self._ledger: Ledger | None = None
        self._armed = ""
        self._numbers = iter(range(1_000_000))
        self._stack = contextlib.ExitStack()
        self.kind = "nginx-rtmp" if nginx else "caller"

    def __enter__(self) -> Self:
        self.start("")
        self._cut_on_anything()
        if self._nginx is not None:
            self._stack.enter_context(self._nginx)
            self._nginx.start(self._http)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()
        if self._ledger is not None:
            self._ledger.close()
        if self._gate is not None:
            self._gate.kill()
            self._gate.__exit__(None, None, None)

    def trial(self, spec: str, *, away: bool = False, then: str = "", next_spec: str = "") -> Outcome:
        """Crashes the gate at ``spec``, restarts it and checks. Raises Broken.

        With ``away`` the ledger is locked from before the verdict until after the crash. ``then`` is a
        second crash, during the restart. ``next_spec`` is the crash point of the new gate for the next
        trial; nothing in this trial may pass that point as often.
        """
        name = f"user{next(self._numbers)}"
        self.start(spec)
        with self._locked() if away else contextlib.nullcontext():
            publisher = self._publisher(name)
            try:
                crashed = self._until_crashed(publisher)
                if away and not crashed:
                    self.kill()
            except BaseException:
                publisher.stopping.set()
                raise
        try:
            restarted = time.monotonic()
            gone_before = publisher.gone.is_set()
            if then:
                self.start_crashing(then)
            if crashed or away:
                self.start(next_spec)
            if not publisher.gone.wait(WAIT_S):
                raise Broken(f"{spec}: the publisher still publishes; {self._log()}")
            gone_ms = 0.0 if gone_before else (time.monotonic() - restarted) * 1000
            point = spec.partition(":")[0]
            return self._look(f"{point}, {then}" if then else point, name, crashed, gone_ms)
        finally:
            publisher.stopping.set()
            publisher.thread.join(WAIT_S)

    def start(self, spec: str) -> None:
        """Starts a gate that crashes at ``spec``. If it crashes during its start, starts it again without."""
        if self._gate is not None and self._gate.running and spec == self._armed:
            return
        self.kill()
        config = "[workers]\ncount = 1\n[limits]\ncut_limit_ms = 500\n"
        if self._nginx is not None:
            config += (
                f'[nginx_rtmp]\ntrust_broadcaster = true\ncontrol_url = "{self._nginx.control_url}"\n'
                f'stat_url = "{self._nginx.stat_url}"\npull_url = "{self._nginx.pull_url}"\n'
            )
        environment = {VARIABLE: spec} if spec else {}
        self._gate = GateProcess(
            self._directory, config=config, listen=self._listen, http=self._http, environment=environment
        )
        self._armed = spec
        self._gate.__enter__()

    def start_crashing(self, spec: str) -> None:
        """Starts a gate that must not survive its start. Raises Broken when it does."""
        try:
            self.start(spec)
        except ConfigError:
            self._gate = None
            return
        raise Broken(f"{spec}: the gate did not crash while it started")

    def kill(self) -> None:
        if self._gate is not None:
            self._gate.kill()
            self._gate.__exit__(None, None, None)
            self._gate = None

    def verdict_to_confirmed_ms(self) -> float:
        """Returns the time of a cut without a crash."""
        outcome = self.trial("")
        assert not outcome.crashed
        return outcome.verdict_to_confirmed_ms

    def audit(self) -> int:
        """Returns the number of rows of the audit chain. Raises AuditBroken."""
        return self.ledger.audit_verify()

    @property
    def ledger(self) -> Ledger:
        """The gate's ledger, opened from outside."""
        if self._ledger is None:
            self._ledger = Ledger.open(f"sqlite:///{self._directory / 'edge.db'}")
        return self._ledger

    def _publisher(self, name: str) -> CallerPublisher | RtmpLoop:
        if self._nginx is None:
            return CallerPublisher(self._listen, name, self._media)
        return RtmpLoop(self._nginx.url(name, f"user={name}"), self._programme)

    def _until_crashed(self, publisher: CallerPublisher | RtmpLoop) -> bool:
        """Waits. Returns True when the gate crashed, False when it finished the cut before."""
        assert self._gate is not None
        deadline = time.monotonic() + WAIT_S
        done_at: float | None = None
        while self._gate.running:
            now = time.monotonic()
            if now > deadline:
                raise Broken(f"{self._armed}: neither crashed nor cut; {self._log()}")
            if publisher.gone.is_set():
                done_at = done_at or now
                # The cut's mark in the ledger follows, and may still crash.
                if now - done_at > (_AFTERMATH_S if self._armed else 0.0):
                    return False
            time.sleep(0.005)
        return True

    def _look(self, spec: str, name: str, crashed: bool, gone_ms: float) -> Outcome:
        assert self._gate is not None
        with grpc.insecure_channel(self._gate.grpc) as channel:
            stub: Any = gate_pb2_grpc.GateStub(channel)
            answer = stub.Admit(admit_request(name, f"{name}-again"), timeout=_CALL_S)
        if answer.allowed or answer.reason != gate_pb2.REASON_CODE_BLOCKED:
            raise Broken(f"{spec}: the broadcaster is not blocked; {self._log()}")
        strikes = self._until(lambda: self.ledger.strikes_of(name))
        if len(strikes) != 1:
            raise Broken(f"{spec}: {len(strikes)} strikes; {self._log()}")
        incident_id = strikes[0].incident_id

        def confirmed() -> Incident | None:
            found = self.ledger.incident(incident_id)
            return found if found.cut_confirmed_ms else None

        # A caller confirms its cut itself, and does not repeat a confirmation that the crash lost.
        proven = self._until(confirmed) if self._nginx is not None or not crashed else confirmed()
        if self._nginx is not None and proven is None:
            raise Broken(f"{spec}: the resumed cut is not on record as confirmed; {self._log()}")
        took_ms = 0.0 if proven is None else float((proven.cut_confirmed_ms or 0) - proven.created_ms)
        return Outcome(spec, crashed, len(strikes), proven is not None, round(gone_ms, 1), took_ms)

    def _until(self, look: Callable[[], Any]) -> Any:
        """Calls ``look`` until it finds something. Returns its last result."""
        deadline = time.monotonic() + WAIT_S / 2
        while not (found := look()) and time.monotonic() < deadline:
            time.sleep(0.02)
        return found

    def _cut_on_anything(self) -> None:
        assert self._gate is not None
        token = parse_tokens(self._gate.tokens)[0].token.get_secret_value()
        metadata = (("authorization", f"Bearer {token}"),)
        with grpc.insecure_channel(self._gate.grpc) as channel:
            stub: Any = operator_pb2_grpc.OperatorStub(channel)
            policy = json.loads(stub.GetPolicy(operator_pb2.GetPolicyRequest(), metadata=metadata).json)
            policy["categories"] = {"fight": _ANY_SCORE}
            policy["budget_ms"] = _BUDGET_MS
            request = operator_pb2.SetPolicyRequest(json=json.dumps(policy), reason="crash test")
            stub.SetPolicy(request, metadata=metadata)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Holds the database with another writer inside the block."""
        locker = sqlite3.connect(self._directory / "edge.db", isolation_level=None, timeout=WAIT_S)
        try:
            locker.execute("BEGIN IMMEDIATE")
            yield
        finally:
            locker.close()

    def _log(self) -> str:
        """Returns the gate's log for the report of a failure."""
        if self._gate is None:
            return "the gate does not run"
        text = self._gate.log()[-3000:]
        with (
            contextlib.suppress(OSError),
            urlopen(f"http://{self._http}/metrics", timeout=_CALL_S) as response,
        ):
            said = response.read().decode().splitlines()
            text += "\n".join(
                line for line in said if line.startswith(_TELLING) and not line.endswith(" 0.0")
            )
        return text


def admit_request(name: str, connection: str) -> gate_pb2.AdmitRequest:
    return gate_pb2.AdmitRequest(
        server="crash-test",
        connection=connection,
        app="live",
        name=name,
        broadcaster=name,
        address="127.0.0.1",
    )
