"""Connects commands to a running gate: address, token, and errors as GateError."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

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
DEFAULT_GATE = "127.0.0.1:50051"
DEFAULT_TOKENS = Path("edge-data/operator.tokens")


@contextmanager
def operator(
    gate: str,
    tokens: Path,
    ca: Path | None,
    role: Role,
    name: str = "",
    *,
    cert: Path | None = None,
    insecure: bool = False,
) -> Iterator[tuple[operator_pb2_grpc.OperatorStub, tuple[tuple[str, str], ...]]]:
    """Yields a stub and its metadata for the first person of the token file with the role, or for ``name``.

    The token goes to another machine over TLS alone, unless ``insecure``. ``cert`` holds a client certificate
    and its key. Raises CallFailed with the gate's message for an error status.
    """
    try:
        people = [person for person in parse_tokens(tokens) if person.role >= role]
        token = next((person.token for person in people if name in ("", person.name)), None)
    except ConfigError as error:
        raise ConfigError(f"{error}; --tokens names the gate's token file") from None
    if token is None:
        whose = f" of {name}" if name else ""
        raise InvalidInput("--tokens", f"{tokens} has no token{whose} with role {role.name.lower()}")
    try:
        with _channel(gate, ca, cert, insecure=insecure) as channel:
            yield (
                operator_pb2_grpc.OperatorStub(channel),
                (("authorization", f"Bearer {token.get_secret_value()}"),),
            )
    except grpc.RpcError as error:
        raise _call_failed(error, gate, ca) from None


def _channel(gate: str, ca: Path | None, cert: Path | None, *, insecure: bool) -> grpc.Channel:
    if ca is None and cert is None and (insecure or is_local(gate)):
        # A proxy of the environment is another machine.
        return grpc.insecure_channel(grpc_target(gate), [("grpc.enable_http_proxy", 0)])
    authority = None if ca is None else read_settings_file(ca, MAX_KEY_BYTES)
    # gRPC takes from a file what it looks for, so one may hold both.
    own = None if cert is None else read_settings_file(cert, MAX_KEY_BYTES, private=True)
    return grpc.secure_channel(grpc_target(gate), grpc.ssl_channel_credentials(authority, own, own))


def _call_failed(error: Any, gate: str, ca: Path | None) -> CallFailed:
    """Takes the gate's message and whether a retry can help."""
    code, details, trailing = error.code(), error.details(), dict(error.trailing_metadata() or ())
    if REASON in trailing:
        return CallFailed(details or code.name, retryable=trailing.get(RETRYABLE) == "true")
    if code is grpc.StatusCode.UNAVAILABLE:
        over = "" if ca is not None or is_local(gate) else " over TLS; --ca names its authority"
        return CallFailed(f"no gate answers at {gate}{over} ({details})", retryable=True)
    return CallFailed(details or code.name, retryable=False)
