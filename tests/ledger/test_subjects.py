"""Subjects of blocks, in the one form in which they are compared."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.domain import SubjectKind
from edge.errors import InvalidInput
from edge.ledger.subjects import MAX_SUBJECT, normal_subject, parse_address


@pytest.mark.parametrize(
    ("kind", "given", "kept"),
    [
        (SubjectKind.ADDRESS, "::ffff:192.0.2.7", "192.0.2.7"),
        (SubjectKind.ADDRESS, "::ffff:192.0.2.0/120", "192.0.2.0/24"),
        (SubjectKind.ADDRESS, "192.0.2.7/32", "192.0.2.7"),
        (SubjectKind.ADDRESS, "2001:DB8:0:0::1", "2001:db8::1"),
        (SubjectKind.ADDRESS, "2001:DB8::/32", "2001:db8::/32"),
        (SubjectKind.ADDRESS, "fe80::1%eth0", "fe80::1"),
        (SubjectKind.ATTRIBUTE, "device=a=b", "device=a=b"),
        (SubjectKind.ATTRIBUTE, "device= d9 ", "device=d9"),
        (SubjectKind.BROADCASTER, "live/anna", "live/anna"),
        (SubjectKind.BROADCASTER, " u42 ", "u42"),
        (SubjectKind.BROADCASTER, "zoe\u0308", "zo\u00eb"),
        (SubjectKind.BROADCASTER, "Anna", "Anna"),
        (SubjectKind.STREAM_KEY, "sek ", "sek"),
    ],
)
def test_kept_in_one_form(kind: SubjectKind, given: str, kept: str) -> None:
    assert normal_subject(kind, given) == kept


@pytest.mark.parametrize(
    ("kind", "given", "problem"),
    [
        (SubjectKind.ADDRESS, "192.0.2.9/24", "host bits"),
        (SubjectKind.ADDRESS, "::/0", "every address"),
        (SubjectKind.ADDRESS, "::ffff:0.0.0.0/96", "every address"),
        (SubjectKind.ADDRESS, "nowhere", "neither an address nor a network"),
        (SubjectKind.ATTRIBUTE, "device", "NAME=VALUE"),
        (SubjectKind.ATTRIBUTE, "=7", "NAME=VALUE"),
        (SubjectKind.ATTRIBUTE, "device= ", "NAME=VALUE"),
        (SubjectKind.BROADCASTER, "", "empty"),
        (SubjectKind.BROADCASTER, " ", "empty"),
        (SubjectKind.STREAM_KEY, "x" * (MAX_SUBJECT + 1), f"{MAX_SUBJECT + 1} characters"),
    ],
)
def test_what_cannot_be_is_refused(kind: SubjectKind, given: str, problem: str) -> None:
    with pytest.raises(InvalidInput, match=problem):
        normal_subject(kind, given)


@given(st.ip_addresses(), st.integers(1, 128))
def test_normal_forms_stay_and_still_mean_the_same(address: ipaddress.IPv4Address, prefix: int) -> None:
    network = ipaddress.ip_network((address, min(prefix, address.max_prefixlen)), strict=False)
    kept = normal_subject(SubjectKind.ADDRESS, str(network)) if network.prefixlen > 0 else ""
    assert normal_subject(SubjectKind.ADDRESS, kept) == kept
    seen = parse_address(str(address))
    assert seen is not None
    again = ipaddress.ip_network(kept)
    assert seen in again or seen.version != again.version
