"""A call between gates is believed where all of it was signed with the fleet's secret, and lately."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from edge.errors import NotSignedIn, PermissionRefused
from edge.fleet.settings import FleetSection
from edge.fleet.signing import MOST_APART_MS, SCHEME, FleetCall, check, is_fleet_call, sign

SECRET = b"a secret of thirty-two characters"
NOW = 1_700_000_000_000
ASKED = ("GetEvidence", "in_1", 1, 0, 100)
names = st.text(max_size=128)


@given(names, names, names, st.integers(-MOST_APART_MS, MOST_APART_MS), st.binary(min_size=1))
def test_what_was_signed_is_believed(caller: str, called: str, by: str, apart: int, secret: bytes) -> None:
    call = FleetCall(caller, called, by, NOW + apart)
    authorization = sign(secret, call, ASKED)
    assert is_fleet_call(authorization)
    assert authorization.isascii()
    assert check(secret, authorization, called, ASKED, NOW) == call


@pytest.mark.parametrize(
    ("secret", "asked"),
    [
        (b"another secret, and as long as it", ASKED),
        (None, ASKED),
        (SECRET, ("GetEvidence", "in_2", 1, 0, 100)),
        (SECRET, ("GetEvidence", "in_1", 1, 0, 101)),
        (SECRET, ("GetEvidence", "in_1", 2, 0, 100)),
    ],
)
def test_another_secret_or_another_question_is_refused(
    secret: bytes | None, asked: tuple[str | int, ...]
) -> None:
    authorization = sign(SECRET, FleetCall("a", "b", "rita", NOW), ASKED)
    with pytest.raises(NotSignedIn):
        check(secret, authorization, "b", asked, NOW)


def test_who_asks_for_whom_cannot_be_changed() -> None:
    authorization = sign(SECRET, FleetCall("a", "b", "rita", NOW), ASKED)
    words = json.loads(base64.urlsafe_b64decode(authorization[len(SCHEME) :]))
    for index, other in enumerate(("c", "c", "rolf", NOW + 1)):
        forged = [*words[:index], other, *words[index + 1 :]]
        encoded = SCHEME + base64.urlsafe_b64encode(json.dumps(forged).encode()).decode()
        with pytest.raises(NotSignedIn):
            check(SECRET, encoded, "b", ASKED, NOW)


@given(st.text(max_size=200) | st.binary(max_size=200).map(lambda given: given.hex()))
def test_nonsense_is_refused(given: str) -> None:
    for authorization in (SCHEME + given, SCHEME + base64.urlsafe_b64encode(given.encode()).decode()):
        with pytest.raises(NotSignedIn):
            check(SECRET, authorization, "b", ASKED, NOW)


def test_a_call_for_another_gate_or_of_another_time_is_refused() -> None:
    authorization = sign(SECRET, FleetCall("a", "b", "rita", NOW), ASKED)
    with pytest.raises(PermissionRefused, match="this is gate 'c'"):
        check(SECRET, authorization, "c", ASKED, NOW)
    for apart in (MOST_APART_MS + 1, -MOST_APART_MS - 1):
        with pytest.raises(PermissionRefused, match="60 s away from this gate's clock"):
            check(SECRET, authorization, "b", ASKED, NOW + apart)


def test_an_address_needs_a_secret_and_the_secret_some_length() -> None:
    with pytest.raises(ValidationError, match="address needs secret"):
        FleetSection.model_validate({"address": "gate-1:50051"})
    with pytest.raises(ValidationError, match="fewer than 32"):
        FleetSection.model_validate({"address": "gate-1:50051", "secret": "short"})
    with pytest.raises(ValidationError, match="address"):
        FleetSection.model_validate({"address": "grpc://gate-1:50051", "secret": SECRET.decode()})


def test_what_is_announced_has_the_port_that_is_listened_on() -> None:
    section = FleetSection.model_validate({"address": "[::1]:0", "secret": SECRET.decode()})
    assert section.url("[::]:4711", tls=True) == "grpcs://[::1]:4711"
    named = FleetSection.model_validate({"address": "gate-1.example:50051", "secret": SECRET.decode()})
    assert named.url("0.0.0.0:4711", tls=False) == "grpc://gate-1.example:50051"
    assert FleetSection().url("127.0.0.1:4711", tls=False) == ""
