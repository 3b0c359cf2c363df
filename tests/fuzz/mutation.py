"""Mutates bytes with an eye for their structure: lengths, counts, texts, and parts of other inputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Final

MAX_BYTES: Final = 64 * 1024
_EDGES: Final = (0, 1, 2, 4, 8, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0xFFFFFF, 0x7FFF_FFFF, 0xFFFF_FFFF)
_TEXTS: Final = (
    *("\0", "\n", "\r\n", " ", '"', "'", "\\", "%00", "%2f", "..", "/", "[", "]", "{", "}", "&", "=", ","),
    *("null", "true", "-1", "0", "1e999", "NaN", "9" * 30, "[" * 40, '{"a":' * 12, "\u202e", "\ufeff"),
    *("\ud800", "&amp;", "<!DOCTYPE x>", "<x>", "]]>", "<!--", "rtmp://", "\U000e0041", "\ufb00", "\u212a"),
)
_TOKENS: Final = (
    *(text.encode("utf-8", "surrogatepass") for text in _TEXTS),
    *(b"\0\0\1", b"\0\0\0\1", b"\xff\xfe", b"\0\0\3"),
)


def mutated(random: Random, seed: bytes, others: Sequence[bytes]) -> bytes:
    """Returns the seed after one to eight changes. ``others`` are seeds of the same kind."""
    data = bytearray(seed)
    for _ in range(1 + min(7, int(random.expovariate(0.7)))):
        random.choice(_CHANGES)(random, data, others)
    return bytes(data[:MAX_BYTES])


def _at(random: Random, data: bytearray) -> int:
    """A place in the data. The first bytes are headers, so they are chosen more often."""
    if not data:
        return 0
    return random.randrange(min(len(data), 32)) if random.random() < 0.5 else random.randrange(len(data))


def _flip(random: Random, data: bytearray, others: Sequence[bytes]) -> None:
    if data:
        data[_at(random, data)] ^= 1 << random.randrange(8)


def _number(random: Random, data: bytearray, others: Sequence[bytes]) -> None:
    """Sets a number of one to four bytes, in either order, to an edge or to near its value."""
    size = random.choice((1, 2, 3, 4))
    at = _at(random, data)
    if at + size > len(data):
        return
    order = "big" if random.random() < 0.7 else "little"
    before = int.from_bytes(data[at : at + size], order)  # type: ignore[arg-type]
    value = random.choice(_EDGES) if random.random() < 0.5 else before + random.randint(-4, 4)
    data[at : at + size] = (value % (1 << 8 * size)).to_bytes(size, order)  # type: ignore[arg-type]


def _remove(random: Random, data: bytearray, others: Sequence[bytes]) -> None:
    at = _at(random, data)
    del data[at : at + 1 + int(random.expovariate(0.1))]


def _repeat(random: Random, data: bytearray, others: Sequence[bytes]) -> None:
    at = _at(random, data)
    part = data[at : at + 1 + int(random.expovariate(0.05))]
    data[at:at] = part * random.choice((1, 1, 2, 8, 100))


def _swap(random: Random, data: bytearray, others: Sequence[bytes]) -> None:
    one, two = _at(random, data), _at(random, data)
    size = 1 + int(random.expovariate(0.1))
    first, second = data[one : one + size], data[two : two + size]
    data[two : two + size] = first
    data[one : one + size] = second


def _token(random: Random, data: bytearray, others: Sequence[bytes]) -> None:
    at = _at(random, data)
    token = random.choice(_TOKENS)
    data[at : at + (len(token) if random.random() < 0.5 else 0)] = token


def _cut(random: Random, data: bytearray, others: Sequence[bytes]) -> None:
    del data[_at(random, data) :]


def _splice(random: Random, data: bytearray, others: Sequence[bytes]) -> None:
    other = random.choice(others)
    if other:
        start = random.randrange(len(other))
        data[_at(random, data) :] = other[start:]


def _noise(random: Random, data: bytearray, others: Sequence[bytes]) -> None:
    at = _at(random, data)
    size = 1 + int(random.expovariate(0.1))
    data[at : at + size] = random.randbytes(size)


_CHANGES: Final[tuple[Callable[[Random, bytearray, Sequence[bytes]], None], ...]] = (
    _flip,
    _flip,
    _number,
    _number,
    _remove,
    _repeat,
    _swap,
    _token,
    _cut,
    _splice,
    _noise,
)
