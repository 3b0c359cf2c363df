"""Draws what a publisher must not foresee: which frames make a sample, and when the gate looks. Pure.

Whoever broadcasts an attack can read this code. So nothing that decides what is looked at may follow from the
media alone. Each draw is a keyed hash (BLAKE2b, RFC 7693) of its purpose and a number, under a secret of the
stream. Without the secret it is random. With it, every draw can be repeated: a draw needs no draw before it,
so the replay of a part of a stream draws for a frame what the gate has drawn for it.
"""

from __future__ import annotations

import secrets
from enum import Enum
from hashlib import blake2b

SEED_BYTES = 16
_WHOLE = float(1 << 64)


class Purpose(Enum):
    """What is drawn. Draws for two purposes have nothing to do with each other."""

    MATCHED_FRAME = b"matched frame"
    """Which decoded frame of a sample is matched with the banks. Drawn by its pts."""
    SAMPLE_END = b"sample end"
    """By how much a sample ends earlier or later than usual. Drawn by that usual time."""
    SHORT_GOPS = b"short gops"
    """Which keyframes of very short GOPs get a sample. Drawn by the pts of the keyframe before."""
    SPARE = b"spare"
    """How much of a GOP is sampled densely in spare time. Drawn by the pts of its keyframe."""
    LOOK = b"look"
    """When the gate looks into a GOP. Drawn by the number of the look."""


def new_seed() -> bytes:
    """A new secret, from the randomness of the operating system."""
    return secrets.token_bytes(SEED_BYTES)


class Draws:
    """The draws of one stream."""

    def __init__(self, seed: bytes) -> None:
        """``seed`` is the stream's secret, at most 64 bytes."""
        self._keyed = {purpose: blake2b(key=seed, person=purpose.value, digest_size=8) for purpose in Purpose}

    def share(self, purpose: Purpose, number: int) -> float:
        """Returns a number from 0 up to but not including 1, evenly distributed."""
        drawn = self._keyed[purpose].copy()
        drawn.update(number.to_bytes(16, "little", signed=True))
        return (int.from_bytes(drawn.digest(), "little") >> 11) * 2048 / _WHOLE

    def shift(self, purpose: Purpose, number: int, room_ms: int) -> int:
        """Returns a whole number of milliseconds from ``-room_ms`` to ``room_ms``, evenly distributed."""
        return int(self.share(purpose, number) * (2 * room_ms + 1)) - room_ms
