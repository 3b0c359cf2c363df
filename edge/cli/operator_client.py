"""How commands reach a running gate: its address, a token, and its errors as ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import grpc
import typer

from edge.api.auth import Role, parse_tokens
from edge.api.status import REASON, RETRYABLE
from edge.contract.gen import operator_pb2_grpc
from edge.errors import CallFailed, ConfigError, InvalidInput

CALL_TIMEOUT_S = 10.0

GateOption = Annotated[
    str, typer.Option("--gate", envvar="EDGE_GATE", help="Address of the gate, host:port or unix:/path.")
]
TokensOption = Annotated[
    Path,
    typer.Option(
        "--tokens", envvar="EDGE_TOKENS", help="Token file; the first token that may do it is used."
    ),
]
AsOption = Annotated[
    str,
    typer.Option(
        "--as", envvar="EDGE_PERSON", help="Name in the token file; default: the first who may do it."
    ),
]
CaOption = Annotated[
    Path | None, typer.Option("--ca", help="Certificate authority of the gate, PEM: talk TLS.")
]
DEFAULT_GATE = "127.0.0.1:50051"
DEFAULT_TOKENS = Path("edge-data/operator.tokens")


@contextmanager
def operator(
    gate: str, tokens: Path, ca: Path | None, role: Role, name: str = ""
) -> Iterator[tuple[operator_pb2_grpc.OperatorStub, tuple[tuple[str, str], ...]]]:
    """A stub and its metadata, as the first of the token file who has the role, or as ``name``.

    Statuses come out as CallFailed with the gate's own message.
    """
    try:
        people = [person for person in parse_tokens(tokens) if person.role >= role]
        token = next((person.token for person in people if name in ("", person.name)), None)
    except ConfigError as error:
        raise ConfigError(f"{error}; --tokens names the gate's token file") from None
    if token is None:
        whose = f" of {name}" if name else ""
        raise InvalidInput("--tokens", f"{tokens} has no token{whose} with role {role.name.lower()}")
    if ca is None:
        channel = grpc.insecure_channel(gate)
    else:
        channel = grpc.secure_channel(gate, grpc.ssl_channel_credentials(ca.read_bytes()))
    with channel:
        try:
            yield (
                operator_pb2_grpc.OperatorStub(channel),
                (("authorization", f"Bearer {token.get_secret_value()}"),),
            )
        except grpc.RpcError as error:
            raise _call_failed(error, gate) from None


def _call_failed(error: Any, gate: str) -> CallFailed:
    """The gate's own words, and whether a retry can help."""
    code, details, trailing = error.code(), error.details(), dict(error.trailing_metadata() or ())
    if REASON in trailing:
        return CallFailed(details or code.name, retryable=trailing.get(RETRYABLE) == "true")
    if code is grpc.StatusCode.UNAVAILABLE:
        return CallFailed(f"no gate answers at {gate} ({details})", retryable=True)
    return CallFailed(details or code.name, retryable=False)
