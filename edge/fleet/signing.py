"""Signs what one gate asks another, and checks it. Pure: the time is an argument.

The signature covers who asks whom, for which person, when, and what. So whoever sees a call, or makes a gate
call a wrong address, learns no secret and can ask for nothing else.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from edge.errors import NotSignedIn, PermissionRefused

SCHEME: Final = "Fleet "
MOST_APART_MS: Final = 60_000
"""How far the clocks of two gates may be apart, with the way of the call."""
_MOST_CHARACTERS: Final = 4096
_PURPOSE: Final = "edge-gate fleet call 1"

Asked = Sequence[str | int]
"""What is asked for: the call and each value of its request."""


@dataclass(frozen=True, slots=True)
class FleetCall:
    """A call of one gate to another."""

    caller: str
    """Name of the gate that asks."""
    called: str
    by: str
    """The person who looks. The gate that asks has signed them in, and has audited what they read."""
    wall_ms: int


def sign(secret: bytes, call: FleetCall, asked: Asked) -> str:
    """Returns the ``authorization`` of a call."""
    words = [call.caller, call.called, call.by, call.wall_ms, _signature(secret, call, asked)]
    return SCHEME + base64.urlsafe_b64encode(json.dumps(words).encode()).decode()


def is_fleet_call(authorization: str) -> bool:
    return authorization.startswith(SCHEME)


def check(secret: bytes | None, authorization: str, own_name: str, asked: Asked, now_ms: int) -> FleetCall:
    """Returns the call. ``secret`` None: this gate has none, and believes no gate.

    Raises NotSignedIn for a wrong signature, and PermissionRefused for one that is for another gate or of
    another time.
    """
    try:
        encoded = authorization[len(SCHEME) : _MOST_CHARACTERS]
        caller, called, by, wall_ms, given = json.loads(base64.b64decode(encoded, b"-_", validate=True))
        call = FleetCall(str(caller), str(called), str(by), int(wall_ms))
        expected = _signature(secret or b"", call, asked)
        right = hmac.compare_digest(expected.encode(), str(given).encode())
    except (ValueError, TypeError, RecursionError, OverflowError, binascii.Error):
        right = False
    if secret is None or not right:
        raise NotSignedIn
    if call.called != own_name:
        raise PermissionRefused(f"this is gate {own_name!r}, and the call is for gate {call.called!r}")
    if abs(now_ms - call.wall_ms) > MOST_APART_MS:
        raise PermissionRefused(
            f"the call of gate {call.caller!r} is {abs(now_ms - call.wall_ms) // 1000} s away from this "
            "gate's clock: set the clocks of both"
        )
    return call


def _signature(secret: bytes, call: FleetCall, asked: Asked) -> str:
    signed = [_PURPOSE, call.caller, call.called, call.by, call.wall_ms, *asked]
    return hmac.new(secret, json.dumps(signed).encode(), hashlib.sha256).hexdigest()
