"""The gRPC server: Gate, Operator, health and reflection on one safe address."""

from __future__ import annotations

import asyncio

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_health.v1._async import HealthServicer
from grpc_reflection.v1alpha import reflection

from edge.api.auth import TokenFile
from edge.api.broken_calls import BrokenCalls
from edge.api.certificates import Certificates, TlsFiles
from edge.api.connections import BusyPeers, ConnectionBound, GrpcConnections, listeners
from edge.api.doorkeeper import Doorkeeper
from edge.api.failed_calls import FailedCalls, Turnstile
from edge.api.gate_servicer import GateServicer
from edge.api.grpc_options import server_options
from edge.api.operator_servicer import OperatorServicer
from edge.api.sign_in import GateSignIn
from edge.api.vain_calls import Interceptor, VainCalls
from edge.background import BackgroundTasks
from edge.config import Settings
from edge.contract.gen import gate_pb2, gate_pb2_grpc, operator_pb2, operator_pb2_grpc
from edge.descriptors import accept_only_who_sends, most_connections
from edge.errors import ConfigError
from edge.section import grpc_target
from edge.supervise import Gate
from edge.telemetry.records import CallBroken

SERVICES = (
    gate_pb2.DESCRIPTOR.services_by_name["Gate"].full_name,
    operator_pb2.DESCRIPTOR.services_by_name["Operator"].full_name,
)
_SHARE = 0.25
"""Of the process's file descriptors."""
_HEALTH_S = 0.5


class GrpcServer:
    """The gRPC server, started once the gate is ready. ``address`` is what it actually listens on."""

    def __init__(self, settings: Settings, gate: Gate, tokens: TokenFile) -> None:
        self._settings = settings
        limits = settings.limits
        self._failed = FailedCalls()
        turnstile = Turnstile(self._failed, gate.clock)
        self._hurry = turnstile.ending
        interceptors: list[Interceptor] = [VainCalls(SERVICES, turnstile, gate.telemetry)]
        if settings.grpc.gate_wants_token:
            interceptors.append(GateSignIn(SERVICES[0], tokens, turnstile))
        self._server = grpc.aio.server(
            interceptors=interceptors,
            options=server_options(limits, _SHARE),
        )
        self._health = HealthServicer()
        self._unready = gate.unready
        self._draining = False
        self._said: bool | None = None
        self._broken_calls = BrokenCalls(gate.telemetry)
        self._telemetry = gate.telemetry
        self._clock = gate.clock
        self._busy = BusyPeers()
        self._tasks = BackgroundTasks()
        gate_pb2_grpc.add_GateServicer_to_server(
            GateServicer(gate, tokens, self._busy, turnstile), self._server
        )
        operator_pb2_grpc.add_OperatorServicer_to_server(
            OperatorServicer(gate, tokens, turnstile), self._server
        )
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        reflection.enable_server_reflection(
            (*SERVICES, health.SERVICE_NAME, reflection.SERVICE_NAME), self._server
        )
        self.address = settings.grpc.listen
        self.certificates: Certificates | None = None
        """None without TLS, and before the start."""

    async def start(self) -> None:
        """Binds and serves. Raises ConfigError when the address or the certificates cannot be used."""
        listen = self._settings.grpc.listen
        files = TlsFiles.of_grpc(self._settings.grpc)
        self.certificates = None if files is None else Certificates(files)
        try:
            if self.certificates is None:
                port = self._server.add_insecure_port(grpc_target(listen))
            else:
                port = self._server.add_secure_port(grpc_target(listen), self.certificates.credentials())
        except RuntimeError as error:
            raise ConfigError(f"grpc.listen: cannot listen on {listen}: {error}") from None
        self._broken_calls.install()
        await self._server.start()
        if not listen.startswith("unix:"):
            for listener in listeners(port):
                accept_only_who_sends(listener)
            self.address = f"{listen.rpartition(':')[0]}:{port}"
            self._tasks.keep(self._connections(port).run, needed=False)
        await self._say_health()
        self._tasks.keep(self._follow_health)

    async def draining(self) -> None:
        """Reports the drain to load balancers and health checks before any call is refused."""
        self._draining = True
        await self._say_health()

    async def _follow_health(self) -> None:
        """Reports what the gate is not ready for, and when it is ready again."""
        while True:
            await asyncio.sleep(_HEALTH_S)
            await self._say_health()

    def _connections(self, port: int) -> GrpcConnections:
        limits = self._settings.limits
        most = most_connections(limits.max_grpc_connections, _SHARE)
        bound = ConnectionBound.of(
            most, limits.max_grpc_connections_per_address, self._busy, self._failed.ended
        )

        def ended(cause: str) -> None:
            self._telemetry.report(CallBroken(cause))

        door = Doorkeeper(port, self._failed.strangers, self._clock)
        return GrpcConnections(bound, port, most, ended, self._hurry, door)

    async def stop(self, grace_s: float) -> None:
        self._tasks.cancel()
        await self._server.stop(grace_s)
        self._broken_calls.remove()

    async def _say_health(self) -> None:
        ready = not self._draining and not any(self._unready())
        if ready is not self._said:
            self._said = ready
            answer = health_pb2.HealthCheckResponse
            for service in ("", *SERVICES):
                await self._health.set(service, answer.SERVING if ready else answer.NOT_SERVING)
