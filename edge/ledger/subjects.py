"""The subjects that a block can name, in the normal form in which they are compared. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence

from edge.domain import Block, Publish, SubjectKind
from edge.errors import InvalidInput, LimitExceeded
from edge.names import check_name, compared, normal_text

STREAM_KEY_ATTRIBUTE = "stream_key"
MAX_SUBJECT = 640
"""In characters. An attribute's name and value are at most 64 and 512."""
_ATTRIBUTE = "attribute:"
_LINKED_IPV6 = 64
"""Prefix length of one subscriber's IPv6 network. A subscriber can change a single address in a second."""

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def parse_address(text: str) -> Address | None:
    """Parses an address without its zone. Unwraps IPv4-mapped IPv6. Returns None if it is no address."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def parse_network(text: str) -> Network:
    """Parses a network such as ``192.0.2.0/24``. Unwraps IPv4-mapped IPv6. Raises InvalidInput."""
    try:
        network = ipaddress.ip_network(text)
    except ValueError as error:
        raise InvalidInput("subject", str(error)) from None
    mapped = getattr(network.network_address, "ipv4_mapped", None)
    if mapped is not None and network.prefixlen >= 96:
        network = ipaddress.ip_network(f"{mapped}/{network.prefixlen - 96}")
    if network.prefixlen == 0:
        raise InvalidInput("subject", f"{text!r} is every address")
    return network


def normal_subject(kind: SubjectKind, subject: str) -> str:
    """The form in which subjects of a kind are stored. Raises InvalidInput and LimitExceeded."""
    subject = check_name("subject", normal_text(subject))
    if not subject:
        raise InvalidInput("subject", "must not be empty")
    if len(subject) > MAX_SUBJECT:
        raise LimitExceeded("subject", MAX_SUBJECT, len(subject), "characters")
    if kind is SubjectKind.ATTRIBUTE:
        name, equals, value = subject.partition("=")
        if not (name and equals and value):
            raise InvalidInput("subject", f"{subject[:80]!r} is not NAME=VALUE")
        return attribute_subject(name, value)
    if kind is not SubjectKind.ADDRESS:
        return subject
    if "/" in subject:
        network = parse_network(subject)
        return str(network.network_address if network.num_addresses == 1 else network)
    address = parse_address(subject)
    if address is None:
        raise InvalidInput(
            "subject", f"{subject[:80]!r} is neither an address nor a network such as 192.0.2.0/24"
        )
    return str(address)


def subject_key(kind: str, subject: str) -> str:
    """What two subjects of a kind have in common when a block of one may bar the other.

    Names of broadcasters have it in common with every spelling in other case: ``compared`` tells those apart
    where the policy says so. It is made at reading, so blocks of earlier versions match as new ones do.
    """
    if kind == SubjectKind.ADDRESS:
        return subject
    if kind == SubjectKind.ATTRIBUTE:
        name, _, value = subject.partition("=")
        return f"{name}={compared(value)}"
    return compared(subject, case_mapped=kind == SubjectKind.BROADCASTER)


UNLISTED_KIND = ""
"""Stands for every kind that this gate does not know, wherever subjects are looked up."""
BARS_WHOEVER = "it bars whoever states its subject"
_LISTED = frozenset(kind.value for kind in SubjectKind)


def lookup_key(kind: str, subject: str) -> tuple[str, str]:
    """Under which kind and key a block is found. A kind that only a newer gate knows says nothing about what
    its subject is. So the block is found by everything that a publish states."""
    if kind in _LISTED:
        return kind, subject_key(kind, subject)
    return UNLISTED_KIND, compared(subject, case_mapped=True)


def unlisted_keys(publish: Publish) -> Iterator[str]:
    """The keys by which a block of an unknown kind may name a publish: broadcaster, address, and each
    attribute as VALUE and as NAME=VALUE."""
    stated = [publish.broadcaster, publish.address]
    for name, value in publish.attributes.items():
        stated += [value, attribute_subject(name, value)]
    if (address := parse_address(publish.address)) is not None:
        stated.append(str(address))
    yield from dict.fromkeys(compared(text, case_mapped=True) for text in stated if text)


def names_account(block: Block, broadcaster: str, *, case_mapped: bool) -> bool:
    """Whether a block found by ``subject_key`` is of this broadcaster too where case tells accounts apart."""
    return block.subject_kind is not SubjectKind.BROADCASTER or compared(
        block.subject, case_mapped=case_mapped
    ) == compared(broadcaster, case_mapped=case_mapped)


def attribute_subject(name: str, value: str) -> str:
    return f"{name}={normal_text(value)}"


def linked_subjects(publish: Publish, link: Sequence[str]) -> tuple[tuple[SubjectKind, str], ...]:
    """The broadcaster, and those identities of ``ladder.link`` that this publish states.

    Where nobody has checked who publishes, the broadcaster is left out: anybody can name somebody else. Then
    stream key and address stand for the publisher, whatever ``link`` says.

    Leaves out addresses that many publishers share by nature (loopback, link-local). For IPv6 takes the
    subscriber's network.
    """
    found = [(SubjectKind.BROADCASTER, publish.broadcaster)] if publish.identity_proven else []
    for name in link if publish.identity_proven else (STREAM_KEY_ATTRIBUTE, "address", *link):
        if name == "address":
            address = _linked_address(publish.address)
            if address is not None:
                found.append((SubjectKind.ADDRESS, address))
        elif name == STREAM_KEY_ATTRIBUTE:
            if key := publish.attributes.get(STREAM_KEY_ATTRIBUTE):
                found.append((SubjectKind.STREAM_KEY, key))
        else:
            attribute = name.removeprefix(_ATTRIBUTE)
            if value := publish.attributes.get(attribute):
                found.append((SubjectKind.ATTRIBUTE, attribute_subject(attribute, value)))
    return tuple(dict.fromkeys(found))


def struck_name(publish: Publish) -> str:
    """Whose the strike of a violation is: the broadcaster's, or that of an address without a proven name."""
    if publish.identity_proven:
        return compared(publish.broadcaster)
    return f"unproven/{_linked_address(publish.address) or publish.connection}"


def _linked_address(text: str) -> str | None:
    address = parse_address(text)
    if address is None or address.is_loopback or address.is_unspecified or address.is_link_local:
        return None
    if address.version == 6:
        return str(ipaddress.ip_network((address, _LINKED_IPV6), strict=False))
    return str(address)
