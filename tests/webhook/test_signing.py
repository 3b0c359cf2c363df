"""Signatures that the Standard Webhooks libraries make and accept."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.errors import InvalidInput
from edge.webhook.signing import ID, SIGNATURE, TIMESTAMP, key_of, new_secret, signed_headers, verify

NOW_S = 1_700_000_000
KEY = key_of(new_secret())
OTHER = key_of(new_secret())


def test_the_signature_is_the_one_of_the_reference_libraries() -> None:
    key = key_of("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    ident, timestamp_s, body = "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'
    headers = signed_headers(ident, timestamp_s, body, [key])
    assert headers == {
        "webhook-id": ident,
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }
    assert verify(headers, body, [key], timestamp_s) == ident


@given(body=st.binary(max_size=200), at=st.integers(0, 199), bit=st.integers(0, 7))
def test_any_changed_bit_of_the_body_is_found(body: bytes, at: int, bit: int) -> None:
    headers = signed_headers("evt_1", NOW_S, body, [KEY])
    assert verify(headers, body, [KEY], NOW_S) == "evt_1"
    changed = bytearray(body or b"\0")
    changed[at % len(changed)] ^= 1 << bit
    with pytest.raises(InvalidInput, match=SIGNATURE):
        verify(headers, bytes(changed), [KEY], NOW_S)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({ID: "evt_2"}, SIGNATURE),
        ({TIMESTAMP: str(NOW_S + 1)}, SIGNATURE),
        ({TIMESTAMP: "soon"}, TIMESTAMP),
        ({TIMESTAMP: str(NOW_S - 301)}, TIMESTAMP),
        ({TIMESTAMP: str(NOW_S + 301)}, TIMESTAMP),
        ({SIGNATURE: "v1,"}, SIGNATURE),
        ({SIGNATURE: "v1,ä"}, SIGNATURE),
        ({SIGNATURE: ""}, SIGNATURE),
        ({ID: ""}, ID),
    ],
)
def test_what_was_not_signed_is_refused(changes: dict[str, str], field: str) -> None:
    headers = {**signed_headers("evt_1", NOW_S, b"{}", [KEY]), **changes}
    with pytest.raises(InvalidInput) as refused:
        verify(headers, b"{}", [KEY], NOW_S)
    assert refused.value.field == field


def test_both_secrets_are_good_while_one_replaces_the_other() -> None:
    headers = signed_headers("evt_1", NOW_S, b"{}", [KEY, OTHER])
    assert verify(headers, b"{}", [KEY], NOW_S) == verify(headers, b"{}", [OTHER], NOW_S) == "evt_1"
    assert verify(signed_headers("evt_1", NOW_S, b"{}", [OTHER]), b"{}", [KEY, OTHER], NOW_S)
    with pytest.raises(InvalidInput, match=SIGNATURE):
        verify(headers, b"{}", [key_of(new_secret())], NOW_S)


@pytest.mark.parametrize("secret", ["whsec_", "whsec_c2hvcnQ=", "no base64!", "whsec_" + "QUFB" * 30])
def test_secrets_that_are_none_are_refused(secret: str) -> None:
    with pytest.raises(InvalidInput, match="secret"):
        key_of(secret)
