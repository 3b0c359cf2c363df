"""Who may act on a stream: the caller that had it admitted. A stream's id proves nothing."""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from edge.config import WithoutSecret
from edge.durable_files import create_file
from edge.errors import ConfigError
from edge.settings_file import read_settings_file

_KEY_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class Caller:
    """The peer behind a call, and what it proves. Equal where both are the same peer."""

    client: str = ""
    """The name in its certificate, or else its address without port. Empty for hooks."""
    connection: str = ""
    """The name in its certificate, or else its address with port."""
    secret: str = field(default="", repr=False, compare=False)
    """The admission secret that it shows."""


NOBODY: Final = Caller()
"""Admitted by a hook, or by an earlier run of the gate. Only a secret proves a caller then."""


class Authority:
    """Issues and checks admission secrets. They are derived from one key, so they outlive the process."""

    def __init__(self, key: bytes, without_secret: WithoutSecret = WithoutSecret.CONNECTION) -> None:
        self._key = key
        self._without_secret = without_secret

    def secret_of(self, stream_id: str) -> str:
        """The admission secret of a stream: 32 characters."""
        return hmac.digest(self._key, stream_id.encode(), "sha256")[:16].hex()

    def allows(self, stream_id: str, admitted_by: Caller, caller: Caller) -> bool:
        """Whether the caller may act on the stream that ``admitted_by`` had admitted."""
        if caller.secret:
            return hmac.compare_digest(self.secret_of(stream_id).encode(), caller.secret.encode())
        if self._without_secret is WithoutSecret.DENY or admitted_by == NOBODY:
            return False
        if self._without_secret is WithoutSecret.ADDRESS:
            return caller.client == admitted_by.client
        return caller.connection == admitted_by.connection


def admission_key(path: Path) -> bytes:
    """Reads the key of admission secrets, which only its owner may read. Makes one where there is none.

    Raises ConfigError.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        key = secrets.token_bytes(_KEY_BYTES)
        made = not path.exists() and create_file(path, key)
        return key if made else _read_key(path)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}") from None


def _read_key(path: Path) -> bytes:
    key = read_settings_file(path, _KEY_BYTES + 1, private=True)
    if len(key) != _KEY_BYTES:
        raise ConfigError(f"{path}: must hold {_KEY_BYTES} bytes; remove it, and the gate makes a new one")
    return key
