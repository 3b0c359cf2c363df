"""Connects commands to a running gate: address, token, and errors as GateError.

A command takes a ``GateConnection`` and is decorated with ``asks_gate``: it then has all of its options.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import grpc
import typer

from edge.api.auth import Role, parse_tokens
from edge.contract.gen import operator_pb2_grpc
from edge.contract.trailing import REASON, RETRYABLE
from edge.errors import CallFailed, ConfigError, InvalidInput
from edge.section import grpc_target, is_local
from edge.settings_file import MAX_KEY_BYTES, read_settings_file

CALL_TIMEOUT_S = 10.0

GateOption = Annotated[
    str, typer.Option("--gate", envvar="EDGE_GATE", help="Address of the gate, host:port or unix:/path.")
]
TokensOption = Annotated[
    Path,
    typer.Option(
        "--tokens", envvar="EDGE_TOKENS", help="Token file. The first token with the needed role is used."
    ),
]
AsOption = Annotated[
    str,
    typer.Option(
        "--as", envvar="EDGE_PERSON", help="Name in the token file. Default: the first with the needed role."
    ),
]
CaOption = Annotated[
    Path | None,
    typer.Option(
        "--ca",
        envvar="EDGE_CA",
        help="Certificate authority of the gate, PEM. Default: those of the system. Beyond this machine "
        "commands always use TLS.",
    ),
]
CertOption = Annotated[
    Path | None,
    typer.Option(
        "--cert",
        envvar="EDGE_CERT",
        help="Your client certificate and its key in one PEM file, for a gate with `grpc.tls_client_ca`.",
    ),
]
InsecureOption = Annotated[
    bool,
    typer.Option(
        "--insecure", help="Send the token in clear text to a gate on another machine, without TLS."
    ),
]


@dataclass(frozen=True, slots=True)
class GateConnection:
    """How a command reaches a gate, and as whom. Each field is one option of the command line."""

    gate: GateOption = "127.0.0.1:50051"
    tokens: TokensOption = Path("edge-data/operator.tokens")
    name: AsOption = ""
    ca: CaOption = None
    cert: CertOption = None
    insecure: InsecureOption = False

    @contextmanager
    def operator(
        self, role: Role
    ) -> Iterator[tuple[operator_pb2_grpc.OperatorStub, tuple[tuple[str, str], ...]]]:
        """Yields a stub and its metadata for the first person of the token file with the role, or for
        ``name``.

        The token goes to another machine over TLS alone, unless ``insecure``. ``cert`` holds a client
        certificate and its key. Raises CallFailed with the gate's message for an error status.
        """
        token = self._token(role)
        try:
            with self._channel() as channel:
                yield operator_pb2_grpc.OperatorStub(channel), (("authorization", f"Bearer {token}"),)
        except grpc.RpcError as error:
            raise _call_failed(error, self.gate, self.ca) from None

    def _token(self, role: Role) -> str:
        try:
            people = [person for person in parse_tokens(self.tokens) if person.role >= role]
        except ConfigError as error:
            raise ConfigError(f"{error}; --tokens names the gate's token file") from None
        token = next((person.token for person in people if self.name in ("", person.name)), None)
        if token is None:
            whose = f" of {self.name}" if self.name else ""
            raise InvalidInput("--tokens", f"{self.tokens} has no token{whose} with role {role.name.lower()}")
        return token.get_secret_value()

    def _channel(self) -> grpc.Channel:
        if self.ca is None and self.cert is None and (self.insecure or is_local(self.gate)):
            # A proxy of the environment is another machine.
            return grpc.insecure_channel(grpc_target(self.gate), [("grpc.enable_http_proxy", 0)])
        authority = None if self.ca is None else read_settings_file(self.ca, MAX_KEY_BYTES)
        # gRPC takes from a file what it looks for, so one may hold both.
        own = None if self.cert is None else read_settings_file(self.cert, MAX_KEY_BYTES, private=True)
        return grpc.secure_channel(grpc_target(self.gate), grpc.ssl_channel_credentials(authority, own, own))


def asks_gate(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a command the options of ``GateConnection`` in the place of its parameter ``connection``."""
    signature = inspect.signature(command, eval_str=True)
    hints = get_type_hints(GateConnection, include_extras=True)
    options = [
        inspect.Parameter(
            field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=hints[field.name]
        )
        for field in fields(GateConnection)
    ]
    parameters: list[inspect.Parameter] = []
    for name, parameter in signature.parameters.items():
        parameters += options if name == "connection" else [parameter]

    @functools.wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> None:
        if "connection" not in kwargs:
            kwargs["connection"] = GateConnection(
                **{option.name: kwargs.pop(option.name) for option in options}
            )
        command(*args, **kwargs)

    wrapped.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    return wrapped


def _call_failed(error: Any, gate: str, ca: Path | None) -> CallFailed:
    """Takes the gate's message and whether a retry can help."""
    code, details, trailing = error.code(), error.details(), dict(error.trailing_metadata() or ())
    if REASON in trailing:
        return CallFailed(details or code.name, retryable=trailing.get(RETRYABLE) == "true")
    if code is grpc.StatusCode.UNAVAILABLE:
        over = "" if ca is not None or is_local(gate) else " over TLS; --ca names its authority"
        return CallFailed(f"no gate answers at {gate}{over} ({details})", retryable=True)
    return CallFailed(details or code.name, retryable=False)
