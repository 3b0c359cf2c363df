"""Signs webhooks by the Standard Webhooks scheme. Libraries in many languages verify it.

webhook-id         id of the event, the same at every attempt
webhook-timestamp  time of the attempt, whole seconds since the Unix epoch
webhook-signature  ``v1,`` and base64 HMAC-SHA256 of ``ID.TIMESTAMP.BODY``; one per secret, by spaces
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from collections.abc import Iterable, Mapping

from edge.errors import InvalidInput

ID, TIMESTAMP, SIGNATURE = "webhook-id", "webhook-timestamp", "webhook-signature"
PREFIX = "whsec_"
MIN_KEY_BYTES, MAX_KEY_BYTES = 24, 64
TOLERANCE_S = 300
_NEW_KEY_BYTES = 32


def new_secret() -> str:
    """Makes a new signing secret, ``whsec_…``."""
    return PREFIX + base64.b64encode(secrets.token_bytes(_NEW_KEY_BYTES)).decode()


def key_of(secret: str) -> bytes:
    """Decodes the key of a secret. Raises InvalidInput."""
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raise InvalidInput(
            "secret", f"is not {PREFIX} and base64; `edge-gate webhook secret` makes one"
        ) from None
    if not MIN_KEY_BYTES <= len(key) <= MAX_KEY_BYTES:
        raise InvalidInput("secret", f"holds {len(key)} bytes, {MIN_KEY_BYTES} to {MAX_KEY_BYTES} are wanted")
    return key


def signed_headers(ident: str, timestamp_s: int, body: bytes, keys: Iterable[bytes]) -> dict[str, str]:
    """The headers of a signed body. There is one signature per key, so the receiver may have any of the
    keys."""
    return {
        ID: ident,
        TIMESTAMP: str(timestamp_s),
        SIGNATURE: " ".join(f"v1,{_signature(ident, timestamp_s, body, key)}" for key in keys),
    }


def verify(
    headers: Mapping[str, str],
    body: bytes,
    keys: Iterable[bytes],
    now_s: int,
    tolerance_s: int = TOLERANCE_S,
) -> str:
    """Verifies a request as a receiver does. Returns the event's id.

    ``headers`` has lower-case names. ``body`` is the raw body, not parsed and serialised again. Raises
    InvalidInput if none of ``keys`` signed it, or if it is more than ``tolerance_s`` from now.
    """
    for name in (ID, TIMESTAMP, SIGNATURE):
        if not headers.get(name):
            raise InvalidInput(name, "is missing")
    ident = headers[ID]
    try:
        timestamp_s = int(headers[TIMESTAMP])
    except ValueError:
        raise InvalidInput(TIMESTAMP, "is no whole number of seconds") from None
    if abs(now_s - timestamp_s) > tolerance_s:
        raise InvalidInput(
            TIMESTAMP, f"is more than {tolerance_s} s away from now: a replay, or a wrong clock"
        )
    given = [each.partition(",")[2] for each in headers[SIGNATURE].split() if each.startswith("v1,")]
    expected = [_signature(ident, timestamp_s, body, key) for key in keys]
    if not any(hmac.compare_digest(one.encode(), other.encode()) for one in given for other in expected):
        raise InvalidInput(SIGNATURE, "was not made with this secret over this body")
    return ident


def _signature(ident: str, timestamp_s: int, body: bytes, key: bytes) -> str:
    content = f"{ident}.{timestamp_s}.".encode() + body
    return base64.b64encode(hmac.digest(key, content, hashlib.sha256)).decode()
